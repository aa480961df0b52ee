"""`dirigent plugins`: what is there, what each tool does to the world, and what could not be loaded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from agent.catalogue.overriding import Overridden
    from plugins.api import ServiceSpec, ToolSpec
    from plugins.loader import LoadedPlugin

NONE: Mapping[str, Overridden] = {}
EPILOG = """\
effects:
  pure          touches nothing outside
  read          reads outside; what it sends there may need your consent
  write_inside  writes the session's own files or memory
  effect        changes something elsewhere: asks when you did not say so yourself

Put a plugin of your own into plugins/ in the home: a Python file with a docstring and a function under @tool. It runs
inside the sandbox, all of it: it reaches the hosts and sees the secrets that its tools name, which are shown here.

What has to run outside (tools with host=True, services, a cost that is a function) is held back until you trust it:
  dirigent plugins trust NAME      shows what it would be allowed, asks, and notes the hash of its files
  dirigent plugins distrust NAME   takes that back
Trusted, every line of it runs in the agent's own process and can read every secret and every session. When one of its
files changes, it is not trusted any more until you look again.

What a tool's author says of it can be wrong. Your word goes first, in dirigent.toml:
  [tools."mail.send"]
  effect = "effect"      also: once, untrusted, private, strict (true or false), egress = ["argument", …]
"""


def parser(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Declare the arguments."""
    made.add_argument("name", nargs="?", default="", help="only this plugin, with its parameters and settings")
    made.add_argument("which", nargs="?", default="", help="after `trust` or `distrust`: the plugin that is meant")
    made.add_argument("--yes", action="store_true", help="trust without a question")
    made.add_argument("--json", action="store_true", help="one JSON array, for programs")
    made.epilog = EPILOG
    return made


def run(arguments: argparse.Namespace) -> int:
    """Print the plugins; return 1 when one is broken. Or trust one."""
    from agent.cli.opening import open_config
    from agent.parts import load_catalogue

    config = open_config(arguments)
    if arguments.name in {"trust", "distrust"} or arguments.which:
        from agent.cli.trusting import decide

        return decide(config, arguments.name, arguments.which, sure=arguments.yes)
    catalogue = load_catalogue(config, again=True)
    chosen = [catalogue.plugin(arguments.name)] if arguments.name else list(catalogue.plugins)
    yours = catalogue.set_by_owner
    if arguments.json:
        told = [as_data(plugin, yours) | {"remark": catalogue.remark(plugin.name)} for plugin in chosen]
        print(json.dumps(told, ensure_ascii=False, indent=1))
    else:
        for plugin in chosen:
            print("\n".join(_lines(plugin, yours, full=bool(arguments.name))))
            if said := catalogue.remark(plugin.name):
                print(f"    ! {said}")
    return int(any(plugin.error for plugin in chosen))


def as_data(plugin: LoadedPlugin, yours: Mapping[str, Overridden] = NONE) -> dict[str, Any]:
    """Return a plugin as JSON values; `yours` are the tools of which the owner has said something."""
    return {
        "name": plugin.name,
        "summary": plugin.summary,
        "source": str(plugin.source),
        "sha256": plugin.sha256,
        "error": plugin.error,
        "trusted": plugin.trusted,
        "held_back": dict(plugin.held_back),
        "tools": [{**_tool(spec), "set_by_you": _set(yours.get(spec.full_name))} for spec in plugin.tools],
        "services": [_service(spec) for spec in plugin.services],
        "settings": dict(plugin.settings),
    }


def _service(spec: ServiceSpec) -> dict[str, Any]:
    return {
        "name": spec.full_name,
        "summary": spec.description.splitlines()[0],
        "secrets": list(spec.secrets),
        "settings": list(spec.settings),
    }


def _tool(spec: ToolSpec) -> dict[str, Any]:
    return {
        "name": spec.full_name,
        "summary": spec.description.splitlines()[0],
        "effect": spec.effect,
        "once": spec.once,
        "host": spec.host,
        "command": spec.command,
        "network": list(spec.network),
        "secrets": list(spec.secrets),
        "parameters": spec.parameters,
        "standing": spec.standing,
        "cost": "by settings and arguments" if callable(spec.cost) else spec.cost,
    }


def _lines(plugin: LoadedPlugin, yours: Mapping[str, Overridden], *, full: bool) -> list[str]:
    lines = _head(plugin, full=full)
    if plugin.error:
        return [*lines, f"    ✗ {plugin.error}"]
    for spec in plugin.tools:
        name = f"/{spec.command}" if spec.command else spec.name
        lines.append(f"    {name:<18} {_effect(spec):<14} {spec.description.splitlines()[0]}")
        if full:
            lines += [f"        {line}" for line in _parameters(spec)]
        if full or not plugin.builtin:
            lines += [f"        {line}" for line in _may(spec)]
        if full:
            lines += [f"        {line}" for line in _yours(yours.get(spec.full_name))]
    for shared in plugin.services:
        lines.append(f"    {shared.name:<18} {'service':<14} {shared.description.splitlines()[0]}")
        if full and shared.secrets:
            lines.append(f"        secrets: {', '.join(shared.secrets)}")
    if full and plugin.settings:
        lines += [f"    [plugins.{plugin.name}] {name} — {text}" for name, text in plugin.settings.items()]
    return lines


def _head(plugin: LoadedPlugin, *, full: bool) -> list[str]:
    lines = [f"{plugin.name}  {plugin.summary}".rstrip()]
    if full or plugin.error:
        lines.append(f"    from {plugin.source}")
    if full and plugin.sha256:
        lines.append(f"    sha256 {plugin.sha256}")
    if plugin.trusted and not plugin.builtin:
        lines.append("    trusted by you: every line of it runs in the agent's own process")
    return lines


def _set(tool: Overridden | None) -> dict[str, Any]:
    return {name: getattr(tool.now, name) for name in tool.names} if tool is not None else {}


def _yours(tool: Overridden | None) -> list[str]:
    """Return what the owner has set for a tool, with what its author had declared."""
    if tool is None:
        return []
    from agent.policy.owners_word import less_careful

    lines = [
        f"set by you: {name} = {json.dumps(getattr(tool.now, name))} (its author: {_was(tool, name)})"
        for name in tool.names
    ]
    looser = less_careful(tool.declared, tool.now)
    return [*lines, f"! less careful than its author meant it to be: {', '.join(looser)}"] if looser else lines


def _was(tool: Overridden, name: str) -> str:
    return json.dumps(getattr(tool.declared, name))


def _may(spec: ToolSpec) -> list[str]:
    """Return what a tool may do besides computing: whom it reaches, which secrets it sees, where it runs."""
    may = {"may reach": spec.network, "sends": spec.egress, "sees the secrets": spec.secrets}
    lines = [f"{what} {', '.join(names)}" for what, names in may.items() if names]
    return [*lines, "runs outside the sandbox"] if spec.host else lines


def _effect(spec: ToolSpec) -> str:
    return f"{spec.effect}, once" if spec.once and spec.effect == "effect" else spec.effect


def _parameters(spec: ToolSpec) -> list[str]:
    schema = spec.parameters
    required = set(schema.get("required", ()))
    listed = []
    for name, kind in schema.get("properties", {}).items():
        default = "" if name in required else f" = {json.dumps(kind.get('default'), ensure_ascii=False)}"
        listed.append(f"{name}: {kind.get('type', 'any')}{default}")
    return listed
