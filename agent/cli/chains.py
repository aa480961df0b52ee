"""`dirigent chains`: pipelines one after the other, up to the first failure; how they have gone; when they run."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from agent.errors import DirigentError

if TYPE_CHECKING:
    import argparse

    from agent.app import App
    from agent.domain.chain import Chain, ChainHistory
    from agent.domain.trigger import Trigger

EXAMPLES = """\
examples:
  dirigent chains create nightly export compress upload --every 1d
  dirigent chains
  dirigent chains show nightly
  dirigent chains run nightly --input day=2026-11-21
  dirigent chains schedule nightly --say "every Friday at 9"
  dirigent chains delete nightly

What a pipeline needs as input is what an earlier one gives out under that name, and else an input of the chain.
"""
ACTIONS = ("list", "create", "show", "run", "schedule", "delete")


def parser(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Declare the arguments."""
    made.add_argument("action", nargs="?", choices=ACTIONS, default="list", help="what to do (default: list)")
    made.add_argument("name", nargs="?", default="", metavar="NAME", help="the chain, by name or id")
    made.add_argument("workflows", nargs="*", metavar="PIPELINE", help="create: the pipelines, in order")
    made.add_argument("--every", default="", metavar="TIME", help="run it every 5m, 12h, 1d, …")
    made.add_argument("--cron", default="", metavar="CRON", help='run it by cron: "0 9 * * 5"')
    made.add_argument("--say", default="", metavar="WORDS", help='run it at a time in words: "every Friday at 9"')
    made.add_argument(
        "--input", action="append", default=[], metavar="K=V", help="an input of a run, or of the schedule"
    )
    made.add_argument("--chat", default="", metavar="ID", help="the chat that gets what scheduled runs say")
    made.add_argument("--json", action="store_true", help="as JSON; for run: one object a line")
    made.add_argument("--session", default="", metavar="NAME", help="run: a session of its own")
    made.add_argument("--model", metavar="NAME", help="run: use this model, or `offline` for none")
    made.epilog = EXAMPLES
    return made


def run(arguments: argparse.Namespace) -> int:
    """List, make, run or delete chains. Raises DirigentError for a name that names none."""
    from agent.cli.opening import open_config

    if (arguments.action == "list") == bool(arguments.name):
        raise DirigentError(
            f"`dirigent chains {arguments.action}` {'takes no' if arguments.name else 'needs a'} name.",
            hint="`dirigent chains` lists them; `dirigent chains create NAME PIPELINE …` makes one.",
        )
    if arguments.workflows and arguments.action != "create":
        raise DirigentError(f"{arguments.workflows[0]!r} is too much.", hint="Only `create` takes pipelines.")
    if arguments.action == "run":
        return _carry_out(arguments)
    return asyncio.run(_run(open_config(arguments), arguments))


def _carry_out(arguments: argparse.Namespace) -> int:
    """Run a chain as `dirigent run` does."""
    import argparse as library

    from agent.cli import run as command

    words = [arguments.name, *(word for given in arguments.input for word in ("--input", given))]
    words += ["--json"] if arguments.json else []
    words += ["--session", arguments.session] if arguments.session else []
    words += ["--model", arguments.model] if arguments.model else []
    parsed = command.parser(library.ArgumentParser()).parse_args(words)
    parsed.home = arguments.home
    return command.run(parsed)


async def _run(config: Any, arguments: argparse.Namespace) -> int:
    from agent.cli.opening import journal_open

    async with journal_open(config) as app:
        await _ACTIONS_OF[arguments.action](app, arguments)
    return 0


async def _list(app: App, arguments: argparse.Namespace) -> None:
    from agent.automation.overview import chain_line
    from agent.automation.times import local_zone

    found = [(chain, await app.chains.history(chain.id, 1)) for chain in await app.chains.list()]
    if arguments.json:
        print(json.dumps([as_data(chain, history) for chain, history in found], ensure_ascii=False, indent=1))
        return
    for chain, history in found:
        print(f"{chain.id}  {chain_line(chain, history, local_zone())}")
    if not found:
        print("There are no chains yet. `dirigent chains create NAME PIPELINE …` makes one.")


async def _create(app: App, arguments: argparse.Namespace) -> None:
    chain = await app.chains.create_chain(arguments.name, arguments.workflows)
    print(f"{chain.id}  {chain.name}: {' → '.join(chain.workflows)}")
    if arguments.every or arguments.cron or arguments.say:
        await _schedule(app, arguments)


async def _show(app: App, arguments: argparse.Namespace) -> None:
    from agent.automation.overview import chain_line, moment, trigger_line
    from agent.automation.times import local_zone

    chain = await app.chains.get_chain(arguments.name)
    history = await app.chains.history(chain.id)
    if arguments.json:
        print(json.dumps(as_data(chain, history), ensure_ascii=False, indent=1))
        return
    print(f"{chain.id}  {chain_line(chain, history, local_zone())}")
    for trigger in await _triggers(app, chain):
        print(f"  {trigger_line(trigger)}")
    for one in history.executions:
        why = f": {one.error}" if one.error else ""
        print(f"  run {one.ref}  {moment(one.created_at, local_zone())}  {one.status.lower()}{why}")


async def _triggers(app: App, chain: Chain) -> list[Trigger]:
    return [one for one in await app.store.triggers() if one.target.get("chain") in {chain.id, chain.name}]


async def _schedule(app: App, arguments: argparse.Namespace) -> None:
    import secrets

    from agent.automation.telling import described, upcoming
    from agent.cli.chats import destination
    from agent.cli.times import spec_of
    from agent.domain.trigger import Overlap, Trigger, TriggerKind
    from agent.pipelines import inputs_of

    chain = await app.chains.get_chain(arguments.name)
    dest = await destination(app, arguments.chat)
    made = await app.automation.create(
        Trigger(
            id=secrets.token_hex(6),
            name=chain.name,
            kind=TriggerKind.SCHEDULE,
            target={"chain": chain.id, "inputs": inputs_of(arguments.input, "Write --input name=value.")},
            session_id=dest.session_id,
            dest=dest,
            spec=spec_of(app.config, every=arguments.every, cron=arguments.cron, say=arguments.say),
            overlap=Overlap.SKIP,
            created_by=dest.chat_id,
        )
    )
    print(f"{made.id}  {described(made)} · {upcoming(made)} · {dest.session_id}")


async def _delete(app: App, arguments: argparse.Namespace) -> None:
    chain = await app.chains.get_chain(arguments.name)
    for trigger in await _triggers(app, chain):
        await app.automation.delete(trigger.id)
    await app.chains.delete_chain(chain.id)
    print(f"The chain “{chain.name}” and its schedules are deleted; its pipelines and runs stay.")


def as_data(chain: Chain, history: ChainHistory) -> dict[str, Any]:
    """Return a chain as JSON values; times are seconds since 1970."""
    return {
        "id": chain.id,
        "name": chain.name,
        "workflows": list(chain.workflows),
        "created_at": chain.created_at,
        "success_rate": history.success_rate,
        "succeeded": history.succeeded,
        "failed": history.failed,
        "last_execution": history.last_execution.created_at if history.last_execution else None,
        "execution_history": [
            {"ref": one.ref, "status": one.status, "at": one.created_at, "error": one.error}
            for one in history.executions
        ],
    }


_ACTIONS_OF = {"list": _list, "create": _create, "show": _show, "schedule": _schedule, "delete": _delete}
