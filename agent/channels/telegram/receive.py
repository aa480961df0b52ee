"""The polling loop: updates are stored before they are acknowledged, and nothing ends the loop but being cancelled.

Telegram forgets an update when a later offset is asked for. The offset is stored in the same transaction as the
messages, so whenever the process dies, each update is either in the store or still with Telegram.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from loguru import logger
from telegram import Update
from telegram.error import Conflict, InvalidToken, RetryAfter, TelegramError

from agent.channels.telegram import calls
from agent.channels.telegram.updates import CHANNEL, Edit, Press, Stranger, Unusable, merged
from agent.domain.messages import InboundMessage, MessageKind, OutboundMessage
from agent.errors import reference_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from telegram import Bot

    from agent.channels.inbox import Lanes
    from agent.channels.telegram.updates import Reader, Taken
    from agent.domain.messages import Destination
    from agent.store.protocol import Store

OFFSET = "telegram:offset"
BOT = "telegram:bot"
KINDS = ("message", "edited_message", "callback_query")
SLOWEST = 30.0
CONFLICT = 5.0
STALLED = 20.0
ALBUM_PAUSE = 0.35
ALBUM_LONGEST = 1.5


class Receiver:
    """Polls for one bot. `patience` scales all pauses (tests use a small one).

    `queried` is told the callback query's id of each press, before the press is handed on; `refused` is told the query
    id of a stranger's press.
    """

    def __init__(
        self,
        bot: Bot,
        store: Store,
        reader: Reader,
        lanes: Lanes,
        *,
        poll_seconds: int,
        queried: Callable[[str, str], None],
        refused: Callable[[str], None],
        patience: float = 1.0,
    ) -> None:
        self._bot = bot
        self._store = store
        self._reader = reader
        self._lanes = lanes
        self._poll_seconds = poll_seconds
        self._queried = queried
        self._refused = refused
        self._patience = patience
        self._offset = 0
        self._failures = 0
        self.last_poll: float | None = None

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            try:
                await self._resume()
                while True:
                    await self._poll()
            except Exception as error:
                await self._pause_after(error)

    async def _resume(self) -> None:
        """Go on where the store says; update ids of another bot mean nothing for this one."""
        me = str(self._reader.bot_id)
        if await self._store.get_value(BOT) not in {None, me}:
            logger.info("This is another bot than last time; starting with what Telegram holds for it")
            await self._store.set_value(OFFSET, "0")
        await self._store.set_value(BOT, me)
        self._offset = int(await self._store.get_value(OFFSET) or 0)

    async def _poll(self) -> None:
        updates = await self._fetch(self._poll_seconds)
        self._alive()
        if updates:
            await self._take(await self._whole_albums(updates))

    def _alive(self) -> None:
        if self._failures:
            logger.info("Telegram answers again")
        self._failures = 0
        self.last_poll = time.monotonic()

    async def _fetch(self, seconds: int) -> Sequence[Update]:
        """Ask Telegram; a poll that stalls silently counts as a network error."""
        try:
            async with asyncio.timeout(seconds + STALLED):
                return await self._bot.get_updates(offset=self._offset, timeout=seconds, allowed_updates=KINDS)
        except (TelegramError, TimeoutError):
            raise
        except Exception as error:
            logger.warning("An update could not be read ({!r}); reading them one by one", error)
            return await self._fetch_one_by_one()

    async def _fetch_one_by_one(self) -> Sequence[Update]:
        """Read raw updates and leave out what the library can't: one of them must not block all others."""
        # Method names are case-insensitive; the library refuses the usual spelling here.
        asked = {"offset": self._offset, "timeout": 0, "allowed_updates": KINDS}
        raw: list[dict[str, object]] = await self._bot.do_api_request("getupdates", api_kwargs=asked)
        found = []
        for update in raw:
            try:
                found.append(Update.de_json(update, self._bot))
            except Exception:
                ref = reference_id()
                logger.exception("{} update {} is left out", ref, update.get("update_id"))
                found.append(Update(int(str(update["update_id"]))))
        return found

    async def _whole_albums(self, updates: Sequence[Update]) -> Sequence[Update]:
        """Wait a moment for the rest of an album that the batch ends with; nothing of it is acknowledged yet."""
        deadline = time.monotonic() + ALBUM_LONGEST * self._patience
        while _ends_in_album(updates) and time.monotonic() < deadline:
            await asyncio.sleep(ALBUM_PAUSE * self._patience)
            more = await self._fetch(0)
            if len(more) <= len(updates):
                break
            updates = more
        return updates

    # --- a batch ------------------------------------------------------------------------------------------------
    async def _take(self, updates: Sequence[Update]) -> None:
        """Store what the updates say, then move the offset, in one transaction; then hand it on."""
        read = [(update, self._read(update)) for update in updates]
        edits = [taken for _, taken in read if isinstance(taken, Edit)]
        messages = _with_edits(_messages(read), edits)
        for edit in edits:
            await self._correct(edit)
        for _, taken in read:
            if isinstance(taken, Stranger):
                await self._turn_away(taken)
            elif isinstance(taken, Unusable):
                await self._decline(taken)
            elif isinstance(taken, Press):
                self._queried(taken.message.update_id, taken.query_id)
        offset = updates[-1].update_id + 1
        fresh = await self._store.receive_and_set(messages, OFFSET, str(offset))
        self._offset = offset
        self._lanes.take(fresh)

    def _read(self, update: Update) -> Taken:
        try:
            return self._reader.read(update)
        except Exception:
            logger.exception("{} update {} could not be read and is left out", reference_id(), update.update_id)
            return None

    async def _correct(self, edit: Edit) -> None:
        """Change a message that is still waiting; what has been heard stays as it was heard."""
        for message in await self._store.unheard(CHANNEL):
            same = message.dest.chat_id == edit.chat_id and message.message_id == edit.message_id
            if same and not message.action and await self._store.edit_message(message.id, edit.text):
                self._lanes.correct(message.id, edit.text)

    async def _turn_away(self, stranger: Stranger) -> None:
        """One polite line a person, ever: the outbox knows the key."""
        if stranger.query_id:
            self._refused(stranger.query_id)
            return
        logger.warning("User {} is not an owner and was turned away", stranger.user_id)
        text = (
            f"Hello! I work for my owner only. Your Telegram id is {stranger.user_id}; "
            "the owner can let you in by adding it to DIRIGENT_OWNERS."
        )
        key = f"telegram/stranger/{stranger.user_id}"
        if await self._store.get_message(key) is None:
            await self._store.post(_notice(stranger.dest, key, text))

    async def _decline(self, unusable: Unusable) -> None:
        text = f"I can't do anything with a {unusable.what}. Please send text, a file, a photo or a voice message."
        await self._store.post(_notice(unusable.dest, f"telegram/unusable/{unusable.update_id}", text))

    # --- trouble ------------------------------------------------------------------------------------------------
    async def _pause_after(self, error: Exception) -> None:
        """Say what is wrong, once in words, and wait; longer each time, never for good."""
        self._failures += 1
        pause = min(SLOWEST, 0.5 * 2.0 ** min(self._failures, 10)) * random.uniform(0.5, 1.0)  # noqa: S311 — no secret
        if isinstance(error, Conflict):
            pause = CONFLICT
            logger.warning("Another program polls with this bot's token. Stop it, or give this one its own bot.")
        elif isinstance(error, RetryAfter):
            pause = calls.seconds_of(error)
            logger.warning("Telegram asks to wait {:.0f} s before the next poll", pause)
        elif isinstance(error, InvalidToken):
            pause = SLOWEST
            logger.error("Telegram no longer accepts the bot's token. Get a new one from @BotFather.")
        elif isinstance(error, (TelegramError, TimeoutError)):
            logger.warning("Telegram can't be reached ({}); trying again in {:.1f} s", error or "no answer", pause)
        else:
            logger.opt(exception=error).error("{} receiving failed; trying again in {:.1f} s", reference_id(), pause)
        await asyncio.sleep(pause * self._patience)


def _ends_in_album(updates: Sequence[Update]) -> bool:
    message = updates[-1].message
    return message is not None and message.media_group_id is not None


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
    news = {(edit.chat_id, edit.message_id): edit.text for edit in edits}
    return [
        replace(message, text=news.get((message.dest.chat_id, message.message_id), message.text))
        if not message.action
        else message
        for message in messages
    ]


def _notice(dest: Destination, key: str, text: str) -> OutboundMessage:
    return OutboundMessage(dest=dest, kind=MessageKind.NOTICE, key=key, payload={"text": text})
