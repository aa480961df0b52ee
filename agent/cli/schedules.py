"""`dirigent schedules`: what runs by itself, in all chats; run it, pause, resume, edit or delete it; watch a folder."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable

    from agent.app import App
    from agent.config import AppConfig
    from agent.domain.trigger import Trigger

EXAMPLES = """\
examples:
  dirigent schedules
  dirigent schedules stop             nothing fires any more, also after a restart, until `start`
  dirigent schedules pause 5f3a9c
  dirigent schedules edit 5f3a9c --time "every weekday at 8"
  dirigent schedules run 5f3a9c       `dirigent serve` carries it out, at once when it is running
  dirigent schedules watch ~/invoices --pattern "*.pdf" --do "Sum up {file}" --then move --chat telegram:4711
  dirigent schedules webhook orders --pipeline take_order        shows its address and its secret, once

While all is stopped, events and calls of webhooks are kept; of the times that pass meanwhile each schedule fires what
its misfire policy says (usually the newest). An id may be shortened as long as it stays the only one. Schedules are
made in a chat: “every Friday at 9 send me …”.
"""
AFTERWARDS = ("keep", "move", "ignore")
FOR_ALL = ("list", "stop", "start")
DOES = (*FOR_ALL, "run", "pause", "resume", "edit", "delete", "watch", "webhook")
WEBHOOK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def parser(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Declare the arguments."""
    made.add_argument("action", nargs="?", choices=DOES, default="list", help="what to do (default: list)")
    made.add_argument(
        "id",
        nargs="?",
        default="",
        help="which one, for everything but list, stop and start; for watch the folder; for webhook its name",
    )
    made.add_argument("--pattern", default="*", help="watch: which files, such as *.csv (default: all)")
    made.add_argument(
        "--do", default="", metavar="REQUEST", help="watch, webhook: what is asked; {file} is the file's name"
    )
    made.add_argument("--then", choices=AFTERWARDS, default="keep", help="watch: what becomes of it (default: keep)")
    made.add_argument("--chat", default="", metavar="ID", help="watch, webhook: the chat that gets the answers")
    made.add_argument("--pipeline", default="", metavar="NAME", help="webhook: the pipeline or chain that a call runs")
    made.add_argument("--input", action="append", default=[], metavar="K=V", help="webhook: an input, with templates")
    made.add_argument("--github", action="store_true", help="webhook: take calls signed as GitHub and its kin do")
    made.add_argument("--time", default="", metavar="WORDS", help="edit: when it runs, such as “every Friday at 9”")
    made.add_argument("--text", default="", metavar="REQUEST", help="edit: what is asked or told then")
    made.add_argument("--name", default="", help="edit: what it is called")
    made.add_argument("--json", action="store_true", help="list as JSON")
    made.epilog = EXAMPLES
    return made


def run(arguments: argparse.Namespace) -> int:
    """List or change schedules. Raises DirigentError for an id that names none."""
    from agent.cli.opening import open_config
    from agent.errors import DirigentError

    if (arguments.action in FOR_ALL) == bool(arguments.id):
        raise DirigentError(
            f"`dirigent schedules {arguments.action}` {'takes no' if arguments.id else 'needs an'} id.",
            hint="`dirigent schedules` lists them with their ids.",
        )
    return asyncio.run(_run(open_config(arguments), arguments))


async def _run(config: AppConfig, arguments: argparse.Namespace) -> int:
    from agent.cli.opening import journal_open

    async with journal_open(config) as app:
        if arguments.action == "list":
            await _list(app, as_json=arguments.json)
        elif arguments.action in FOR_ALL:
            print(await _switch(app, on=arguments.action == "start"))
        elif arguments.action in MAKES:
            print(await MAKES[arguments.action](app, arguments))
        else:
            trigger = await _named(app, arguments.id)
            print(await ACTIONS[arguments.action](app, trigger))
    return 0


async def _switch(app: App, *, on: bool) -> str:
    """Have everything fire again, or nothing any more."""
    await (app.automation.switch.release if on else app.automation.switch.halt)()
    return "Everything fires again." if on else "Nothing fires until `dirigent schedules start`; what comes is kept."


async def _named(app: App, wanted: str) -> Trigger:
    from agent.errors import NotFound

    found = [trigger for trigger in await app.store.triggers() if trigger.id.startswith(wanted)]
    exact = [trigger for trigger in found if trigger.id == wanted]
    if len(exact or found) != 1:
        problem = "More than one schedule begins with" if found else "There is no schedule"
        raise NotFound(f"{problem} {wanted!r}.", hint="`dirigent schedules` lists them with their ids.")
    return (exact or found)[0]


async def _edit(app: App, arguments: argparse.Namespace) -> str:
    from agent.cli.editing import edit

    return await edit(app, await _named(app, arguments.id), arguments)


async def _watch(app: App, arguments: argparse.Namespace) -> str:
    """Have each file that comes into a folder fire a request in a chat."""
    import secrets

    from agent.automation.chat import described
    from agent.domain.messages import Destination
    from agent.domain.trigger import Trigger, TriggerKind
    from agent.errors import ConfigError

    if not arguments.do:
        raise ConfigError("--do is missing: what is asked for each file.", hint='For example --do "Sum up {file}".')
    chats = {str(session["id"]): session["dest"] for session in await app.store.sessions()}
    chat = arguments.chat or (next(iter(chats)) if len(chats) == 1 else "")
    if chat not in chats:
        said = f"There is no chat {chat!r}." if chat else "--chat is missing: who gets the answers."
        raise ConfigError(said, hint=f"There are {', '.join(sorted(chats))}." if chats else "Say hello to it first.")
    dest = Destination.from_json(chats[chat])
    made = await app.automation.create(
        Trigger(
            id=secrets.token_hex(6),
            name=arguments.do[:80],
            kind=TriggerKind.FILE,
            target={"request": arguments.do},
            session_id=chat,
            dest=dest,
            spec={"folder": arguments.id, "pattern": arguments.pattern, "afterwards": arguments.then},
            created_by=dest.chat_id,
        )
    )
    when = "The folder is watched while `dirigent serve` or `dirigent chat` runs."
    return f"{made.id}  {described(made)}: {made.name}\n{when}"


async def _webhook(app: App, arguments: argparse.Namespace) -> str:
    """Make a webhook, or a new secret for the one that is there; the secret is shown this once."""
    from agent.automation.webhook import SIGNATURE_HEADER, TIMESTAMP_HEADER
    from agent.domain.trigger import TriggerKind

    await app.scheduled.set_schedules()
    there = [one for one in await app.store.triggers(kind=TriggerKind.WEBHOOK) if _called(one, arguments.id)]
    trigger = there[0] if there else await _new_webhook(app, arguments)
    assert app.automation.hooks is not None
    secret = app.automation.hooks.make_secret(trigger.id)
    how = "X-Hub-Signature-256: sha256=HMAC(secret, body)"
    if trigger.spec.get("signature") != "github":
        how = f"{TIMESTAMP_HEADER}: seconds since 1970\n{SIGNATURE_HEADER}: sha256=HMAC-SHA256(secret, timestamp.body)"
    anew = " has a new secret; the earlier one counts no more" if there else ""
    return f"{trigger.id}  {trigger.name}{anew}\nPOST /hooks/{trigger.id}\n{how}\nsecret (shown only now): {secret}"


def _called(trigger: Trigger, name: str) -> bool:
    return name in {trigger.id, trigger.name, str(trigger.spec.get("name"))}


async def _new_webhook(app: App, arguments: argparse.Namespace) -> Trigger:
    import secrets

    from agent.automation.webhook import GITHUB
    from agent.cli.chats import destination
    from agent.domain.trigger import Trigger, TriggerKind
    from agent.errors import ConfigError
    from agent.pipelines import inputs_of

    if bool(arguments.do) == bool(arguments.pipeline):
        raise ConfigError(
            f"There is no webhook {arguments.id!r} yet, and what it does is missing.",
            hint='Give --pipeline NAME, or --do "Look at {file}".',
        )
    if not WEBHOOK_NAME.fullmatch(arguments.id):
        raise ConfigError(f"{arguments.id!r} is no name.", hint="Use letters, digits, - and _ (at most 64).")
    target: dict[str, Any] = {"request": arguments.do}
    if arguments.pipeline:
        await app.pipelines.ready(arguments.pipeline)
        inputs = inputs_of(arguments.input, "Write --input 'name={{ event.payload.name }}'.")
        target = {"pipeline": arguments.pipeline, "inputs": inputs}
    dest = await destination(app, arguments.chat)
    spec = {"type": f"webhook.{arguments.id}", "name": arguments.id}
    return await app.automation.create(
        Trigger(
            id=secrets.token_hex(6),
            name=arguments.id,
            kind=TriggerKind.WEBHOOK,
            target=target,
            session_id=dest.session_id,
            dest=dest,
            spec={**spec, "signature": GITHUB} if arguments.github else spec,
            created_by=dest.chat_id,
        )
    )


async def _list(app: App, *, as_json: bool) -> None:
    from agent.automation.chat import HALTED, described, history, is_alive, upcoming

    await app.scheduled.set_schedules()
    found = [trigger for trigger in await app.store.triggers() if is_alive(trigger)]
    if not as_json and await app.automation.switch.off_since() is not None:
        print(HALTED)
    if as_json:
        print(json.dumps([as_data(trigger) for trigger in found], ensure_ascii=False, indent=1))
        return
    for trigger in found:
        told = history(await app.store.fires_of(trigger.id))
        print(
            f"{trigger.id}  {described(trigger)}: {trigger.name}\n    {trigger.session_id} · {upcoming(trigger)}{told}"
        )
    if not found:
        print("Nothing runs by itself yet. Say “every Friday at 9 send me …” in a chat.")


def as_data(trigger: Trigger) -> dict[str, Any]:
    """Return a trigger as JSON values; times are seconds since 1970."""
    return {
        "id": trigger.id,
        "name": trigger.name,
        "kind": trigger.kind.value,
        "spec": trigger.spec,
        "target": trigger.target,
        "session": trigger.session_id,
        "enabled": trigger.enabled,
        "misfire": trigger.misfire.value,
        "overlap": trigger.overlap.value,
        "next_fire": trigger.next_fire,
        "last_fired": trigger.last_fired,
    }


async def _fire(app: App, trigger: Trigger) -> str:
    listening = await app.automation.fire_elsewhere(trigger.id)
    if await app.automation.switch.off_since() is not None:
        return "All is stopped: it starts after `dirigent schedules start`."
    return "It is started." if listening else "It starts with the next `dirigent serve`."


async def _pause(app: App, trigger: Trigger) -> str:
    await app.automation.disable(trigger.id)
    return "It is paused."


async def _resume(app: App, trigger: Trigger) -> str:
    from agent.automation.chat import upcoming

    return f"It goes on: {upcoming(await app.automation.enable(trigger.id))}."


async def _delete(app: App, trigger: Trigger) -> str:
    await app.automation.delete(trigger.id)
    return f"“{trigger.name}” is deleted."


MAKES: dict[str, Callable[[App, argparse.Namespace], Awaitable[str]]] = {
    "edit": _edit,
    "watch": _watch,
    "webhook": _webhook,
}
ACTIONS: dict[str, Callable[[App, Trigger], Awaitable[str]]] = {
    "run": _fire,
    "pause": _pause,
    "resume": _resume,
    "delete": _delete,
}
