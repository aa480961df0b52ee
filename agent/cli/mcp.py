"""`dirigent mcp`: servers of tools that speak MCP; and Dirigent as one, for other programs."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.errors import ConfigError, DirigentError, NotFound

if TYPE_CHECKING:
    import argparse

    from agent.config import AppConfig
    from agent.config.mcp import McpServer
    from agent.mcp.accepted import Listing, Offered

EPILOG = """\
examples:
  dirigent mcp add clock -- python3 -m mcp_server_time         of Dirigent's own environment
  dirigent mcp add git --folder /opt/git -- /opt/git/bin/mcp-server-git        of an environment of its own
  dirigent mcp add tracker --url https://mcp.example.org/mcp --bearer TRACKER_TOKEN
  dirigent mcp add mail --secret MAIL_KEY --network api.mail.example --folder /opt/mail -- node /opt/mail/server.js
  dirigent mcp                       which there are, and what is held back
  dirigent mcp check                 starts each, and says what works and what has changed
  dirigent mcp accept tracker        looks at what has changed, and asks
  dirigent mcp remove tracker
  dirigent mcp serve                 Dirigent as a server for another program, over standard input and output

A command runs in the sandbox of the chat that uses it: it sees that chat's files and nothing else, and reaches the
hosts under --network only. What a server says of its own tools is not believed: unless walls hold it, a tool asks
before it does what you did not say in your own words, and what it returns counts as written by others. Your word goes
first, in dirigent.toml:
  [tools."tracker.search"]
  effect = "read"                    also: once, untrusted, private, strict; `dirigent plugins tracker` shows all

A tool that changes, or comes, after you have accepted a server is held back until you accept it too. What you add,
accept or remove counts at once in a `dirigent serve` that runs, and in workers with the same home; only folders and
secrets that are new to them need a restart. Secrets are named here and lie in secrets/ of the home. For other programs
over HTTP set web.mcp and web.token: POST /mcp.
"""
DOES = ("list", "add", "remove", "check", "accept", "serve")
SHOWN = 100
PASSES_ON = True


def parser(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Declare the arguments."""
    made.add_argument("action", nargs="?", choices=DOES, default="list", help="what to do (default: list)")
    made.add_argument("name", nargs="?", default="", help="which server; for add, the name that it gets here")
    made.usage = "dirigent mcp [list|add|remove|check|accept|serve] [NAME] [OPTIONS] [-- COMMAND …]"
    made.add_argument("--url", default="", help="add: where the server is, instead of a command")
    made.add_argument("--private", action="store_true", help="add: the URL may be an address of your own network")
    made.add_argument("--bearer", default="", metavar="SECRET", help="add: the secret that opens the URL")
    made.add_argument("--header", action="append", default=[], metavar="H=SECRET", help="add: a header, and its secret")
    made.add_argument("--secret", action="append", default=[], metavar="NAME", help="add: a secret for the command")
    made.add_argument("--env", action="append", default=[], metavar="NAME", help="add: a variable for the command")
    made.add_argument("--network", action="append", default=[], metavar="HOST", help="add: a host it may reach")
    made.add_argument("--folder", action="append", default=[], metavar="DIR", help="add: a folder it needs, read-only")
    made.add_argument("--tool", action="append", default=[], metavar="TOOL", help="add: only these tools")
    made.add_argument("--deny", action="append", default=[], metavar="TOOL", help="add: all but these tools")
    made.add_argument("--yes", action="store_true", help="add, accept: agree without being asked")
    made.add_argument("--json", action="store_true", help="list, check: one JSON array, for programs")
    made.epilog = EPILOG
    return made


def run(words: list[str]) -> int:
    """Do what is asked. Raises DirigentError for what can't be done; 1 when a server does not work."""
    from agent.cli import COMMANDS, _parser
    from agent.cli.opening import open_config

    end = words.index("--") if "--" in words else len(words)  # what follows is the server's, options and all
    arguments = parser(_parser("dirigent mcp", COMMANDS["mcp"])).parse_intermixed_args(words[:end])
    arguments.command = words[end + 1 :]
    if arguments.action == "serve":
        from agent.cli.mcp_serving import serve

        return serve(open_config(arguments))
    config = open_config(arguments)
    if arguments.action in {"add", "remove", "accept"} and not arguments.name:
        raise DirigentError(f"`dirigent mcp {arguments.action}` needs a name.", hint="`dirigent mcp --help` says more.")
    actions = {"list": _list, "add": _add, "remove": _remove, "check": _check, "accept": _accept}
    return actions[arguments.action](config, arguments)


# --- what there is --------------------------------------------------------------------------------------------------
def _list(config: AppConfig, arguments: argparse.Namespace) -> int:
    from agent.mcp.plugins import mcp_plugins, remark

    plugins = {plugin.source.removeprefix("mcp:"): plugin for plugin in mcp_plugins(config)}
    rows = [
        {
            "name": name,
            "runs": _runs(settings),
            "enabled": settings.enabled,
            "tools": len(plugins[name].tools) if name in plugins else 0,
            "error": (plugins[name].error or "") if name in plugins else "",
            "remark": remark(config, name),
        }
        for name, settings in sorted(config.mcp.items())
    ]
    if arguments.json:
        print(json.dumps(rows, ensure_ascii=False, indent=1))
    for row in () if arguments.json else rows:
        state = f"✗ {row['error']}" if row["error"] else f"{row['tools']} tools" if row["enabled"] else "switched off"
        print(f"{row['name']:<16} {row['runs']}\n    {state}" + (f"\n    ! {row['remark']}" if row["remark"] else ""))
    if not rows and not arguments.json:
        print("There are no MCP servers. `dirigent mcp add NAME -- COMMAND` makes one known; --help has examples.")
    return 0


def _runs(settings: McpServer) -> str:
    return shlex.join(settings.command) if settings.local else settings.url


# --- add and remove -------------------------------------------------------------------------------------------------
def _add(config: AppConfig, arguments: argparse.Namespace) -> int:
    from agent.cli.tables import change
    from agent.mcp.accepted import accept

    name = arguments.name
    values = _values(arguments)
    wider = _with(config, name, values)
    try:
        listing = _seen(wider, name)
    except DirigentError as error:
        raise type(error)(error.message, hint=_not_visible(wider.mcp[name]) or error.hint) from None
    _show(wider, name, listing)
    if not _agreed(arguments, f"Use {name} with these tools?"):
        print("Nothing was added.")
        return 1
    change(config.folder / "dirigent.toml", f"mcp.{name}", values)
    accept(config.folder, name, listing)
    print(f"Added: [mcp.{name}] in {config.folder / 'dirigent.toml'}. {_running(wider.mcp[name])}")
    return 0


def _running(settings: McpServer) -> str:
    """Return when a process that runs already has a server that was added or accepted."""
    if settings.folders or settings.shown_secrets:
        return (
            "A running `dirigent serve` has it at once, unless its folders or secrets are new to it: restart it then."
        )
    return "A running `dirigent serve` has it at once."


def _not_visible(settings: McpServer) -> str:
    """Return what to do when a server's program lies where the sandbox does not show it; "" when it does."""
    from agent.mcp.places import FETCHERS, command_of, folders_of

    if not settings.local:
        return ""
    fetcher = Path(settings.command[0]).name
    if fetcher in FETCHERS and not settings.network:
        once = f"install it once (`{FETCHERS[fetcher]}`), and add the program that is then in DIR, with `--folder DIR`"
        return f"{fetcher} fetches what it runs, and inside there is no network: {once}."
    command = command_of(settings.command)
    given = [Path(folder).expanduser() for folder in settings.folders]
    files = [command[0], *(word for word in command[1:] if Path(word).is_file())]
    found = [folder for file in files for folder in folders_of(file)]
    needed = [one for one in dict.fromkeys(found) if not any(one.is_relative_to(folder) for folder in given)]
    if not needed:
        return ""
    options = " ".join(f"--folder {shlex.quote(str(one))}" for one in [*given, *needed])
    return f"Inside, its program is only there with `{options} -- {shlex.join(command)}`."


def _values(arguments: argparse.Namespace) -> dict[str, Any]:
    headers = dict(header.partition("=")[::2] for header in arguments.header)
    given = {
        "command": arguments.command,
        "url": arguments.url,
        "private": arguments.private,
        "bearer": arguments.bearer,
        "headers": headers,
        "secrets": arguments.secret,
        "env": arguments.env,
        "network": arguments.network,
        "folders": arguments.folder,
        "tools": arguments.tool,
        "denied": arguments.deny,
    }
    return {name: value for name, value in given.items() if value}


def _with(config: AppConfig, name: str, values: dict[str, Any]) -> AppConfig:
    """Return the settings with one server more. Raises ConfigError for what can't be."""
    from pydantic import TypeAdapter, ValidationError

    from agent.catalogue import Catalogue
    from agent.config.mcp import McpServer, Name

    if name in config.mcp:
        raise ConfigError(f"There is an MCP server {name!r} already.", hint=f"`dirigent mcp remove {name}` first.")
    if name in {plugin.name for plugin in Catalogue.load(config).plugins}:
        raise ConfigError(f"There is a plugin {name!r}.", hint="Give the server another name.")
    try:
        TypeAdapter(Name).validate_python(name)
        settings = McpServer(**values)
    except ValidationError as error:
        said = "; ".join(one["msg"].removeprefix("Value error, ") for one in error.errors())
        raise ConfigError(f"{name}: {said}.", hint="`dirigent mcp --help` has examples.") from None
    return config.model_copy(update={"mcp": {**config.mcp, name: settings}})


def _remove(config: AppConfig, arguments: argparse.Namespace) -> int:
    from agent.cli.tables import change
    from agent.mcp.accepted import forget

    _known(config, arguments.name)
    change(config.folder / "dirigent.toml", f"mcp.{arguments.name}", None)
    forget(config.folder, arguments.name)
    print(f"Removed: {arguments.name}.")
    return 0


def _known(config: AppConfig, name: str) -> McpServer:
    if name not in config.mcp:
        listed = ", ".join(sorted(config.mcp)) or "none"
        raise NotFound(f"There is no MCP server {name!r}.", hint=f"There is: {listed}.")
    return config.mcp[name]


# --- look -----------------------------------------------------------------------------------------------------------
def _seen(config: AppConfig, name: str) -> Listing:
    from agent.mcp.looking import look
    from agent.parts import sandbox_policy
    from sandbox.boxes import Boxes

    async def looked() -> Listing:
        boxes = Boxes(sandbox_policy(config))
        try:
            return await look(config, boxes, name)
        finally:
            await boxes.close()

    return asyncio.run(looked())


def _accept(config: AppConfig, arguments: argparse.Namespace) -> int:
    from agent.mcp.accepted import accept, accepted, difference

    name = arguments.name
    _known(config, name)
    listing = _seen(config, name)
    try:
        before = accepted(config.folder, name)
    except ConfigError:  # damaged: it is made anew
        before = None
    _show(config, name, listing, before)
    if before is not None and (found := difference(before, listing)):
        print(f"\nSince you accepted it — {found.in_words()}")
    if not _agreed(arguments, f"Use {name} with these tools?"):
        print("Nothing was accepted.")
        return 1
    accept(config.folder, name, listing)
    print(f"Accepted. {_running(config.mcp[name])}")
    return 0


def _check(config: AppConfig, arguments: argparse.Namespace) -> int:
    """Start each server and say what works, and what is different from what was accepted."""
    names = [arguments.name] if arguments.name else sorted(config.mcp)
    found = [_checked(config, name, quiet=arguments.json) for name in names]
    if arguments.json:
        print(json.dumps(found, ensure_ascii=False, indent=1))
    elif not found:
        print("There are no MCP servers.")
    return int(any(one["error"] for one in found))


def _checked(config: AppConfig, name: str, *, quiet: bool) -> dict[str, Any]:
    from agent.mcp.accepted import note
    from agent.mcp.plugins import mcp_plugins, remark

    _known(config, name)
    told: dict[str, Any] = {"name": name, "error": "", "hint": "", "about": "", "tools": [], "remark": ""}
    try:
        listing = _seen(config, name)
        note(config.folder, name, listing)
        told |= {"about": listing.about, "tools": [tool.name for tool in listing.tools]}
        errors = [plugin.error for plugin in mcp_plugins(config) if plugin.source == f"mcp:{name}"]
        told |= {"error": next((error for error in errors if error), ""), "remark": remark(config, name)}
    except DirigentError as error:
        told |= {"error": error.message, "hint": error.hint}
    if not quiet:
        _tell(config, told, None if not told["tools"] else listing)
    return told


def _tell(config: AppConfig, told: dict[str, Any], listing: Listing | None) -> None:
    if listing is not None:
        _show(config, told["name"], listing)
    mark = "✗" if told["error"] else "!" if told["remark"] else "✓"
    said = told["error"] or told["remark"] or f"{len(told['tools'])} tools, as you accepted them"
    print(f"{mark} {told['name']}: {said}" + (f"\n    → {told['hint']}" if told["hint"] else ""))


def _show(config: AppConfig, name: str, listing: Listing, before: Listing | None = None) -> None:
    from agent.mcp.accepted import MOST_TOOLS
    from agent.mcp.cleaning import plain_names

    print(f"{name}: {listing.about or 'a server that does not say what it is'}")
    plain = plain_names(tool.name for tool in listing.tools)
    if len(listing.tools) == MOST_TOOLS:
        print(f"  (of all that it offers, the first {MOST_TOOLS} are taken)")
    for tool in listing.tools:
        known = before.tool(tool.name) if before is not None else None
        mark = "" if before is None or (known and known.digest == tool.digest) else "changed: " if known else "new: "
        print(f"  {mark}{plain[tool.name]:<24} {_does(config, name, tool, plain[tool.name])}")
        for line in tool.description.splitlines():
            print(f"      {line}")


def _does(config: AppConfig, name: str, tool: Offered, plain: str) -> str:
    """Return what a tool is taken to do, and what its server claims."""
    from agent.mcp.labels import spec_of

    if tool.unfit:
        return f"✗ left out: {tool.unfit}"
    spec = spec_of(name, config.mcp[name], tool, plain, config.sandbox.allow_hosts)
    effect = f"{spec.effect}, once" if spec.once and spec.effect == "effect" else spec.effect
    claims = ", ".join(f"{hint}={str(value).lower()}" for hint, value in tool.hints.items())
    arguments = ", ".join(tool.schema.get("properties", {}))
    return f"{effect}{', strict' if spec.strict else ''}  ({arguments[:SHOWN]})" + (
        f"  claims {claims}" if claims else ""
    )


def _agreed(arguments: argparse.Namespace, question: str) -> bool:
    if arguments.yes:
        return True
    if not sys.stdin.isatty():
        raise DirigentError("Nobody is there to look at the tools.", hint="Look at them above, then again with --yes.")
    from agent.cli.asking import agreed

    return agreed(f"\n{question}")
