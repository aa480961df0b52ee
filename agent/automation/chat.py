"""Schedules in a chat: made by words and confirmed by a button, listed by /schedules, run, paused and deleted there."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from agent.automation import wording
from agent.automation.times import following, local_zone, zone
from agent.domain.messages import Destination, MessageKind, OutboundMessage
from agent.domain.states import FINAL, Status
from agent.domain.trigger import FireStatus, Overlap, Trigger, TriggerKind
from agent.errors import ConfigError, DirigentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.automation.scheduler import AutomationScheduler
    from agent.automation.wording import Wish
    from agent.domain.messages import InboundMessage
    from agent.domain.trigger import Fire
    from agent.store.protocol import Store

COMMAND = "/schedules"
NONE_YET = "No schedules yet. Say “every Friday at 9 send me …” or “remind me tomorrow at 9 to call Ada”."
OWNERS_ONLY = "Only an owner may make or change schedules."
GONE = "This schedule is no longer there."
SHOWN = 10
A_DAY = 86_400
NAME_CHARS = 80


class ScheduleDesk:
    """What a chat can do with schedules. `zone_name` is the person's time zone, "" for the machine's."""

    commands = frozenset({COMMAND})
    actions = frozenset({"t"})

    def __init__(
        self, automation: AutomationScheduler, store: Store, clock: Callable[[], float], zone_name: str
    ) -> None:
        self._automation = automation
        self._store = store
        self._clock = clock
        self._zone_name = zone_name

    # --- words --------------------------------------------------------------------------------------------------
    async def wish(self, message: InboundMessage) -> bool:
        """Take a message that asks for a schedule or a reminder; False for every other."""
        name = local_zone(self._zone_name)
        now = datetime.fromtimestamp(self._clock(), UTC).astimezone(zone(name))
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
            await self._propose(message, wish)
        return True

    async def _remind(self, message: InboundMessage, wish: Wish) -> None:
        """A reminder does nothing but speak, so it is set at once; a button takes it back."""
        trigger = await self._automation.create(trigger_of(wish, message.dest, message.user_id, _id(message)))
        text = f"⏰ I will remind you on {wish.said}: {wish.text}{_while_running(message.dest)}"
        await self._post(message.dest, f"wish:{trigger.id}", text, [[_button("Remove", trigger.id, "delete")]])

    async def _propose(self, message: InboundMessage, wish: Wish) -> None:
        proposal = _id(message)
        kept = {
            "spec": wish.spec,
            "target": wish.target,
            "said": wish.said,
            "dest": message.dest.to_json(),
            "user": message.user_id,
        }
        await self._store.set_value(_kept(proposal), json.dumps(kept))
        first = following(wish.spec, self._clock(), self._clock())
        text = f"📅 {wish.said[0].upper()}{wish.said[1:]}: “{wish.text}”\nFirst on {_day(first, wish.spec)}. Shall I?"
        await self._post(
            message.dest,
            f"wish:{proposal}",
            text,
            [[_button("Yes", proposal, "make"), _button("No", proposal, "drop")]],
        )

    # --- presses ------------------------------------------------------------------------------------------------
    async def press(self, message: InboundMessage) -> str:
        """Act on `t/<id>/<verb>` and return what to show for it."""
        _, _, rest = message.action.partition("/")
        trigger_id, _, verb = rest.partition("/")
        if not message.trusted:
            return OWNERS_ONLY
        if verb in {"make", "drop"}:
            return await self._decide(message, trigger_id, make=verb == "make")
        trigger = await self._store.get_trigger(trigger_id)
        if trigger is None or trigger.session_id != message.dest.session_id:
            return GONE
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
        text = f"“{wish.text}”: nothing was set."
        if make:
            try:
                await self._automation.create(
                    trigger_of(wish, Destination.from_json(stored["dest"]), stored["user"], proposal)
                )
            except ConfigError as error:
                return f"{error.message} {error.hint}"
            text = f"📅 {wish.said}: “{wish.text}” is set. {COMMAND} shows it.{_while_running(message.dest)}"
        await self._store.set_value(_kept(proposal), "")
        await self._post(message.dest, f"wish:{proposal}", text, [])
        return "Set" if make else "Nothing was set"

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
        await self._show_again(message.dest)

    async def _show_again(self, dest: Destination) -> None:
        key = await self._store.get_value(_newest(dest))
        if not key:
            return
        found = [trigger for trigger in await self._store.triggers(dest.session_id) if is_alive(trigger)]
        lines, buttons = [], []
        for number, trigger in enumerate(found[:SHOWN], 1):
            lines.append(f"{number}. {await self._line(trigger)}")
            switch = ("⏸ Pause", "pause") if trigger.enabled else ("⏵ Resume", "resume")
            buttons.append(
                [
                    _button(f"▶ Run {number}", trigger.id, "run"),
                    _button(f"{switch[0]} {number}", trigger.id, switch[1]),
                    _button(f"🗑 Delete {number}", trigger.id, "delete"),
                ]
            )
        if len(found) > SHOWN:
            lines.append(f"… and {len(found) - SHOWN} more: `dirigent schedules` lists them.")
        await self._post(dest, key, "\n".join(lines) or NONE_YET, buttons)

    async def _line(self, trigger: Trigger) -> str:
        told = history(await self._store.fires_of(trigger.id))
        return f"{described(trigger)}: “{trigger.name}”\n   {upcoming(trigger)}{told}"

    # --- posting ------------------------------------------------------------------------------------------------
    async def _say(self, message: InboundMessage, text: str) -> None:
        await self._post(message.dest, f"reply:{message.channel}:{message.update_id}", text, [])

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


def is_alive(trigger: Trigger) -> bool:
    """False for a single moment that has passed."""
    return trigger.enabled or "at" not in trigger.spec or trigger.last_fired is None


def described(trigger: Trigger) -> str:
    """Return when a trigger fires, in words."""
    spec = trigger.spec
    if spec.get("said"):
        return str(spec["said"])
    if trigger.kind is TriggerKind.FILE:
        return f"files {spec['pattern']} in {spec['folder']}"
    if trigger.kind in {TriggerKind.EVENT, TriggerKind.WEBHOOK}:
        return f"events {spec['type']}"
    if "every" in spec:
        return f"every {spec['every']:g} s"
    if "cron" in spec:
        return f"cron {spec['cron']} {spec.get('zone', '')}".rstrip()
    return _day(spec["at"], spec) if "at" in spec else "by hand"


def upcoming(trigger: Trigger) -> str:
    """Return when a trigger fires next, in words."""
    if not trigger.enabled:
        return "paused"
    return "ready" if trigger.next_fire is None else f"next {_day(trigger.next_fire, trigger.spec)}"


def history(fires: list[Fire]) -> str:
    """Return how the newest fires ended, in words; "" when there were none."""
    ended = [fire.run_status for fire in fires if fire.run_status in FINAL]
    skipped = sum(fire.status in {FireStatus.SKIPPED, FireStatus.MISSED} for fire in fires)
    parts = [f"{ended.count(Status.COMPLETED)} of {len(ended)} runs succeeded"] if ended else []
    parts += [f"{skipped} skipped"] if skipped else []
    parts += [f"last one: {fires[0].subject}"] if fires and fires[0].status is FireStatus.FAILED else []
    return "".join(f" · {part}" for part in parts)


def _id(message: InboundMessage) -> str:
    """Return an id that is the same when the same message is heard again."""
    told = f"{message.channel}|{message.update_id}|{message.dest.session_id}"
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def _button(label: str, trigger_id: str, verb: str) -> dict[str, str]:
    return {"label": label, "action": f"t/{trigger_id}/{verb}"}


def _kept(proposal: str) -> str:
    return f"proposal:{proposal}"


def _newest(dest: Destination) -> str:
    return f"schedules:newest:{dest.session_id}"


def _day(moment: float | None, spec: dict[str, Any]) -> str:
    if moment is None:
        return "never"
    there = datetime.fromtimestamp(moment, UTC).astimezone(zone(str(spec.get("zone") or "UTC")))
    return f"{there:%A, %d %B %Y, %H:%M}"


def _while_running(dest: Destination) -> str:
    """A terminal is closed sooner or later; say so."""
    return "\n(`dirigent chat` or `dirigent serve` has to be running then.)" if dest.channel.startswith("term") else ""
