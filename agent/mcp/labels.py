"""What a server's tool does to the world: judged by where the server runs, and stricter where it says so itself.

Unknown means the worst: an effect that is not repeated unasked, whose output others wrote, and that sends all it is
given. A stranger's own word may only add to that (`destructiveHint`: what others wrote may then not even decide whether
it is called). `readOnlyHint` counts where walls hold it: in the sandbox, without a way out, a tool changes nothing but
the session's files, so it need not be asked about. What was got with the owner's secrets is the owner's private affair.
The owner's word, `[tools."NAME.tool"]` in dirigent.toml, goes first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agent.mcp.accepted import READ_RESOURCE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.config.mcp import McpServer
    from agent.mcp.accepted import Offered
    from plugins.api import ToolSpec

USUAL_PORTS = {"http": 80, "https": 443}


def spec_of(server: str, settings: McpServer, offered: Offered, name: str, reaches: Sequence[str] = ()) -> ToolSpec:
    """Return a server's tool as a planner may use it. `reaches` are the hosts that everything inside may reach.

    Raises PluginError when its arguments have a form that can't be described.
    """
    from plugins.api import tool_from_schema

    return tool_from_schema(
        name,
        offered.description,
        dict(offered.schema),
        function_name=offered.name,
        plugin=server,
        timeout=settings.seconds,
        untrusted=True,
        private=bool(settings.shown_secrets),
        reads_all=settings.local,
        **reach_of(settings),
        **_effect(settings, offered, reaches),
    )


def reach_of(settings: McpServer) -> dict[str, Any]:
    """Return where a server's tools run, what they reach, and the names of the secrets that they get."""
    network = settings.network if settings.local else (host_of(settings.url),)
    return {"host": not settings.local, "network": network, "secrets": settings.shown_secrets}


def _effect(settings: McpServer, offered: Offered, reaches: Sequence[str]) -> dict[str, Any]:
    hints: Mapping[str, bool] = offered.hints
    strict = hints.get("destructiveHint") is True
    walled = settings.local and not settings.network and not reaches
    reads = hints.get("readOnlyHint") is True or offered.name == READ_RESOURCE
    if walled and reads and not strict and hints.get("openWorldHint") is not True:
        return {"effect": "write_inside", "once": False, "strict": False}
    return {"effect": "effect", "once": True, "strict": strict}


def host_of(url: str) -> str:
    """Return `host:port` of a URL."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{parts.port or USUAL_PORTS.get(parts.scheme, 443)}"
