"""`/undo`: brings the files of a chat back to before the last request, shown first and done by a button."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.domain.messages import Door, MessageKind, OutboundMessage
from agent.domain.states import FINAL
from agent.errors import DirigentError
from agent.texts import mark, say
from agent.versions import wording
from agent.versions.versions import key_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.domain.messages import InboundMessage
    from agent.domain.run import Run
    from agent.domain.versions import Snapshot
    from agent.memory.session_file import SessionFolders
    from agent.store.protocol import Store
    from agent.versions.versions import Offer, Versions

TOO_LATE = "Too late: this has been settled already."
NOT_YOURS = "Only the person who asked may do that."
KEPT = mark("Kept as it is.")
OTHERWISE = mark("The files were changed meanwhile. Look again:")


class UndoDesk(Door):
    """The command and its buttons, `un/<snapshot>/do/<digest>`, `…/keep`, `…/older`, and `un/<restoration>/back`.

    An owner may undo every request, others only what they have asked for.
    """

    commands = frozenset({"/undo"})
    actions = frozenset({"un"})

    def __init__(self, store: Store, sessions: SessionFolders, versions: Versions) -> None:
        self._store = store
        self._sessions = sessions
        self._versions = versions

    async def obey(self, message: InboundMessage) -> None:
        """Show what undoing the last request would do, and ask."""
        key = f"undo:{message.channel}:{message.update_id}"
        if (why_not := await self._why_not(message)) is not None:
            await self._post(message, key, why_not)
            return
        await self._show(message, key)

    async def _why_not(self, message: InboundMessage) -> str | None:
        """Return why nothing can be undone just now; None when something may be."""
        language = message.dest.language
        if not self._versions.on:
            return say(language, wording.OFF)
        for run in await self._store.unfinished_runs(message.dest.session_id):
            return say(language, wording.WORKING, title=wording.title_of(run))
        return None

    async def _show(self, message: InboundMessage, key: str, *, older_than: int = 0, first: str = "") -> None:
        """Show the newest request that can be undone, or that there is none."""
        language = message.dest.language
        session = await self._sessions.open(message.dest.session_id)
        try:
            offer = await self._versions.offer(session, _may(message), older_than)
        except DirigentError as error:
            await self._post(message, key, str(error))
            return
        if offer is None:
            await self._post(message, key, say(language, wording.NOTHING), await self._taking_back(message))
            return
        await self._store.set_value(key_of(offer.run.id), key)
        lacking = say(language, wording.LACKING, title=wording.title_of(offer.run))
        text = wording.offered(offer.run, offer.way) if offer.snapshot.before else lacking
        await self._post(message, key, "\n".join(filter(None, [first, text])), _buttons(offer))

    async def _taking_back(self, message: InboundMessage) -> list[list[dict[str, str]]]:
        """Return the button that takes back what was undone last, where there is such."""
        newest = await self._store.restorations(message.dest.session_id, 1)
        if not newest or newest[0].back or newest[0].state != "done":
            return []
        may = _may(message)(await self._store.get_run(newest[0].run_id))
        return [[{"label": wording.BACK, "action": f"un/{newest[0].id}/back"}]] if may else []

    # --- presses ------------------------------------------------------------------------------------------------
    async def press(self, message: InboundMessage) -> str:
        """Act on a button."""
        language = message.dest.language
        _, number, verb, digest, *_ = [*message.action.split("/"), "", "", ""]
        if not number.isdecimal():
            return say(language, TOO_LATE)
        if verb == "back":
            return await self._take_back(message, int(number))
        snapshot = await self._store.get_snapshot(int(number))
        if snapshot is None or snapshot.session_id != message.dest.session_id or snapshot.state != "taken":
            return say(language, TOO_LATE)
        run = await self._store.get_run(snapshot.run_id)
        if not _may(message)(run):
            return say(language, NOT_YOURS)
        return await self._settle(message, snapshot, verb, digest)

    async def _settle(self, message: InboundMessage, snapshot: Snapshot, verb: str, digest: str) -> str:
        language = message.dest.language
        key = await self._store.get_value(key_of(snapshot.run_id)) or f"undo:{snapshot.run_id}"
        if verb == "keep":
            await self._post(message, key, say(language, KEPT))
            return say(language, KEPT)
        if (why_not := await self._why_not(message)) is not None:
            return why_not
        if verb == "older":
            await self._show(message, key, older_than=snapshot.id)
            return ""
        return await self._undo(message, snapshot.id, key, digest)

    async def _undo(self, message: InboundMessage, number: int, key: str, digest: str) -> str:
        """Undo what was shown; when it would be something else by now, show that and ask again."""
        language = message.dest.language
        session = await self._sessions.open(message.dest.session_id)
        try:
            offer = await self._versions.offer(session, _may(message), number + 1)
            as_shown = offer is not None and offer.snapshot.id == number and offer.way.digest == digest
            if offer is None or not as_shown or not await self._versions.undo(offer, session, message.user_id, key):
                await self._show(message, key, older_than=number + 1, first=say(language, OTHERWISE))
                return ""
        except DirigentError as error:
            return str(error)
        return say(language, wording.UNDONE, title=wording.title_of(offer.run))

    async def _take_back(self, message: InboundMessage, number: int) -> str:
        language = message.dest.language
        restoration = await self._store.get_restoration(number)
        if restoration is None or restoration.session_id != message.dest.session_id:
            return say(language, TOO_LATE)
        run = await self._store.get_run(restoration.run_id)
        if not _may(message)(run):
            return say(language, NOT_YOURS)
        if (why_not := await self._why_not(message)) is not None:
            return why_not
        session = await self._sessions.open(message.dest.session_id)
        key = await self._store.get_value(key_of(run.id)) or f"undo:{run.id}"
        try:
            done = await self._versions.take_back(restoration, run, session, message.user_id, key)
        except DirigentError as error:
            return str(error)
        return say(language, wording.REDONE, title=wording.title_of(run)) if done else say(language, TOO_LATE)

    async def _post(
        self, message: InboundMessage, key: str, text: str, buttons: list[list[dict[str, str]]] | None = None
    ) -> None:
        payload: dict[str, Any] = {"text": text, **({"buttons": buttons} if buttons else {})}
        dest = message.dest
        await self._store.post(
            OutboundMessage(dest, MessageKind.NOTICE, key, payload, session_id=message.dest.session_id)
        )


def _may(message: InboundMessage) -> Callable[[Run], bool]:
    """Return who may undo what: an owner everything, others what they have asked for."""
    return lambda run: run.status in FINAL and (message.trusted or run.user_id == message.user_id)


def _buttons(offer: Offer) -> list[list[dict[str, str]]]:
    number = offer.snapshot.id
    older = {"label": wording.OLDER, "action": f"un/{number}/older"}
    keep = {"label": wording.KEEP, "action": f"un/{number}/keep"}
    if not offer.way.changes:
        return [[older, keep]]
    return [[{"label": wording.UNDO, "action": f"un/{number}/do/{offer.way.digest}"}, keep]]
