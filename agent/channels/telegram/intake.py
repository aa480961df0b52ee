"""A batch of updates → the store, then whoever acts on it. Polling and the webhook come in here.

What the updates say is stored in one transaction with the offset; only then is anything handed on, and only then may
Telegram forget them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from loguru import logger

from agent.channels.telegram.contents import merged
from agent.channels.telegram.directory import CHANNEL
from agent.channels.telegram.updates import Edit, Moved, Press, Standing, Stranger, Unusable
from agent.domain.messages import InboundMessage, MessageKind, OutboundMessage
from agent.errors import reference_id
from agent.texts import say

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from telegram import Update

    from agent.channels.inbox import Lanes
    from agent.channels.telegram.strangers import Doorkeeper
    from agent.channels.telegram.updates import Reader, Taken
    from agent.domain.messages import Destination
    from agent.store.protocol import Store

OFFSET = "telegram:offset"


class Intake:
    """Takes batches for one bot.

    `queried` is told the callback query's id of each press, before the press is handed on; `refused` is told the query
    id of a stranger's press; `received` is told the messages that were new; `placed` returns a press as one made where
    the thing is that it is about.
    """

    def __init__(
        self,
        store: Store,
        reader: Reader,
        lanes: Lanes,
        doorkeeper: Doorkeeper,
        *,
        queried: Callable[[str, str], None],
        refused: Callable[[str], None],
        received: Callable[[Sequence[InboundMessage]], None] = lambda _: None,
        placed: Callable[[InboundMessage], Awaitable[InboundMessage]] | None = None,
    ) -> None:
        self.reader = reader
        self._store = store
        self._lanes = lanes
        self._doorkeeper = doorkeeper
        self._queried = queried
        self._refused = refused
        self._received = received
        self._placed = placed

    async def take(self, updates: Sequence[Update]) -> int:
        """Store what the updates say, then move the offset, in one transaction; then hand it on. Return the offset."""
        await self.reader.directory.refresh(self._store)
        read: list[tuple[Update, Taken]] = []
        for update in updates:  # one by one: who was just let in is no stranger in the next one
            read.append((update, self._read(update)))
            await self._meet(read[-1][1])
        edits = [taken for _, taken in read if isinstance(taken, Edit)]
        messages = _with_edits(_messages(read), edits)
        for edit in edits:
            await self._correct(edit, messages)
        for message in messages:
            await self.reader.directory.open(self._store, message.dest.chat_id)
        if self._placed is not None:
            messages = [await self._placed(one) if one.action else one for one in messages]
        offset = updates[-1].update_id + 1
        fresh = await self._lanes.receive(messages, OFFSET, str(offset))
        self._received(fresh)
        return offset

    def _read(self, update: Update) -> Taken:
        try:
            return self.reader.read(update)
        except Exception:
            logger.exception("{} update {} could not be read and is left out", reference_id(), update.update_id)
            return None

    async def _meet(self, taken: Taken) -> None:
        """Do what is to be done about everything that is no message."""
        match taken:
            case Stranger(query_id=query) if query:
                self._refused(query)
            case Stranger():
                await self._doorkeeper.meet(taken)
            case Unusable():
                await self._decline(taken)
            case Press():
                self._queried(taken.message.update_id, taken.query_id)
            case Moved():
                await self.reader.directory.move(self._store, taken.old, taken.new)
            case Standing():
                await self._stand(taken)
            case _:
                pass

    # --- edits --------------------------------------------------------------------------------------------------
    async def _correct(self, edit: Edit, batch: Sequence[InboundMessage]) -> None:
        """Change a message that is still waiting; about one that has been heard, tell what can be done."""
        if any(m.message_id == edit.message_id and m.dest.chat_id == edit.dest.chat_id for m in batch):
            return
        message = await self._store.find_message(CHANNEL, edit.dest.session_id, edit.message_id)
        if message is None or message.text == edit.text or message.user_id != edit.user_id:
            return
        if not await self._store.edit_message(message.id, edit.text) and edit.text and edit.text[0] != "/":
            await self._too_late(edit, message)

    async def _too_late(self, edit: Edit, message: InboundMessage) -> None:
        """Offer to do it again when the newest request of the chat was changed after it had begun."""
        runs = await self._store.recent_runs(message.dest.session_id, 5)
        run = next((run for run in runs if run.inbox_id == message.id), None)
        if run is None or (run.completed_at is not None and run is not runs[0]):
            return
        await self._store.set_value(f"edit:{message.id}", edit.text)
        language = edit.dest.language
        text = say(language, "You changed this after I had begun; I went by the first words.")
        buttons = [[{"label": say(language, "🔁 Redo with the new words"), "action": f"e/{message.id}/redo"}]]
        payload = {"text": text, "buttons": buttons}
        await self._store.post(OutboundMessage(edit.dest, MessageKind.NOTICE, f"edit/{message.id}", payload))

    # --- the rest -----------------------------------------------------------------------------------------------
    async def _decline(self, unusable: Unusable) -> None:
        language = unusable.dest.language
        text = say(
            language,
            "I can't do anything with a {what}. Please send text, a file, a photo or a voice message.",
            what=say(language, unusable.what),
        )
        await self._store.post(_notice(unusable.dest, f"telegram/unusable/{unusable.update_id}", text))

    async def _stand(self, standing: Standing) -> None:
        """Note that a chat is open or closed; in a group that an owner added the bot to, say how it works there."""
        directory, dest = self.reader.directory, standing.dest
        if not standing.here:
            logger.info("The chat {} is closed to the bot", dest.chat_id)
            await directory.close(self._store, dest.chat_id)
            return
        await directory.open(self._store, dest.chat_id)
        if dest.chat_type == "private" or not standing.by_owner:
            return
        text = say(
            dest.language,
            "Here I answer when I am mentioned (@{name}), replied to, or given a command. I listen to people whom an "
            "owner has let in; only an owner may approve. /group changes when I answer.",
            name=self.reader.bot_name,
        )
        await self._store.post(_notice(dest, f"telegram/joined/{standing.update_id}", text))


def _messages(read: Sequence[tuple[Update, Taken]]) -> list[InboundMessage]:
    """Return messages and presses in order, albums as one message each."""
    groups: dict[object, list[InboundMessage]] = {}
    for update, taken in read:
        found = taken.message if isinstance(taken, Press) else taken
        if isinstance(found, InboundMessage):
            album = update.message.media_group_id if update.message is not None else None
            name = (found.dest.chat_id, album) if album else found.update_id
            groups.setdefault(name, []).append(found)
    return [merged(group) for group in groups.values()]


def _with_edits(messages: list[InboundMessage], edits: list[Edit]) -> list[InboundMessage]:
    """Apply edits of messages that come in the same batch."""
    news = {(edit.dest.chat_id, edit.message_id): edit.text for edit in edits}
    return [
        replace(message, text=news.get((message.dest.chat_id, message.message_id), message.text))
        if not message.action
        else message
        for message in messages
    ]


def _notice(dest: Destination, key: str, text: str) -> OutboundMessage:
    return OutboundMessage(dest=dest, kind=MessageKind.NOTICE, key=key, payload={"text": text})
