"""Schedules in a chat: made by words and confirmed by a button; /schedules lists, runs, changes and deletes them."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from agent.automation import wording
from agent.automation.awaited import Awaited
from agent.automation.telling import day, described, history, is_alive, upcoming
from agent.automation.times import following, local_zone, zone
from agent.domain.messages import Destination, MessageKind, OutboundMessage
from agent.domain.trigger import FireStatus, Overlap, Trigger, TriggerKind
from agent.errors import ConfigError, DirigentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.automation.scheduler import AutomationScheduler
    from agent.automation.wording import Wish
    from agent.domain.messages import InboundMessage
    from agent.memory.session_file import SessionFolders
    from agent.store.protocol import Store

__all__ = ["ScheduleDesk", "change_of", "described", "history", "is_alive", "trigger_of", "upcoming"]

COMMAND = "/schedules"
DOOR = "t"
ZONE = "time_zone"
HALTED = "⏸ All is stopped: nothing here fires until `dirigent schedules start`."
NONE_YET = "No schedules yet. Say “every Friday at 9 send me …” or “remind me tomorrow at 9 to call Ada”."
OWNERS_ONLY = "Only an owner may make or change schedules."
GONE = "This schedule is no longer there."
SHOWN = 10
A_DAY = 86_400
NOT_UNDERSTOOD = "I don't understand this time."
HOW_TO_SAY = "Try “every Friday at 9”, “every 2 hours”, “tomorrow at 9” or “on the 1st of each month”."
ASKS = {
    "edit": "",
    "keep": "",
    "time": "When? For example “every Friday at 9”, or “tomorrow at 9”.",
    "text": "What should be asked or told then? Type it.",
    "name": "What should it be called? Type a name.",
}
NAME_CHARS = 80


class ScheduleDesk:
    """What a chat can do with schedules.

    `zone_name` is the person's time zone, "" for the machine's; a chat may have one of its own in its session's file.
    """

    commands = frozenset({COMMAND})
    actions = frozenset({DOOR})

    def __init__(
        self,
        automation: AutomationScheduler,
        store: Store,
        clock: Callable[[], float],
        zone_name: str,
        *,
        sessions: SessionFolders | None = None,
    ) -> None:
        self._automation = automation
        self._store = store
        self._sessions = sessions
        self._zone_name = zone_name
        self.now = clock
        self._awaited = Awaited(store, clock)

    async def zone_of(self, dest: Destination) -> str:
        """Return the name of the time zone that a chat's times are in."""
        own = ""
        if self._sessions is not None:
            session = await self._sessions.open(dest.session_id)
            own = str((await self._sessions.file_of(session)).settings.get(ZONE) or "")
        try:
            return local_zone(own or self._zone_name)
        except ConfigError:
            return local_zone(self._zone_name)

    # --- words --------------------------------------------------------------------------------------------------
    async def wish(self, message: InboundMessage) -> bool:
        """Take a message that asks for a schedule or a reminder, or that changes one; False for every other."""
        what = await self._awaited.taken(message, DOOR) if message.trusted else {}
        if what and await self._changed_by(message, what):
            return True
        name = await self.zone_of(message.dest)
        now = datetime.fromtimestamp(self.now(), UTC).astimezone(zone(name))
        try:
            wish = wording.understand(message.text, now, name)
        except ConfigError as error:
            await self._say(message, f"{error.message} {error.hint}")
            return True
        if wish is None:
            return False
        if not message.trusted:
            await self._say(message, OWNERS_ONLY)
        elif wish.is_reminder:
            await self._remind(message, wish)
        else:
            await self.propose(message.dest, message.user_id, _id(message), wish)
        return True

    async def _remind(self, message: InboundMessage, wish: Wish) -> None:
        """A reminder does nothing but speak, so it is set at once; a button takes it back."""
        trigger = await self._automation.create(trigger_of(wish, message.dest, message.user_id, _id(message)))
        text = f"⏰ I will remind you on {wish.said}: {wish.text}{_while_running(message.dest)}"
        rows = [[_button("Remove", trigger.id, "delete"), _button("Change time", trigger.id, "time")]]
        await self._post(message.dest, f"wish:{trigger.id}", text, rows)

    async def propose(self, dest: Destination, user_id: str, proposal: str, wish: Wish, *, changing: str = "") -> None:
        """Show what was understood with [Yes] and [No]; `changing` is the id of the trigger that gets another time."""
        kept = {
            "spec": wish.spec,
            "target": wish.target,
            "said": wish.said,
            "dest": dest.to_json(),
            "user": user_id,
            "changing": changing,
        }
        await self._store.set_value(_kept(proposal), json.dumps(kept))
        first = following(wish.spec, self.now(), self.now())
        understood = f"📅 {wish.said[0].upper()}{wish.said[1:]}: “{wish.text}”"
        text = f"{understood}\n" + f"First on {day(first, wish.spec)}. Shall I?"
        rows = [[_button("Yes", proposal, "make"), _button("No", proposal, "drop")]]
        await self._post(dest, f"wish:{proposal}", text, rows)

    # --- presses ------------------------------------------------------------------------------------------------
    async def press(self, message: InboundMessage) -> str:
        """Act on `t/<id>/<verb>` and return what to show for it."""
        _, _, rest = message.action.partition("/")
        trigger_id, _, verb = rest.partition("/")
        if not message.trusted:
            return OWNERS_ONLY
        if verb in {"make", "drop"}:
            return await self._decide(message, trigger_id, make=verb == "make")
        if trigger_id == "page":
            await self._store.set_value(_page(message.dest), verb)
            await self._show_again(message.dest)
            return ""
        trigger = await self._store.get_trigger(trigger_id)
        if trigger is None or trigger.session_id != message.dest.session_id:
            return GONE
        if verb in ASKS:
            return await self._ask(trigger, message, verb)
        try:
            said = await self._change(trigger, verb)
        except DirigentError as error:
            said = str(error)
        await self._show_again(message.dest)
        return said

    async def _decide(self, message: InboundMessage, proposal: str, *, make: bool) -> str:
        stored = json.loads(await self._store.get_value(_kept(proposal)) or "{}")
        if not stored or Destination.from_json(stored["dest"]).session_id != message.dest.session_id:
            return "Too late: this has been settled already."
        wish = wording.Wish(stored["spec"], stored["target"], stored["said"])
        text = f"“{wish.text}”: nothing was {'changed' if stored.get('changing') else 'set'}."
        if make:
            try:
                await self._settle(wish, stored, proposal)
            except DirigentError as error:
                return f"{error.message} {error.hint}"
            text = f"📅 {wish.said}: “{wish.text}” is set. {COMMAND} shows it.{_while_running(message.dest)}"
        await self._store.set_value(_kept(proposal), "")
        await self._post(message.dest, f"wish:{proposal}", text, [])
        if stored.get("changing"):
            await self._show_again(message.dest)
        return "Set" if make else "Nothing was set"

    async def _settle(self, wish: Wish, stored: dict[str, Any], proposal: str) -> None:
        if stored.get("changing"):
            await self._automation.update(stored["changing"], spec={**wish.spec, "said": wish.said}, enabled=True)
        else:
            dest = Destination.from_json(stored["dest"])
            await self._automation.create(trigger_of(wish, dest, stored["user"], proposal))

    # --- changing -----------------------------------------------------------------------------------------------
    async def _ask(self, trigger: Trigger, message: InboundMessage, verb: str) -> str:
        """Show what of a schedule can be changed, or ask for it."""
        key = f"edit:{trigger.id}"
        if verb == "keep":
            await self._awaited.forget(message.dest, message.user_id)
            await self._post(message.dest, key, f"“{trigger.name}” is as it was.", [])
            return ""
        if verb == "edit":
            rows = [[_button("🕘 Time", trigger.id, "time"), _button("🏷 Name", trigger.id, "name")]]
            if trigger.target.get("request") or trigger.target.get("notice"):
                rows[0].insert(1, _button("✏️ Text", trigger.id, "text"))
            text = f"{described(trigger)}: “{trigger.name}”. What should change?"
            await self._post(message.dest, key, text, [*rows, [_button("Nothing", trigger.id, "keep")]])
            return ""
        if verb == "time" and trigger.kind is not TriggerKind.SCHEDULE:
            return "It has no time: it waits for something else."
        what = {"id": trigger.id, "wants": verb}
        await self._awaited.expect(message.dest, message.user_id, DOOR, what, key)
        await self._post(message.dest, key, ASKS[verb], [[_button("Cancel", trigger.id, "keep")]])
        return ""

    async def _changed_by(self, message: InboundMessage, what: dict[str, Any]) -> bool:
        """Change a schedule by what was typed; False when it is gone."""
        trigger = await self._store.get_trigger(what["id"])
        if trigger is None or trigger.session_id != message.dest.session_id:
            return False
        text = message.text.strip()
        try:
            if what["wants"] == "time":
                await self._retime(message, trigger)
            else:
                await self._automation.update(trigger.id, **change_of(trigger, what["wants"], text))
                await self._post(message.dest, f"edit:{trigger.id}", f"It is now: “{text}”.", [])
                await self._show_again(message.dest)
        except DirigentError as error:
            await self._awaited.expect(message.dest, message.user_id, DOOR, what, f"edit:{trigger.id}")
            await self._say(message, str(error))
        return True

    async def _retime(self, message: InboundMessage, trigger: Trigger) -> None:
        name = await self.zone_of(message.dest)
        now = datetime.fromtimestamp(self.now(), UTC).astimezone(zone(name))
        when = wording.time_of(message.text, now, name)
        if when is None:
            raise ConfigError(NOT_UNDERSTOOD, hint=HOW_TO_SAY)
        wish = wording.Wish(when[0], trigger.target, when[1])
        if not wish.is_reminder:
            await self.propose(message.dest, message.user_id, _id(message), wish, changing=trigger.id)
            return
        await self._automation.update(trigger.id, spec={**wish.spec, "said": wish.said}, enabled=True)
        await self._post(message.dest, f"edit:{trigger.id}", f"⏰ I will remind you on {wish.said}: {wish.text}", [])
        await self._show_again(message.dest)

    async def _change(self, trigger: Trigger, verb: str) -> str:
        if verb == "run":
            fire = await self._automation.fire(trigger.id)
            return {
                FireStatus.SKIPPED: "It is still at work; nothing was started.",
                FireStatus.WAITING: "It is still at work; this comes next.",
                FireStatus.FAILED: fire.subject,
            }.get(fire.status, "Started")
        if verb == "pause":
            await self._automation.disable(trigger.id)
            return "Paused"
        if verb == "resume":
            await self._automation.enable(trigger.id)
            return "Goes on"
        if verb != "delete":
            return "This button is no longer known."
        await self._automation.delete(trigger.id)
        if await self._store.get_message(f"wish:{trigger.id}") is not None:
            await self._post(trigger.dest, f"wish:{trigger.id}", f"“{trigger.name}” was removed.", [])
        return "Deleted"

    # --- the list -----------------------------------------------------------------------------------------------
    async def obey(self, message: InboundMessage) -> None:
        """Show the chat's schedules with their buttons."""
        key = f"schedules:{message.channel}:{message.update_id}"
        await self._store.set_value(_newest(message.dest), key)
        await self._store.set_value(_page(message.dest), "1")
        await self._show_again(message.dest)

    async def _show_again(self, dest: Destination) -> None:
        key = await self._store.get_value(_newest(dest))
        if not key:
            return
        found = [trigger for trigger in await self._store.triggers(dest.session_id) if is_alive(trigger)]
        pages = max(1, -(-len(found) // SHOWN))
        page = min(int(await self._store.get_value(_page(dest)) or 1), pages)
        begin = (page - 1) * SHOWN
        lines = [HALTED] if await self._automation.switch.off_since() is not None else []
        buttons = []
        for number, trigger in enumerate(found[begin : begin + SHOWN], begin + 1):
            lines.append(f"{number}. {await self._line(trigger)}")
            buttons.append(_row(trigger, number))
        if pages > 1:
            lines.append(f"Page {page} of {pages}")
            before = [_button("‹", "page", str(page - 1))] if page > 1 else []
            buttons.append([*before, *([_button("›", "page", str(page + 1))] if page < pages else [])])
        await self._post(dest, key, "\n".join(lines if found else [*lines, NONE_YET]), buttons)

    async def _line(self, trigger: Trigger) -> str:
        told = history(await self._store.fires_of(trigger.id))
        return f"{described(trigger)}: “{trigger.name}”\n   {upcoming(trigger)}{told}"

    # --- posting ------------------------------------------------------------------------------------------------
    async def _say(self, message: InboundMessage, text: str) -> None:
        await self._post(message.dest, message.reply_key, text, [])

    async def _post(self, dest: Destination, key: str, text: str, buttons: list[list[dict[str, str]]]) -> None:
        payload: dict[str, Any] = {"text": text, "buttons": buttons} if buttons else {"text": text}
        await self._store.post(OutboundMessage(dest, MessageKind.NOTICE, key, payload, session_id=dest.session_id))


def trigger_of(wish: Wish, dest: Destination, user_id: str, trigger_id: str) -> Trigger:
    """Return the trigger that a wish asks for."""
    often = wish.spec.get("every", A_DAY) < A_DAY
    return Trigger(
        id=trigger_id,
        name=wish.text[:NAME_CHARS],
        kind=TriggerKind.SCHEDULE,
        target=wish.target,
        session_id=dest.session_id,
        dest=dest,
        spec={**wish.spec, "said": wish.said},
        overlap=Overlap.SKIP if often else Overlap.ALLOW,
        created_by=user_id,
    )


def change_of(trigger: Trigger, wants: str, text: str) -> dict[str, Any]:
    """Return the changes for another name, or another text to be asked or told. Raises ConfigError for none."""
    if not text:
        raise ConfigError("There is no text.", hint="Type it as one line.")
    if wants == "name":
        return {"name": text[:NAME_CHARS]}
    kind = next((kind for kind in ("request", "notice") if trigger.target.get(kind)), "")
    if not kind:
        raise ConfigError(f"“{trigger.name}” runs a pipeline and has no text.", hint="Change its time or its name.")
    return {"target": {**trigger.target, kind: text}, "name": text[:NAME_CHARS]}


def _row(trigger: Trigger, number: int) -> list[dict[str, str]]:
    switch = ("⏸ Pause", "pause") if trigger.enabled else ("⏵ Resume", "resume")
    return [
        _button(f"▶ Run {number}", trigger.id, "run"),
        _button(f"{switch[0]} {number}", trigger.id, switch[1]),
        _button(f"✏️ Edit {number}", trigger.id, "edit"),
        _button(f"🗑 Delete {number}", trigger.id, "delete"),
    ]


def _id(message: InboundMessage) -> str:
    """Return an id that is the same when the same message is heard again."""
    told = f"{message.channel}|{message.update_id}|{message.dest.session_id}"
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def _button(label: str, trigger_id: str, verb: str) -> dict[str, str]:
    return {"label": label, "action": f"{DOOR}/{trigger_id}/{verb}"}


def _kept(proposal: str) -> str:
    return f"proposal:{proposal}"


def _newest(dest: Destination) -> str:
    return f"schedules:newest:{dest.session_id}"


def _page(dest: Destination) -> str:
    return f"schedules:page:{dest.session_id}"


def _while_running(dest: Destination) -> str:
    """A terminal is closed sooner or later; say so."""
    return "\n(`dirigent chat` or `dirigent serve` has to be running then.)" if dest.channel.startswith("term") else ""
