"""Requests for consent that a member's run makes: owners are asked in their own private chats.

In the member's chat this is told in a line without arguments and buttons; each owner whom the bot may write to gets
the whole request. Nothing is kept beside the outbox: the owners' messages are copies of the one that the run posted,
made anew whenever that one changes, and a press on a copy counts as one on the original. When no owner can be written
to (none has started the bot), the request stands in the chat itself.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent.channels.telegram.directory import CHANNEL, Directory
from agent.domain.messages import Destination, MessageKind, OutboundMessage
from agent.domain.people import Role
from agent.texts import mark, say

if TYPE_CHECKING:
    from agent.domain.messages import InboundMessage
    from agent.store.protocol import Store

TO = ":to:"
ASKED = mark("🔐 {what}: I have asked an owner in private.")
CALLS = mark("{n} calls")
NUMBERS = re.compile(r"\d+")
FIRST = re.compile(r"[^.~]*")  # of several requests in one message, the id of the first names the message


class AskedInPrivate:
    """Copies requests to owners, and takes their presses back to where the request stands."""

    def __init__(self, store: Store, directory: Directory) -> None:
        self._store = store
        self._directory = directory

    # --- out ----------------------------------------------------------------------------------------------------
    async def told(self, message: OutboundMessage) -> OutboundMessage:
        """Return what the chat is shown of a message, after the owners' copies were posted (committed by then)."""
        if message.kind is not MessageKind.APPROVAL or TO in message.key or message.run_id is None:
            return message
        run = await self._store.get_run(message.run_id)
        owners = [] if self._is_owner(run.user_id) else self._reachable()
        if not owners:
            return message
        for owner in owners:
            await self._store.post(self._copy(message, owner, run.user_id))
        return _without_call(message)

    async def unreachable(self, message: OutboundMessage) -> None:
        """Have the request shown in the chat itself when the copy for its last owner could not be delivered."""
        original = await self._store.get_message(message.key.partition(TO)[0]) if TO in message.key else None
        if original is not None and not self._reachable():
            await self._store.post(replace(original, payload={**original.payload, "here": True}))

    def _reachable(self) -> list[int]:
        return [owner for owner in self._directory.all_owners() if str(owner) not in self._directory.closed]

    def _is_owner(self, user_id: str) -> bool:
        return user_id.isdecimal() and self._directory.role(int(user_id)) is Role.OWNER

    def _copy(self, message: OutboundMessage, owner: int, asker: str) -> OutboundMessage:
        language = self._directory.language(owner, None)
        dest = Destination(CHANNEL, str(owner), language="" if language == "en" else language)
        payload = {name: value for name, value in message.payload.items() if name != "editable"}
        if "buttons" in payload:
            payload["buttons"] = _without_editing(payload["buttons"])
        if asker:
            payload |= {"asker": self._named(asker)}
        if asker and "calls" in payload:  # of several, each says it
            said = f" · Asked by {self._named(asker)}."
            payload["calls"] = [{**call, "because": f"{call.get('because', '')}{said}"} for call in payload["calls"]]
        key = f"{message.key}{TO}{owner}"
        return OutboundMessage(dest, message.kind, key, payload, session_id=dest.session_id, run_id=message.run_id)

    def _named(self, user_id: str) -> str:
        person = self._directory.people.get(int(user_id)) if user_id.isdecimal() else None
        return f"{person.name} ({user_id})" if person is not None and person.name else user_id

    # --- in -----------------------------------------------------------------------------------------------------
    async def placed(self, press: InboundMessage) -> InboundMessage:
        """Return an owner's press on a copy as one on the request itself; every other press as it is."""
        kind, _, rest = press.action.partition("/")
        if kind not in {"a", "b"} or press.dest.chat_type != "private" or not press.trusted:
            return press
        first = FIRST.match(rest.partition("/")[0])
        key = f"approval:{first[0] if first else ''}"
        copy = await self._store.get_message(f"{key}{TO}{press.user_id}")
        original = await self._store.get_message(key)
        if copy is None or original is None or press.message_id not in NUMBERS.findall(copy.message_id):
            return press
        return replace(press, dest=replace(original.dest, language=press.dest.language, reply_to=""))


def _without_call(message: OutboundMessage) -> OutboundMessage:
    """Return the line that everybody in the chat may read; of what is decided, the decision."""
    payload = message.payload
    if payload.get("decided") is not None:
        return message
    calls = payload.get("calls") or ()
    language = message.dest.language
    what = say(language, CALLS, n=len(calls)) if calls else str(payload.get("title") or "")
    if calls and not payload.get("open"):
        bare = [{**call, "details": {}, "because": ""} for call in calls]
        return replace(message, payload={**payload, "calls": bare})
    return replace(message, kind=MessageKind.NOTICE, payload={"text": say(language, ASKED, what=what)})


def _without_editing(rows: list[list[dict[str, Any]]]) -> list[list[dict[str, Any]]]:
    """Leave out the buttons for changing arguments: what is typed then belongs into the chat of the request."""
    kept = [[button for button in row if not str(button["action"]).endswith("/edit")] for row in rows]
    return [row for row in kept if row]
