"""Growing answers as Telegram's own drafts: https://core.telegram.org/bots/api#sendmessagedraft.

A draft is there for half a minute, in private chats only, and is no message: it has no id and does not ring. A server
that does not know the method is not asked again by this process, nor is one that refuses it in a chat: there, answers
grow by edits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from loguru import logger
from telegram import Bot, MessageEntity
from telegram.error import BadRequest, EndPointNotFound, Forbidden, InvalidToken, RetryAfter, TelegramError

from agent.channels.drafts import draft_id
from agent.channels.telegram import calls
from agent.channels.telegram.courier import Place
from agent.channels.telegram.render import view
from agent.channels.telegram.texts import Text
from agent.errors import DeliveryDelayed

if TYPE_CHECKING:
    from agent.domain.messages import Destination, OutboundMessage


class DraftCourier:
    """Shows drafts, and remembers where that does not work."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot
        self._is_known = True
        self._refused: set[str] = set()

    def takes(self, dest: Destination) -> bool:
        """Tell whether answers may grow as drafts there."""
        return self._is_known and dest.chat_type == "private" and dest.chat_id not in self._refused

    async def show(self, message: OutboundMessage) -> None:
        """Show how far the answer is: of a long one the part that is being written. Raises DeliveryDelayed."""
        texts = [part for part in view(message).parts if isinstance(part, Text)]
        if not texts:
            return
        try:
            await self._call(message, texts[-1])
        except RetryAfter as error:
            raise DeliveryDelayed(
                "Telegram asks to slow down (a draft).", retry_after=calls.seconds_of(error)
            ) from error
        except (InvalidToken, EndPointNotFound):  # the text of an InvalidToken may hold the token
            self._is_known = False
            logger.warning("Telegram's server does not know drafts; answers grow by edits until the next start")
        except (BadRequest, Forbidden) as error:
            self._refused.add(message.dest.chat_id)
            logger.warning("Telegram refuses drafts in chat {} ({}); edits instead", message.dest.chat_id, error)
        except TelegramError as error:  # the next one shows more anyway
            logger.debug("A draft in chat {} was not shown: {}", message.dest.chat_id, error)

    async def _call(self, message: OutboundMessage, part: Text) -> None:
        place = Place.of(message.dest)
        await self._bot.send_message_draft(
            place.chat_id,
            draft_id(message.key),
            part.text,
            message_thread_id=place.thread_id,
            entities=[MessageEntity(**entity) for entity in part.entities] or None,
        )
