"""Puts messages into a chat: the first time, as an edit, part by part.

`message_id` of a message is "17", or "[17, 18]" when it has several parts. Parts are sent one at a time and the ids are
handed back as `Unfinished` in between, so that each is stored before the next one is sent. A part of an answer is sent
as a preview and completed by an edit, which may be repeated: after a crash a preview may stay behind, but the whole is
there once.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from loguru import logger
from telegram import (
    Bot,
    ForceReply,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputFile,
    InputMediaDocument,
    LinkPreviewOptions,
    MessageEntity,
    ReplyParameters,
)
from telegram.error import BadRequest, ChatMigrated

from agent.channels.base import Unfinished
from agent.channels.telegram import calls
from agent.channels.telegram.formatting import preview
from agent.channels.telegram.render import View, view
from agent.channels.telegram.texts import Document, Part, Text
from agent.domain.messages import MessageKind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent.domain.messages import Destination, OutboundMessage

GENERAL = "1"
REMEMBERED = 2000
NO_PREVIEW = LinkPreviewOptions(is_disabled=True)
Markup = InlineKeyboardMarkup | ForceReply | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message goes; `dest` is the outbox's, in the types of the Bot API. The General topic has no number."""

    chat_id: int
    thread_id: int | None = None
    reply_to: int | None = None

    @classmethod
    def of(cls, dest: Destination) -> Place:
        """Read a destination."""
        thread = int(dest.thread_id) if dest.thread_id not in {"", GENERAL} else None
        return cls(int(dest.chat_id), thread, int(dest.reply_to) if dest.reply_to.isdigit() else None)

    def where(self) -> dict[str, Any]:
        """Return the arguments that every sending method takes. A deleted request must not keep an answer back."""
        found: dict[str, Any] = {"chat_id": self.chat_id, "message_thread_id": self.thread_id}
        if self.reply_to is not None:
            found["reply_parameters"] = ReplyParameters(self.reply_to, allow_sending_without_reply=True)
        return found


def read_ids(message_id: str) -> list[int]:
    """Return the ids of a message's parts."""
    if not message_id:
        return []
    found = json.loads(message_id)
    return [int(number) for number in found] if isinstance(found, list) else [int(found)]


def write_ids(ids: list[int]) -> str:
    """Return the ids as the outbox stores them."""
    return str(ids[0]) if len(ids) == 1 else json.dumps(ids)


class Courier:
    """Delivers everything but files out of a workspace."""

    def __init__(self, bot: Bot, moved: Callable[[int, int], Awaitable[None]] | None = None) -> None:
        self._bot = bot
        self._moved = moved
        # What each message was last seen to show, so that unchanged parts cost no call.
        self._shows: OrderedDict[tuple[int, int], tuple[Part, Markup]] = OrderedDict()

    async def deliver(self, message: OutboundMessage) -> str:
        """Bring the chat one step nearer to what the message says; see `Channel.deliver`."""
        place = Place.of(message.dest)
        look = view(message)
        ids = read_ids(message.message_id)
        try:
            return await self._step(place, message, look, ids)
        except ChatMigrated as moved:
            await self.note_move(place.chat_id, moved.new_chat_id)
            with calls.delivering("a message"):
                return await self._step(replace(place, chat_id=moved.new_chat_id), message, look, ids)

    async def note_move(self, old: int, new: int) -> None:
        """Have it noted that a group has another id."""
        logger.info("The group {} is now the supergroup {}", old, new)
        if self._moved is not None:
            await self._moved(old, new)

    async def _step(self, place: Place, message: OutboundMessage, look: View, ids: list[int]) -> str:
        staged = message.kind is MessageKind.ANSWER
        if len(ids) < len(look.parts):
            at = len(ids)
            part = look.parts[at]
            first = replace(place, reply_to=place.reply_to if at == 0 else None)
            stand_in = _stand_in(part) if staged else part
            markup = None if staged else _markup(look, at)
            ids = [*ids, await self.send(first, stand_in, markup)]
            done = not staged and len(ids) == len(look.parts)
            return write_ids(ids) if done else Unfinished(write_ids(ids))
        for at, part in enumerate(look.parts):
            ids[at] = await self._edit(place, ids[at], part, _markup(look, at))
        for extra in ids[len(look.parts) :]:
            await self._delete(place, extra)
        return write_ids(ids[: len(look.parts)])

    # --- sending ------------------------------------------------------------------------------------------------
    async def send(self, place: Place, part: Part, markup: Markup) -> int:
        """Send one part and return its id."""
        sent = await self._send_somewhere(place, part, markup)
        self._remember(place, sent, part, markup)
        return sent

    async def _send_somewhere(self, place: Place, part: Part, markup: Markup) -> int:
        """Send; without the topic when it is gone, without entities when Telegram dislikes them."""
        try:
            return await self._send(place, part, markup)
        except BadRequest as error:
            if place.thread_id is not None and calls.says(error, "thread not found", "topic_"):
                logger.info("Topic {} of chat {} is gone; sending to the chat", place.thread_id, place.chat_id)
                return await self._send_somewhere(replace(place, thread_id=None), part, markup)
            if isinstance(part, Text) and part.entities and calls.dislikes_formatting(error):
                logger.warning("Telegram did not take a text's formatting ({}); sending it plain", error)
                return await self._send(place, Text(part.text), markup)
            if isinstance(part, Text) and calls.is_too_long(error):
                logger.warning("Telegram did not take a text of {} characters; sending a file", len(part.text))
                return await self._send_somewhere(place, _as_file(part), markup)
            with calls.delivering("a message"):
                raise

    async def _send(self, place: Place, part: Part, markup: Markup) -> int:
        """Make the call. Lets BadRequest and ChatMigrated through, which have a way on."""
        try:
            if isinstance(part, Document):
                file = InputFile(part.data, filename=part.name)
                sent = await self._bot.send_document(
                    **place.where(), document=file, caption=part.caption or None, reply_markup=markup
                )
            else:
                sent = await self._bot.send_message(
                    **place.where(),
                    text=part.text,
                    entities=_entities(part),
                    reply_markup=markup,
                    link_preview_options=NO_PREVIEW,
                )
        except (BadRequest, ChatMigrated):
            raise
        except Exception:
            with calls.delivering("a message"):
                raise
        return sent.message_id

    # --- editing ------------------------------------------------------------------------------------------------
    async def _edit(self, place: Place, message_id: int, part: Part, markup: Markup) -> int:
        """Make a message show the part; return its id, or that of the new message that had to take its place."""
        if self._shows.get((place.chat_id, message_id)) == (part, markup):
            return message_id
        buttons = markup if isinstance(markup, InlineKeyboardMarkup) else None
        try:
            await self._change(place, message_id, part, buttons)
        except BadRequest as error:
            if calls.is_gone(error):
                return await self._replace(place, message_id, part, markup, stands=not calls.is_deleted(error))
            if isinstance(part, Text) and calls.is_too_long(error):
                return await self._edit(place, message_id, _as_file(part), markup)
            if isinstance(part, Document) or not (part.entities and calls.dislikes_formatting(error)):
                with calls.delivering("an edit", repeatable=True):
                    raise
            logger.warning("Telegram did not take a text's formatting ({}); sending it plain", error)
            with calls.delivering("an edit", repeatable=True):
                await self._change(place, message_id, Text(part.text), buttons)
        self._remember(place, message_id, part, markup)
        return message_id

    async def _change(self, place: Place, message_id: int, part: Part, markup: InlineKeyboardMarkup | None) -> None:
        where: dict[str, Any] = {"chat_id": place.chat_id, "message_id": message_id}
        try:
            if isinstance(part, Document):
                file = InputMediaDocument(part.data, filename=part.name, caption=part.caption or None)
                await self._bot.edit_message_media(file, **where, reply_markup=markup)
            else:
                await self._bot.edit_message_text(
                    part.text,
                    **where,
                    entities=_entities(part),
                    reply_markup=markup,
                    link_preview_options=NO_PREVIEW,
                )
        except (BadRequest, ChatMigrated) as error:
            if not (isinstance(error, BadRequest) and calls.is_unmodified(error)):
                raise
        except Exception:
            with calls.delivering("an edit", repeatable=True):
                raise

    async def _replace(self, place: Place, message_id: int, part: Part, markup: Markup, *, stands: bool) -> int:
        """Send a new message where an old one can't be edited; if that `stands` there, take its buttons away."""
        logger.info("Message {} of chat {} can't be edited; sending a new one", message_id, place.chat_id)
        sent = await self.send(place, part, markup)
        if not stands:
            return sent
        try:
            await self._bot.edit_message_reply_markup(place.chat_id, message_id)
        except Exception as error:
            logger.debug("The old message keeps its buttons: {}", error)
        return sent

    async def _delete(self, place: Place, message_id: int) -> None:
        with calls.delivering("a deletion", repeatable=True):
            try:
                await self._bot.delete_message(place.chat_id, message_id)
            except BadRequest as error:
                logger.debug("A part that is no longer needed stays: {}", error)

    def _remember(self, place: Place, message_id: int, part: Part, markup: Markup) -> None:
        self._shows[place.chat_id, message_id] = (part, markup)
        if len(self._shows) > REMEMBERED:
            self._shows.popitem(last=False)


def _stand_in(part: Part) -> Text:
    """Return what holds a part's place until the edit; never the same as the part itself."""
    return preview(part.text) if isinstance(part, Text) else Text(f"📄 {part.name} …")


def _as_file(part: Text) -> Document:
    return Document("message.txt", part.text.encode("utf-8", "replace"), "")


def _entities(part: Text) -> list[MessageEntity] | None:
    return [MessageEntity(**entity) for entity in part.entities] or None


def _markup(look: View, at: int) -> Markup:
    if at != look.buttons_at:
        return None
    if look.force_reply:
        return ForceReply(selective=True)
    rows = [[InlineKeyboardButton(label, callback_data=action) for label, action in row] for row in look.buttons]
    return InlineKeyboardMarkup(rows) if rows else None
