"""`dirigent people`: who may talk to the bot, and as what."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator

    from agent.config import AppConfig
    from agent.domain.people import Person
    from agent.store.protocol import Store

EXAMPLES = """\
examples:
  dirigent people
  dirigent people remove 4712
  dirigent people block 4712     not even told who works here
  dirigent people owner 4712

Ids are Telegram's numeric ones. A running `dirigent serve` follows with the next message.
"""
ACTIONS = ("list", "remove", "owner", "member", "block")


def parser(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Declare the arguments."""
    made.add_argument("action", nargs="?", choices=ACTIONS, default="list", help="what to do (default: list)")
    made.add_argument("id", nargs="?", default="", metavar="ID", help="the person")
    made.add_argument("--json", action="store_true", help="list as JSON")
    made.epilog = EXAMPLES
    return made


def run(arguments: argparse.Namespace) -> int:
    """List or change people. Raises DirigentError for an id that names nobody."""
    from agent.cli.opening import open_config
    from agent.errors import DirigentError

    if (arguments.action == "list") == bool(arguments.id):
        raise DirigentError(
            f"`dirigent people {arguments.action}` {'takes no' if arguments.id else 'needs an'} id.",
            hint="`dirigent people` lists them with their ids.",
        )
    return asyncio.run(_run(open_config(arguments), arguments))


@contextlib.asynccontextmanager
async def journal(config: AppConfig) -> AsyncIterator[Store]:
    """Yield the installation's open journal."""
    from agent.parts import make_parts

    store = make_parts(config).store
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def _run(config: AppConfig, arguments: argparse.Namespace) -> int:
    async with journal(config) as store:
        if arguments.action == "list":
            _print(config, await store.people(), as_json=arguments.json)
        else:
            print(await _change(config, store, arguments.action, arguments.id))
    return 0


def _print(config: AppConfig, people: list[Person], *, as_json: bool) -> None:
    if as_json:
        named = [{"channel": "telegram", "user_id": str(owner), "role": "owner"} for owner in config.owners]
        print(json.dumps([*named, *map(asdict, people)], ensure_ascii=False, indent=1))
        return
    for owner in config.owners:
        print(f"{owner:>12}  owner    (by the setting `owners`)")
    for person in people:
        print(f"{person.user_id:>12}  {person.role:<8} {person.name}")
    if not config.owners and not people:
        print("Nobody yet. `dirigent pair --owner` makes a code for the first owner.")


async def _change(config: AppConfig, store: Store, action: str, wanted: str) -> str:
    from agent.domain.people import Person, Role
    from agent.errors import ConfigError, NotFound

    if wanted in {str(owner) for owner in config.owners}:
        raise ConfigError(
            f"{wanted} is an owner by the setting `owners`.", hint="Take it out of dirigent.toml or DIRIGENT_OWNERS."
        )
    person = next((person for person in await store.people() if person.user_id == wanted), None)
    if person is None and action == "block" and wanted.isdecimal():
        person = Person("telegram", wanted)
    if person is None:
        raise NotFound(f"There is nobody with the id {wanted!r}.", hint="`dirigent people` lists who is in.")
    await store.audit("people", "", {"person": wanted, "verb": action, "by": "command line"})
    if action == "remove":
        await store.remove_person(person.channel, person.user_id)
        return f"{wanted} is removed."
    role = Role.BLOCKED if action == "block" else Role(action)
    await store.put_person(replace(person, role=role))
    return f"{wanted} is {role} now."
