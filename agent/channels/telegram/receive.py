"""The polling loop: updates are stored before they are acknowledged, and nothing ends the loop but being cancelled.

Telegram forgets an update when a later offset is asked for. The offset is stored in the same transaction as the
messages, so whenever the process dies, each update is either in the store or still with Telegram.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

from loguru import logger
from telegram import Update
from telegram.error import Conflict, InvalidToken, RetryAfter, TelegramError

from agent.channels.telegram import calls
from agent.channels.telegram.intake import OFFSET
from agent.errors import reference_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from telegram import Bot

    from agent.channels.telegram.intake import Intake
    from agent.store.protocol import Store

BOT = "telegram:bot"
KINDS = ("message", "edited_message", "callback_query", "my_chat_member")
SLOWEST = 30.0
CONFLICT = 5.0
STALLED = 20.0
ALBUM_PAUSE = 0.35
ALBUM_LONGEST = 1.5


class Receiver:
    """Polls for one bot. `patience` scales all pauses (tests use a small one)."""

    def __init__(self, bot: Bot, store: Store, intake: Intake, *, poll_seconds: int, patience: float = 1.0) -> None:
        self._bot = bot
        self._store = store
        self._intake = intake
        self._poll_seconds = poll_seconds
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
        """Go on where the store says."""
        self._offset = await resume(self._store, self._intake.reader.bot_id)

    async def _poll(self) -> None:
        updates = await self._fetch(self._poll_seconds)
        self._alive()
        if updates:
            self._offset = await self._intake.take(await self._whole_albums(updates))

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
        while ends_in_album(updates) and time.monotonic() < deadline:
            await asyncio.sleep(ALBUM_PAUSE * self._patience)
            more = await self._fetch(0)
            if len(more) <= len(updates):
                break
            updates = more
        return updates

    # --- trouble ------------------------------------------------------------------------------------------------
    async def _pause_after(self, error: Exception) -> None:
        """Say what is wrong, once in words, and wait; longer each time, never for good."""
        self._failures += 1
        pause = min(SLOWEST, 0.5 * 2.0 ** min(self._failures, 10)) * random.uniform(0.5, 1.0)  # noqa: S311 — no secret
        if isinstance(error, Conflict) and calls.says(error, "webhook"):
            await self._end_webhook()
        elif isinstance(error, Conflict):
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

    async def _end_webhook(self) -> None:
        """End the calls that an earlier life with another setting has asked for; then polling works."""
        logger.info("Telegram calls a webhook, which telegram.webhook_url does not ask for; polling from now on")
        try:
            await self._bot.delete_webhook()
        except TelegramError as error:
            logger.warning("The webhook could not be ended: {}", error)


async def resume(store: Store, bot_id: int) -> int:
    """Return the offset to go on with; update ids of another bot mean nothing for this one."""
    me = str(bot_id)
    if await store.get_value(BOT) not in {None, me}:
        logger.info("This is another bot than last time; starting with what Telegram holds for it")
        await store.set_value(OFFSET, "0")
    await store.set_value(BOT, me)
    return int(await store.get_value(OFFSET) or 0)


def ends_in_album(updates: Sequence[Update]) -> bool:
    """Tell whether the last update is part of an album, of which more may come."""
    message = updates[-1].message
    return message is not None and message.media_group_id is not None
