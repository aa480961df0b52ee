"""Signs of life: "typing …" while there is work, and a look (👀) at what was received. None is worth a retry."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from loguru import logger
from telegram.error import BadRequest, Forbidden, TelegramError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from telegram import Bot

    from agent.channels.telegram.tasks import Tasks
    from agent.domain.messages import Destination, InboundMessage

ACTION_SECONDS = 4.5
SEEN = "👀"
# Whoever is answered within this many seconds needs no other sign, and Telegram no other call.
LOOK_AFTER = 0.5
SPOKEN_KEPT = 10_000
# The connections' pool looks at each of its connections for every request, so what can wait does not open many.
LOOKS_AT_ONCE = 3
# When very many people write at the same moment, Telegram's limits are for the answers.
LOOKS_WAITING = 12


class Signs:
    """Shows signs of life. `outside` gives the present id of a chat; `reactions` False means no 👀."""

    def __init__(self, bot: Bot, tasks: Tasks, outside: Callable[[str], str], *, reactions: bool) -> None:
        self._bot = bot
        self._tasks = tasks
        self._outside = outside
        self._reactions = reactions
        self._typing: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._without: set[str] = set()
        self._looks = asyncio.Semaphore(LOOKS_AT_ONCE)
        self._looking = 0
        self._spoken: dict[str, float] = {}  # chat → when something was last sent to it

    # --- typing -------------------------------------------------------------------------------------------------
    def busy(self, dest: Destination, *, on: bool) -> None:
        """Show "typing …" in the chat and topic until it is switched off."""
        place = (self._outside(dest.chat_id), dest.thread_id)
        running = self._typing.pop(place, None) if not on else self._typing.get(place)
        if not on:
            if running is not None:
                running.cancel()
        elif running is None or running.done():
            self._typing[place] = self._tasks.own(self._keep_typing(*place), endless=True)

    async def _keep_typing(self, chat_id: str, thread_id: str) -> None:
        """Renew the chat action before it fades."""
        while True:
            try:
                await self._bot.send_chat_action(
                    int(chat_id), "typing", message_thread_id=int(thread_id) if thread_id else None
                )
            except (BadRequest, Forbidden) as error:
                logger.info("No chat action in {}: {}", chat_id, error)
                return
            except TelegramError as error:
                logger.debug("The chat action was not renewed: {}", error)
            await asyncio.sleep(ACTION_SECONDS)

    # --- seen ---------------------------------------------------------------------------------------------------
    def seen(self, messages: Sequence[InboundMessage]) -> None:
        """Look at the messages, which are stored by now, where the chat allows it and nothing else is said soon."""
        for message in messages:
            if self._reactions and not message.action and message.message_id.isdigit():
                self._tasks.own(self._look(message, time.monotonic()), endless=True)

    def spoken(self, chat_id: str) -> None:
        """Note that something was sent to the chat (by its present id): it needs no look for what it said before."""
        if len(self._spoken) >= SPOKEN_KEPT:
            self._spoken.clear()
        self._spoken[chat_id] = time.monotonic()

    async def _look(self, message: InboundMessage, came: float) -> None:
        chat_id = self._outside(message.dest.chat_id)
        await asyncio.sleep(LOOK_AFTER)
        answered = self._spoken.get(chat_id, 0.0) > came
        if chat_id in self._without or answered or self._looking >= LOOKS_WAITING:
            return
        self._looking += 1
        try:
            async with self._looks:
                await self._bot.set_message_reaction(int(chat_id), int(message.message_id), SEEN)
        except (BadRequest, Forbidden) as error:
            logger.info("No reactions in {}: {}", chat_id, error)
            self._without.add(chat_id)
        except TelegramError as error:
            logger.debug("A message was not reacted to: {}", error)
        finally:
            self._looking -= 1
