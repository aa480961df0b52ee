"""Answers to button presses: Telegram wants to be told within seconds, or the button seems to hang."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loguru import logger
from telegram.error import TelegramError

from agent.channels.base import Alert
from agent.texts import retell

if TYPE_CHECKING:
    from telegram import Bot

    from agent.channels.telegram.tasks import Tasks
    from agent.domain.messages import InboundMessage

SAID = 200
ALERTS = ("Too late", "Something went wrong")


class Presses:
    """Remembers whose presses wait for an answer, and gives it once the outcome is committed."""

    def __init__(self, bot: Bot, tasks: Tasks) -> None:
        self._bot = bot
        self._tasks = tasks
        self._queries: dict[str, str] = {}

    def queried(self, update_id: str, query: str) -> None:
        """Note the callback query of a press."""
        self._queries[update_id] = query

    async def pressed(self, message: InboundMessage, said: str) -> None:
        """Tell Telegram the outcome of a press, which is committed by now. After a restart there is nobody to tell."""
        query = self._queries.pop(message.update_id, None)
        if query is not None:
            alert = isinstance(said, Alert) or said.startswith(ALERTS)
            await self._answer(query, retell(message.dest.language, said), alert=alert)

    def refuse(self, query: str) -> None:
        """Tell a stranger that a button is not theirs."""
        self._tasks.own(self._answer(query, "Only the owner of this bot can do that.", alert=True))

    async def _answer(self, query: str, said: str, *, alert: bool) -> None:
        try:
            await self._bot.answer_callback_query(query, said[:SAID] or None, show_alert=alert)
        except TelegramError as error:
            logger.info("A press could not be answered: {}", error)
