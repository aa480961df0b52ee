"""Telegram's updates → inbound messages: who, where, what was typed, and what only came along.

Only what an owner typed is `text`. Forwarded, quoted and replied-to words, and words that came through another bot, are
`quoted`. Identity is the numeric id, never the name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.domain.messages import Attachment, Destination, InboundMessage

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from telegram import Message, MessageEntity, Update, User

CHANNEL = "telegram"
COMMAND = re.compile(r"^/(?P<name>\w+)(?:@(?P<bot>\w+))?")
QUOTE_LIMIT = 8000


@dataclass(frozen=True, slots=True)
class Stranger:
    """Somebody who may not use the bot wrote to it; `query_id` is set when they pressed a button."""

    dest: Destination
    user_id: int
    query_id: str = ""


@dataclass(frozen=True, slots=True)
class Edit:
    """An owner changed a message that was sent before."""

    chat_id: str
    message_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """An owner sent something that holds nothing to work with; `what` names it."""

    dest: Destination
    what: str
    update_id: str


@dataclass(frozen=True, slots=True)
class Press:
    """A button press: the message, and the id with which Telegram wants to be told the outcome."""

    message: InboundMessage
    query_id: str


Taken = InboundMessage | Press | Edit | Stranger | Unusable | None


class Reader:
    """Reads updates for one bot: `owners` are the numeric ids of those who may use it."""

    def __init__(self, bot_id: int, bot_name: str, owners: Collection[int], groups: str = "mention") -> None:
        self.bot_id = bot_id
        self.bot_name = bot_name
        self._owners = frozenset(owners)
        self._groups = groups

    def read(self, update: Update) -> Taken:
        """Return what the update means for us, or None when it means nothing."""
        if update.callback_query is not None:
            return self._press(update)
        if update.edited_message is not None:
            return self._edit(update.edited_message)
        message = update.message
        if message is None or message.from_user is None or message.from_user.is_bot or not self._is_for_us(message):
            return None
        if message.from_user.id not in self._owners:
            return Stranger(destination(message), message.from_user.id)
        return self._message(update, message, message.from_user)

    # --- messages -----------------------------------------------------------------------------------------------
    def _message(self, update: Update, message: Message, user: User) -> Taken:
        typed = self.typed(message)
        theirs = message.forward_origin is not None or message.via_bot is not None
        found = InboundMessage(
            channel=CHANNEL,
            update_id=f"{self.bot_id}:{update.update_id}",
            dest=replace(destination(message), reply_to=str(message.message_id)),
            user_id=str(user.id),
            user_name=user.full_name,
            language=user.language_code or "en",
            message_id=str(message.message_id),
            text="" if theirs else typed,
            quoted="\n\n".join(part for part in (typed if theirs else "", quoted(message)) if part)[:QUOTE_LIMIT],
            reply_to=str(message.reply_to_message.message_id) if message.reply_to_message else "",
            attachments=tuple(attachments(message, trusted=not theirs)),
            trusted=not theirs,
            received_at=message.date.timestamp(),
        )
        if found.text or found.quoted or found.attachments:
            return found
        return Unusable(found.dest, _kind_of(message), found.update_id) if _is_content(message) else None

    def typed(self, message: Message) -> str:
        """Return the words of a message or caption, without the bot's own name, commands as `/name`."""
        text = (message.text or message.caption or "").strip()
        command = COMMAND.match(text)
        if command and (command["bot"] or "").lower() == self.bot_name.lower():
            return f"/{command['name']}{text[command.end() :]}"
        mention = re.compile(
            rf"^@{re.escape(self.bot_name)}\b[\s,:]*|[\s,]*@{re.escape(self.bot_name)}$", re.IGNORECASE
        )
        return mention.sub("", text) if self.bot_name else text

    def _edit(self, message: Message) -> Edit | None:
        if message.from_user is None or message.from_user.id not in self._owners:
            return None
        if message.forward_origin is not None or message.via_bot is not None:  # then the new words are somebody else's
            return None
        return Edit(str(message.chat.id), str(message.message_id), self.typed(message))

    def _press(self, update: Update) -> Press | Stranger | None:
        query = update.callback_query
        assert query is not None
        message = query.message
        if message is None or not query.data:
            return None
        dest = Destination(CHANNEL, str(message.chat.id), _thread(message), str(message.chat.type))
        if query.from_user.id not in self._owners:
            return Stranger(dest, query.from_user.id, query.id)
        press = InboundMessage(
            channel=CHANNEL,
            update_id=f"{self.bot_id}:{update.update_id}",
            dest=dest,
            user_id=str(query.from_user.id),
            user_name=query.from_user.full_name,
            language=query.from_user.language_code or "en",
            action=query.data,
            message_id=str(message.message_id),
        )
        return Press(press, query.id)

    # --- groups -------------------------------------------------------------------------------------------------
    def _is_for_us(self, message: Message) -> bool:
        """Apply the group policy. A command that names another bot is never for us."""
        if message.chat.type == "private":
            return True
        command = COMMAND.match(message.text or message.caption or "")
        if message.chat.type == "channel" or self._groups == "never":
            return False
        if command and command["bot"] and command["bot"].lower() != self.bot_name.lower():
            return False
        return self._groups == "all" or command is not None or self._is_reply_to_us(message) or self._names_us(message)

    def _is_reply_to_us(self, message: Message) -> bool:
        replied = message.reply_to_message
        return replied is not None and replied.from_user is not None and replied.from_user.id == self.bot_id

    def _names_us(self, message: Message) -> bool:
        entities: dict[MessageEntity, str] = {
            **message.parse_entities(["mention", "text_mention"]),
            **message.parse_caption_entities(["mention", "text_mention"]),
        }
        return any(
            text.lower() == f"@{self.bot_name.lower()}" or (entity.user is not None and entity.user.id == self.bot_id)
            for entity, text in entities.items()
        )


def destination(message: Message) -> Destination:
    """Return the chat and topic of a message; the General topic and reply threads are no topic."""
    return Destination(CHANNEL, str(message.chat.id), _thread(message), str(message.chat.type))


def _thread(message: object) -> str:
    """Return the topic. `message_thread_id` alone may be a thread of replies, which is none."""
    thread = getattr(message, "message_thread_id", None)
    return str(thread) if thread and thread != 1 and getattr(message, "is_topic_message", False) else ""


def quoted(message: Message) -> str:
    """Return the words that came along: the part that was quoted, else the message replied to, and the like."""
    if message.quote is not None:
        return message.quote.text
    replied = message.reply_to_message
    if replied is not None and replied.forum_topic_created is None:
        return replied.text or replied.caption or ""
    return _described(message)


def _described(message: Message) -> str:
    if message.venue is not None:
        place = message.venue.location
        return f"Place: {message.venue.title}, {message.venue.address} ({place.latitude}, {place.longitude})"
    if message.location is not None:
        return f"Location: {message.location.latitude}, {message.location.longitude}"
    if message.contact is not None:
        return f"Contact: {message.contact.first_name} {message.contact.last_name or ''} {message.contact.phone_number}"
    return ""


def attachments(message: Message, *, trusted: bool) -> Iterable[Attachment]:
    """Yield the files of a message; of a photo's sizes the largest."""
    if message.photo:
        largest = max(message.photo, key=lambda size: (size.width * size.height, size.file_size or 0))
        name = f"photo-{message.message_id}.jpg"
        yield Attachment(name, "", largest.file_id, "image/jpeg", largest.file_size or 0, trusted)
    if message.voice is not None:
        voice = message.voice
        name = f"voice-{message.message_id}.ogg"
        yield Attachment(name, "", voice.file_id, voice.mime_type or "audio/ogg", voice.file_size or 0, trusted)
    if message.video_note is not None:
        note = message.video_note
        name = f"video-{message.message_id}.mp4"
        yield Attachment(name, "", note.file_id, "video/mp4", note.file_size or 0, trusted)
    for kind, held, suffix in (
        ("document", message.document if message.animation is None else None, ".bin"),
        ("audio", message.audio, ".mp3"),
        ("video", message.video, ".mp4"),
        ("animation", message.animation, ".mp4"),
    ):
        if held is not None:
            name = held.file_name or f"{kind}-{message.message_id}{suffix}"
            yield Attachment(name, "", held.file_id, held.mime_type or "", held.file_size or 0, trusted)


def _kind_of(message: Message) -> str:
    for kind in ("sticker", "poll", "dice", "story", "game", "giveaway"):
        if getattr(message, kind, None) is not None:
            return kind
    return "kind of message"


def _is_content(message: Message) -> bool:
    """Tell a message of a person from a service message (somebody joined, a title changed)."""
    return _kind_of(message) != "kind of message"


def merged(messages: list[InboundMessage]) -> InboundMessage:
    """Return an album as one message: the first one's, with all words and all files."""
    first = messages[0]
    return replace(
        first,
        text="\n".join(message.text for message in messages if message.text),
        quoted="\n\n".join(dict.fromkeys(message.quoted for message in messages if message.quoted)),
        attachments=tuple(file for message in messages for file in message.attachments),
        trusted=all(message.trusted for message in messages),
    )
