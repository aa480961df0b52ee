"""Saving in a chat: a button under an answer, `/save`, then a name, a schedule, a look at the YAML."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from agent import commands
from agent.automation import wording
from agent.automation.chat import HOW_TO_SAY, NOT_UNDERSTOOD
from agent.automation.times import zone
from agent.domain.messages import MessageKind, OutboundMessage
from agent.domain.offers import SAVE
from agent.errors import ConfigError, DirigentError, NotFound

if TYPE_CHECKING:
    from agent.automation.awaited import Awaited
    from agent.automation.chat import ScheduleDesk
    from agent.automation.saving import RunSaver, Saved
    from agent.domain.messages import Destination, InboundMessage
    from agent.domain.run import Run
    from agent.store.protocol import Store

COMMAND = "/save"
DOOR = SAVE
OWNERS_ONLY = "Only an owner may save and change pipelines."
GONE = "This run is no longer there."
IN_CHAT = 3_000
FEW = 8
TIMES = {
    "daily": ("Every day 8:00", "0 8 * * *", "every day"),
    "weekdays": ("Every weekday 8:00", "0 8 * * 1-5", "every weekday"),
    "mondays": ("Every Monday 8:00", "0 8 * * 1", "every Monday"),
}
Buttons = list[list[dict[str, str]]]


class SavingDesk:
    """Takes `/save`, the buttons `s/REF/…`, and the names and times that it has asked for."""

    commands = frozenset({COMMAND})
    actions = frozenset({DOOR})

    def __init__(self, saver: RunSaver, store: Store, schedules: ScheduleDesk, awaited: Awaited) -> None:
        self._saver = saver
        self._store = store
        self._schedules = schedules
        self._awaited = awaited
        self._verbs = {
            "save": self._save,
            "sure": self._sure,
            "no": self._declined,
            "name": self._ask_name,
            "when": self._ask_when,
            "other": self._ask_other,
            "inputs": self._ask_inputs,
            "yaml": self._show_yaml,
            "gone": self._remove,
            "back": self._back,
            **dict.fromkeys(TIMES, self._propose),
        }

    # --- words --------------------------------------------------------------------------------------------------
    async def wish(self, message: InboundMessage) -> bool:
        """Take the name or the time that was asked for; False for every other message."""
        what = await self._awaited.taken(message, DOOR)
        run = await self._store.find_run(what["ref"]) if what else None
        if run is None or not message.trusted:
            return False
        try:
            if what["wants"] == "name":
                await self._show(message.dest, await self._saver.rename(run, message.text.strip()))
            else:
                await self._propose_said(message, run)
        except DirigentError as error:
            await self._say(message, str(error))
            await self._awaited.expect(message.dest, message.user_id, DOOR, what, f"saved:{run.ref}:{what['wants']}")
        return True

    async def _propose_said(self, message: InboundMessage, run: Run) -> None:
        name = await self._schedules.zone_of(message.dest)
        now = datetime.fromtimestamp(self._schedules.now(), UTC).astimezone(zone(name))
        when = wording.time_of(message.text, now, name)
        if when is None:
            raise ConfigError(NOT_UNDERSTOOD, hint=HOW_TO_SAY)
        saved = await self._saver.look(run)
        wish = wording.Wish(when[0], {"pipeline": saved.name}, when[1])
        await self._schedules.propose(message.dest, message.user_id, _proposal(run, str(when[0])), wish)

    async def obey(self, message: InboundMessage) -> None:
        """Save the last request: `/save` or `/save NAME`."""
        if not message.trusted:
            await self._say(message, OWNERS_ONLY)
            return
        given = commands.parse(message.text)
        try:
            run = await self._saver.last_of(message.dest.session_id)
            await self._save_or_ask(run, message.dest, given.rest if given else "")
        except DirigentError as error:
            await self._say(message, str(error))

    # --- presses ------------------------------------------------------------------------------------------------
    async def press(self, message: InboundMessage) -> str:
        """Act on `s/REF/VERB` and return what to show for it."""
        _, ref, verb = (*message.action.split("/", 2), "", "")[:3]
        if not message.trusted:
            return OWNERS_ONLY
        run = await self._store.find_run(ref)
        if run is None or run.session_id != message.dest.session_id:
            return GONE
        word, _, name = verb.partition("/")
        try:
            if word == "fix":
                return await self._fix(run, message, name)
            known = self._verbs.get(word)
            return await known(run, message) if known else "This button is no longer known."
        except DirigentError as error:
            return str(error)

    async def _save(self, run: Run, message: InboundMessage) -> str:
        return await self._save_or_ask(run, message.dest, "")

    async def _save_or_ask(self, run: Run, dest: Destination, name: str) -> str:
        found = await self._saver.look(run)
        if found.draft.doubts and not found.name:
            await self._ask_whether(found, dest, name)
            return "Look at it first"
        before = found.name
        await self._show(dest, await self._saver.save(run, name))
        return "It is saved already" if before and name in {"", before} else "Saved"

    async def _ask_whether(self, found: Saved, dest: Destination, name: str) -> None:
        """The plan was chosen after outside text was read, so it is not the person's word: show it, then ask."""
        ref, draft = found.run.ref, found.draft
        read = ", ".join(draft.doubts[:FEW])
        text = (
            f"⚠️ The steps of this run were chosen after reading {read}, so they are not yours alone. "
            f"As a pipeline they would run without that being asked again. Save it as it stands here?"
            f"{_outside(draft.effects)}"
        )
        await self._store.set_value(f"saved:{ref}:wanted", name)
        await self._post_yaml(found, dest)
        rows = [[_button("✅ Save it", ref, "sure"), _button("❌ Don't", ref, "no")]]
        await self._post(dest, f"saved:{ref}:sure", text, rows)

    async def _sure(self, run: Run, message: InboundMessage) -> str:
        name = await self._store.get_value(f"saved:{run.ref}:wanted") or ""
        saved = await self._saver.save(run, name)
        await self._post(message.dest, f"saved:{run.ref}:sure", f"You looked at it and saved it as “{saved.name}”.", [])
        await self._show(message.dest, saved)
        return "Saved"

    async def _declined(self, run: Run, message: InboundMessage) -> str:
        await self._post(message.dest, f"saved:{run.ref}:sure", "It was not saved.", [])
        return "Not saved"

    async def _ask_name(self, run: Run, message: InboundMessage) -> str:
        await self._ask(run, message, "name", "What should it be called? Type a name.")
        return ""

    async def _ask_other(self, run: Run, message: InboundMessage) -> str:
        await self._ask(run, message, "time", "When should it run? For example “every Friday at 9”.")
        return ""

    async def _ask(self, run: Run, message: InboundMessage, wants: str, text: str) -> None:
        await self._named(run)
        key = f"saved:{run.ref}:{wants}"
        await self._awaited.expect(message.dest, message.user_id, DOOR, {"ref": run.ref, "wants": wants}, key)
        await self._post(message.dest, key, text, [[_button("Cancel", run.ref, "back")]])

    async def _back(self, run: Run, message: InboundMessage) -> str:
        await self._awaited.forget(message.dest, message.user_id)
        for wants in ("name", "time", "when"):
            if await self._store.get_message(f"saved:{run.ref}:{wants}") is not None:
                await self._post(message.dest, f"saved:{run.ref}:{wants}", "Nothing was changed.", [])
        await self._show(message.dest, await self._named(run))
        return "As it was"

    async def _ask_when(self, run: Run, message: InboundMessage) -> str:
        saved = await self._named(run)
        rows = [[_button(label, run.ref, verb)] for verb, (label, _, _) in TIMES.items()]
        rows.append([_button("Other…", run.ref, "other"), _button("Cancel", run.ref, "back")])
        await self._post(message.dest, f"saved:{run.ref}:when", f"When should “{saved.name}” run?", rows)
        return ""

    async def _propose(self, run: Run, message: InboundMessage) -> str:
        saved = await self._named(run)
        verb = message.action.rpartition("/")[2]
        _, cron, said = TIMES[verb]
        name = await self._schedules.zone_of(message.dest)
        wish = wording.Wish({"cron": cron, "zone": name}, {"pipeline": saved.name}, f"{said} at 8:00 {name}")
        await self._schedules.propose(message.dest, message.user_id, _proposal(run, verb), wish)
        return ""

    async def _ask_inputs(self, run: Run, message: InboundMessage) -> str:
        await self._show(message.dest, await self._named(run), inputs=True)
        return ""

    async def _fix(self, run: Run, message: InboundMessage, name: str) -> str:
        await self._named(run)
        saved = await self._saver.fix(run, name)
        await self._show(message.dest, saved, inputs=True)
        return f"{name} stays as it is" if name in saved.fixed else f"{name} is an input"

    async def _show_yaml(self, run: Run, message: InboundMessage) -> str:
        await self._post_yaml(await self._named(run), message.dest)
        return ""

    async def _remove(self, run: Run, message: InboundMessage) -> str:
        name = await self._saver.remove(run)
        await self._post(message.dest, f"saved:{run.ref}", f"The pipeline “{name}” was removed.", [])
        return "Removed"

    async def _named(self, run: Run) -> Saved:
        saved = await self._saver.look(run)
        if not saved.name:
            raise NotFound("It is not saved any more.", hint="/save saves the last request again.")
        return saved

    # --- posting ------------------------------------------------------------------------------------------------
    async def _show(self, dest: Destination, saved: Saved, *, inputs: bool = False) -> None:
        """Show what was saved: one message for each run, edited."""
        ref, draft = saved.run.ref, saved.draft
        how = f"`/run {saved.name}` runs it.{_outside(draft.effects)}"
        text = "\n".join([f"💾 Saved as `{saved.name}`: takes {draft.takes}.", how])
        rows: Buttons = [
            [_button("✏️ Rename", ref, "name"), _button("📅 Schedule…", ref, "when")],
            [_button("📄 Show YAML", ref, "yaml"), _button("🗑 Remove", ref, "gone")],
        ]
        if inputs:
            text += "\nWhich of them should stay as they are?"
            rows = [[_button(f"🔒 {name}", ref, f"fix/{name}")] for name in list(draft.inputs)[:FEW]]
            rows += [[_button(f"🔓 {name}", ref, f"fix/{name}")] for name in saved.fixed[:FEW]]
            rows.append([_button("Done", ref, "back")])
        elif draft.inputs or saved.fixed:
            rows[1].insert(0, _button("⚙️ Inputs", ref, "inputs"))
        await self._post(dest, f"saved:{ref}", text, rows)

    async def _post_yaml(self, saved: Saved, dest: Destination) -> None:
        text = await self._saver.text_of(saved)
        key = f"saved:{saved.run.ref}:yaml"
        if len(text) <= IN_CHAT and "```" not in text:
            await self._post(dest, key, f"```yaml\n{text}```", [])
            return
        path = await self._saver.copy_of(saved, text)
        payload: dict[str, Any] = {"paths": [str(path)], "caption": saved.name or saved.draft.name}
        await self._store.post(OutboundMessage(dest, MessageKind.FILES, key, payload, session_id=dest.session_id))

    async def _say(self, message: InboundMessage, text: str) -> None:
        await self._post(message.dest, message.reply_key, text, [])

    async def _post(self, dest: Destination, key: str, text: str, buttons: Buttons) -> None:
        payload: dict[str, Any] = {"text": text, "markdown": True, **({"buttons": buttons} if buttons else {})}
        await self._store.post(OutboundMessage(dest, MessageKind.NOTICE, key, payload, session_id=dest.session_id))


def _outside(effects: tuple[str, ...]) -> str:
    return f"\nIt changes something outside: {', '.join(effects)}." if effects else ""


def _button(label: str, ref: str, verb: str) -> dict[str, str]:
    return {"label": label, "action": f"{DOOR}/{ref}/{verb}"}


def _proposal(run: Run, when: str) -> str:
    """Return an id that is the same for the same pipeline and time."""
    return hashlib.sha256(f"{run.ref}|{when}".encode()).hexdigest()[:12]
