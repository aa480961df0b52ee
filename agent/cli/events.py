"""`dirigent events`: what has happened and what came of it; publish events; handle dead ones again."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from agent.errors import ConfigError, DirigentError

if TYPE_CHECKING:
    import argparse

    from agent.app import App

EXAMPLES = """\
examples:
  dirigent events
  dirigent events --dead
  dirigent events show 17
  dirigent events publish order.created --payload '{"total": 120}' --project shop --key order-4711
  dirigent events retry 17                    or `all`: every dead one
  dirigent events drop 17

An event is handled once: a second one with the same key is not taken. `--payload -` reads standard input.
"""
ACTIONS = ("list", "show", "publish", "retry", "drop")
SHOWN = 20


def parser(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Declare the arguments."""
    made.add_argument("action", nargs="?", choices=ACTIONS, default="list", help="what to do (default: list)")
    made.add_argument("what", nargs="?", default="", metavar="ID", help="an event's number or key; publish: its type")
    made.add_argument("--dead", action="store_true", help="list: only those that could not be handled")
    made.add_argument("--new", action="store_true", help="list: only those that are yet to be handled")
    made.add_argument("--limit", type=int, default=SHOWN, metavar="N", help=f"list: the newest N (default: {SHOWN})")
    made.add_argument("--payload", default="{}", metavar="JSON", help="publish: what it says, a JSON object")
    made.add_argument(
        "--project", default="", metavar="P", help="publish: the project that it belongs to; list: only its"
    )
    made.add_argument("--key", default="", metavar="K", help="publish: its own id (default: a new one)")
    made.add_argument("--priority", type=int, default=5, metavar="N", help="publish: higher ones first (default: 5)")
    made.add_argument("--json", action="store_true", help="list and show as JSON")
    made.epilog = EXAMPLES
    return made


def run(arguments: argparse.Namespace) -> int:
    """List, publish, retry or drop events. Raises DirigentError for an id that names none."""
    from agent.cli.opening import open_config

    if (arguments.action == "list") == bool(arguments.what):
        wants = "a type" if arguments.action == "publish" else "an id"
        said = "takes no id" if arguments.what else f"needs {wants}"
        raise DirigentError(f"`dirigent events {arguments.action}` {said}.", hint="`dirigent events --help` says more.")
    return asyncio.run(_run(open_config(arguments), arguments))


async def _run(config: Any, arguments: argparse.Namespace) -> int:
    from agent.cli.opening import journal_open

    async with journal_open(config) as app:
        await _ACTIONS_OF[arguments.action](app, arguments)
    return 0


async def _list(app: App, arguments: argparse.Namespace) -> None:
    from agent.automation.overview import event_data, event_line
    from agent.automation.times import local_zone

    status = "dead" if arguments.dead else "new" if arguments.new else ""
    found = await app.store.newest_events(max(1, arguments.limit), status=status, project=arguments.project)
    if arguments.json:
        print(json.dumps([event_data(event) for event in found], ensure_ascii=False, indent=1))
        return
    for event in reversed(found):
        print(event_line(event, local_zone()))
    if not found:
        print("No such events." if status or arguments.project else "No events yet.")


async def _show(app: App, arguments: argparse.Namespace) -> None:
    from agent.automation.overview import event_data, event_line
    from agent.automation.times import local_zone
    from agent.domain.event import OF_EVENT

    event = await app.automation.find_event(arguments.what)
    if arguments.json:
        print(json.dumps(event_data(event), ensure_ascii=False, indent=1))
        return
    print(event_line(event, local_zone()))
    trusted = "" if event.label.trusted else " (not trusted)"
    print(f"  key {event.key} · from {event.source}{trusted} · priority {event.priority}")
    print("  " + json.dumps(event.payload, ensure_ascii=False, indent=1).replace("\n", "\n  "))
    names = {trigger.id: trigger.name for trigger in await app.store.triggers()}
    for fire in await app.store.fires_with(OF_EVENT + event.key):
        started = f" run {fire.run_id}" if fire.run_id else ""
        print(f"  →{started} {fire.trigger_id} {names[fire.trigger_id]}: {(fire.run_status or fire.status).lower()}")


async def _publish(app: App, arguments: argparse.Namespace) -> None:
    import time
    import uuid

    from agent.domain.event import Event
    from agent.domain.provenance import USER

    key = arguments.key or f"cli:{uuid.uuid4().hex[:12]}"
    event = Event(
        type=arguments.what,
        source="cli",
        key=key,
        payload=_payload(arguments.payload),
        at=time.time(),
        project=arguments.project,
        priority=arguments.priority,
        provenance=USER,
    )
    if not await app.store.publish(event):
        print(f"An event with the key {key!r} is known already; nothing was changed.")
        return
    at_work = app.automation.wake_others()
    print(f"{key} is published." + ("" if at_work else " It is handled when `dirigent serve` or `dirigent chat` runs."))


def _payload(text: str) -> dict[str, Any]:
    import sys

    try:
        value = json.loads(sys.stdin.read() if text == "-" else text)
    except ValueError as error:
        raise ConfigError(f"--payload is no JSON: {error}.", hint="""Write --payload '{"total": 120}'.""") from None
    if not isinstance(value, dict):
        raise ConfigError("--payload is no JSON object.", hint="""Write --payload '{"total": 120}'.""")
    return value


async def _retry(app: App, arguments: argparse.Namespace) -> None:
    if arguments.what == "all":
        dead = await app.store.events("dead", 100_000)
        count = sum([await app.store.requeue_event(event.id) for event in dead])
        app.automation.events_came()
        print(f"{count} events are handled again.")
        return
    event = await app.automation.find_event(arguments.what)
    if not await app.automation.retry(event):
        raise DirigentError(f"The event {event.id} is not dead, but {event.status}.", hint="Nothing was changed.")
    print(f"The event {event.id} is handled again.")


async def _drop(app: App, arguments: argparse.Namespace) -> None:
    event = await app.automation.find_event(arguments.what)
    if not await app.automation.drop(event):
        raise DirigentError(f"The event {event.id} is handled already.", hint="Nothing was changed.")
    print(f"The event {event.id} is dropped.")


_ACTIONS_OF = {"list": _list, "show": _show, "publish": _publish, "retry": _retry, "drop": _drop}
