"""Every configured server as a plugin, made of what the owner has accepted: no server is asked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from loguru import logger

from agent.errors import ConfigError
from agent.mcp.accepted import accepted, held_back, identity
from agent.mcp.cleaning import plain_names
from agent.mcp.labels import spec_of
from plugins.api import PluginError
from plugins.loader import LoadedPlugin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.config import AppConfig
    from agent.config.mcp import McpServer
    from agent.mcp.accepted import Listing, Offered
    from plugins.api import ToolSpec

SOURCE = "mcp:"


def source_of(name: str) -> str:
    """Return the source of a server's plugin, such as `mcp:time`."""
    return f"{SOURCE}{name}"


def mcp_plugins(config: AppConfig, late: Mapping[str, str] | None = None) -> list[LoadedPlugin]:
    """Return the servers that are not switched off, in the order of their names. What is wrong is said in `error`.

    `late` is what is wrong with some of them in this process alone, by name.
    """
    wrong = late or {}
    return [
        LoadedPlugin(name, source_of(name), error=wrong[name]) if name in wrong else _plugin(config, name, settings)
        for name, settings in sorted(config.mcp.items())
        if settings.enabled
    ]


def remark(config: AppConfig, name: str) -> str:
    """Return what the owner should know of a server that works, as it is now; "" when there is nothing."""
    if name not in config.mcp:
        return ""
    held = held_back(config.folder, name)
    if not held:
        return ""
    return f"held back until you accept it (`dirigent mcp accept {name}`): {held.in_words()}"


def _plugin(config: AppConfig, name: str, settings: McpServer) -> LoadedPlugin:
    source = source_of(name)
    for folder in settings.folders:
        if Path(folder).expanduser().absolute() not in config.server_folders:
            said = f"the folder {folder} holds Dirigent's home, or lies in it, and is not shown inside"
            return LoadedPlugin(name, source, error=f"{said}: take it out of [mcp.{name}]")
    try:
        listing = accepted(config.folder, name)
    except ConfigError as error:
        return LoadedPlugin(name, source, error=f"{error.message} {error.hint}")
    if listing is None:
        return LoadedPlugin(name, source, error=f"nobody has looked at its tools yet: `dirigent mcp accept {name}`")
    if listing.runs != identity(settings):
        changed = "what dirigent.toml starts or calls has changed since you accepted its tools"
        return LoadedPlugin(name, source, error=f"{changed}: `dirigent mcp accept {name}`")
    tools = _tools(config, name, settings, listing)
    about = f"MCP server {listing.about}".strip()
    return LoadedPlugin(name, source, summary=about, tools=tools, sha256=listing.digest)


def _tools(config: AppConfig, name: str, settings: McpServer, listing: Listing) -> tuple[ToolSpec, ...]:
    held = set(held_back(config.folder, name).changed)
    made = []
    for tool, plain in named(settings, listing):
        if tool.name in held:
            continue
        try:
            made.append(spec_of(name, settings, tool, plain, config.sandbox.allow_hosts))
        except PluginError as problem:
            logger.warning("the tool {} of the MCP server {} is left out: {}", tool.name, name, problem)
    return tuple(made)


def named(settings: McpServer, listing: Listing) -> list[tuple[Offered, str]]:
    """Return the tools that may be used with the names that they have here."""
    plain = plain_names(tool.name for tool in listing.tools)
    fit = (tool for tool in listing.tools if _allows(settings, tool.name) and not tool.unfit)
    return [(tool, plain[tool.name]) for tool in fit]


def _allows(settings: McpServer, name: str) -> bool:
    return name not in settings.denied and ("*" in settings.tools or name in settings.tools)
