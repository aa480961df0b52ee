"""What the owner says of tools in place of their authors: `[tools."mail.send"]` in dirigent.toml.

It is taken over when the tools are found, so that all who ask a tool what it does hear the owner's word.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from agent.errors import ConfigError, ToolUnknown

if TYPE_CHECKING:
    from agent.config import ToolSettings
    from plugins.api import ToolSpec
    from plugins.loader import LoadedPlugin


@dataclass(frozen=True, slots=True)
class Overridden:
    """A tool as its author declared it, as it counts, and the names of what the owner has set."""

    declared: ToolSpec
    now: ToolSpec
    names: tuple[str, ...]


def overridden(
    words: Mapping[str, ToolSettings], find: Callable[[str], ToolSpec], names: Collection[str]
) -> dict[str, Overridden]:
    """Return the tools that the owner says something of, by full name; `names` are those of all tools.

    Raises ConfigError for a tool or argument that is not there, and for a word that could not hold.
    """
    found: dict[str, Overridden] = {}
    for name, word in words.items():
        spec = _found(name, find, names)
        if spec.full_name in found:
            raise ConfigError(f"{_table(name)} in dirigent.toml: {spec.full_name} has another table there.", hint=ONE)
        found[spec.full_name] = _said(name, spec, word.model_dump(exclude_none=True))
    return found


def with_tools(plugin: LoadedPlugin, tools: Mapping[str, Overridden]) -> LoadedPlugin:
    """Return the plugin with its tools as the owner wants them."""
    if not any(spec.full_name in tools for spec in plugin.tools):
        return plugin
    now = tuple(tools[spec.full_name].now if spec.full_name in tools else spec for spec in plugin.tools)
    return replace(plugin, tools=now, commands=tuple(spec for spec in now if spec.command))


ONE = "Keep one table for each tool."


def _table(name: str) -> str:
    return f'[tools."{name}"]'


def _found(name: str, find: Callable[[str], ToolSpec], names: Collection[str]) -> ToolSpec:
    try:
        return find(name)
    except ToolUnknown:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.55)
        hint = f"Did you mean {_table(near[0])}?" if near else "`dirigent plugins` lists all tools."
        raise ConfigError(f"{_table(name)} in dirigent.toml: there is no such tool.", hint=hint) from None


def _said(name: str, spec: ToolSpec, values: dict[str, Any]) -> Overridden:
    known = list(spec.hints)
    for argument in values.get("egress", ()):
        if argument not in known:
            near = difflib.get_close_matches(argument, known, n=1, cutoff=0.5)
            hint = f"Did you mean '{near[0]}'?" if near else f"Its arguments: {', '.join(known) or 'none'}."
            said = f"{_table(name)} in dirigent.toml: egress names {argument!r}, which is no argument of it."
            raise ConfigError(said, hint=hint)
    now = replace(spec, **values)
    if now.effect == "effect" and spec.effect != "effect" and "once" not in values:
        now = replace(now, once=True)  # what changes something outside is not repeated unasked, unless it is said so
    if values.get("strict"):
        now = replace(now, standing=False)  # to such calls nobody agrees beforehand
    _check_network(name, now, values)
    return Overridden(spec, now, tuple(values))


def _check_network(name: str, now: ToolSpec, values: Mapping[str, Any]) -> None:
    """Refuse what would not hold: who has the network sends, and hears what others say, whatever is said of it."""
    if not now.sends_out:
        return
    hosts = ", ".join(now.network or now.reaches)
    if values.get("effect") in {"pure", "write_inside"}:
        raise ConfigError(
            f'{_table(name)} in dirigent.toml: effect = "{now.effect}", but it may reach {hosts}.',
            hint='Write effect = "read" with egress = [the arguments that it sends], or leave it out.',
        )
    if values.get("untrusted") is False:
        raise ConfigError(
            f"{_table(name)} in dirigent.toml: untrusted = false, but it may reach {hosts}, whose words are not yours.",
            hint="Leave it out.",
        )
