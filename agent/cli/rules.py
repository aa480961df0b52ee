"""`dirigent rules`: what is never done, what is always allowed, and who is known."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from agent.catalogue import Catalogue
    from agent.config import AppConfig
    from agent.policy.own_rules import OwnRules
    from agent.store.protocol import Store
    from plugins.api import ToolSpec

EXAMPLES = """\
examples:
  dirigent rules
  dirigent rules never send_mail
  dirigent rules never "web.*"
  dirigent rules allow send_mail to=ada@example.org --days 30
  dirigent rules allow fetch "url=https://docs.python.org/3/*"
  dirigent rules know bob bob@example.org      who you mean by "bob" in a request
  dirigent rules know bob                      forgets it
  dirigent rules remove 2

"never" always wins. "allow" covers exactly that call, until it ends by itself: every argument but free text must be
given. What pays, deletes, installs, takes files, or touches credentials or schedules can't be allowed beforehand.
A running `dirigent serve` follows at once.
"""
ACTIONS = ("list", "never", "allow", "know", "remove")
BY = "command line"


def parser(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Declare the arguments."""
    made.add_argument("action", nargs="?", choices=ACTIONS, default="list", help="what to do (default: list)")
    made.add_argument("words", nargs="*", metavar="WORD", help="a tool and NAME=VALUE; a name and a value; a number")
    made.add_argument("--days", type=float, default=30.0, help="how long an `allow` holds (default: 30)")
    made.add_argument("--json", action="store_true", help="list as JSON")
    made.epilog = EXAMPLES
    return made


def run(arguments: argparse.Namespace) -> int:
    """List or change rules. Raises DirigentError for what can't be."""
    from agent.cli.opening import open_config

    return asyncio.run(_run(open_config(arguments), arguments))


async def _run(config: AppConfig, arguments: argparse.Namespace) -> int:
    from agent.cli.people import journal
    from agent.policy.own_rules import rules_of

    async with journal(config) as store:
        if arguments.action == "list":
            rules = await rules_of(store)
            print(_as_json(rules) if arguments.json else listed(rules))
        else:
            print(await _change(config, store, arguments))
    return 0


async def _change(config: AppConfig, store: Store, arguments: argparse.Namespace) -> str:
    from agent.errors import DirigentError
    from agent.policy import own_rules

    words = arguments.words
    if not words:
        example = {"remove": "remove 2", "know": "know bob bob@example.org"}.get(arguments.action, "never send_mail")
        raise DirigentError(f"`dirigent rules {arguments.action}` needs more words.", hint=f"dirigent rules {example}")
    if arguments.action == "remove":
        gone = await own_rules.remove(store, _number(words[0]), BY)
        return f"Taken back: {gone.in_words()}"
    if arguments.action == "know":
        await own_rules.know(store, words[0], " ".join(words[1:]), BY)
        return f"Known: {words[0]} is {' '.join(words[1:])}" if words[1:] else f"{words[0]} is no longer known."
    catalogue = await asyncio.to_thread(_catalogue, config)
    if arguments.action == "never":
        made = await own_rules.forbid(store, words[0], catalogue.tools(), BY)
    else:
        spec = catalogue.find(words[0])
        made = await own_rules.allow(store, spec, _pinned(spec, words[1:]), BY, days=arguments.days)
    return f"Rule {made.number}: {made.in_words()}"


def _catalogue(config: AppConfig) -> Catalogue:
    from agent.parts import make_parts

    return make_parts(config).catalogue


def _number(word: str) -> int:
    from agent.errors import NotFound

    if not word.isdecimal():
        raise NotFound(f"{word!r} is no number of a rule.", hint="`dirigent rules` lists them.")
    return int(word)


def _pinned(spec: ToolSpec, words: list[str]) -> dict[str, Any]:
    """Return `name=value` words as arguments of a tool: as JSON where the tool takes no text."""
    from agent.errors import DirigentError

    pinned: dict[str, Any] = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign:
            raise DirigentError(f"{word!r} says no argument.", hint=f"dirigent rules allow {spec.name} NAME=VALUE")
        kind = spec.parameters.get("properties", {}).get(name, {}).get("type")
        pinned[name] = value if kind == "string" else _read(value)
    return pinned


def _read(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def listed(rules: OwnRules) -> str:
    """Return the rules as a person reads them."""
    lines = [f"{one.number:>3}  {one.in_words()}" for one in rules.rules]
    lines += [f"     {name} is {value}" for name, value in sorted(rules.known.items())]
    return "\n".join(lines) or "No rules of your own. `dirigent rules --help` shows what there can be."


def _as_json(rules: OwnRules) -> str:
    from dataclasses import asdict

    made = {"rules": [asdict(one) for one in rules.rules], "known": dict(rules.known)}
    return json.dumps(made, ensure_ascii=False, indent=1)
