"""What a message holds besides typed words: quoted words, places, files; and which messages hold nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from agent.domain.messages import Attachment, InboundMessage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from telegram import Message


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
    if message.contact is not None:
        return f"Contact: {message.contact.first_name} {message.contact.last_name or ''} {message.contact.phone_number}"
    return ""


def attachments(message: Message, *, trusted: bool) -> Iterable[Attachment]:
    """Yield the files of a message; of a photo's sizes the largest."""
    number = message.message_id
    if message.photo:
        largest = max(message.photo, key=lambda size: (size.width * size.height, size.file_size or 0))
        yield _file("photo", largest, f"photo-{number}.jpg", "image/jpeg", trusted=trusted)
    if message.voice is not None:
        yield _file("voice", message.voice, f"voice-{number}.ogg", "audio/ogg", trusted=trusted)
    if message.video_note is not None:
        yield _file("video_note", message.video_note, f"video-{number}.mp4", "video/mp4", trusted=trusted)
    for kind, held, suffix in (
        ("document", message.document if message.animation is None else None, ".bin"),
        ("audio", message.audio, ".mp3"),
        ("video", message.video, ".mp4"),
        ("animation", message.animation, ".mp4"),
    ):
        if held is not None:
            yield _file(kind, held, f"{kind}-{number}{suffix}", "", trusted=trusted)


def _file(kind: str, held: Any, name: str, mime: str, *, trusted: bool) -> Attachment:
    """Return one of Telegram's files; they have the same fields, as far as they have them."""
    return Attachment(
        getattr(held, "file_name", None) or name,
        file_id=held.file_id,
        mime=getattr(held, "mime_type", None) or mime,
        size=held.file_size or 0,
        trusted=trusted,
        kind=kind,
        seconds=_seconds(getattr(held, "duration", None)),
    )


def _seconds(duration: Any) -> float:
    return duration.total_seconds() if isinstance(duration, timedelta) else float(duration or 0)


def place(message: Message) -> str:
    """Return where a person says they are: "48.2082, 16.3738"; "" for a venue, whose name others gave it."""
    there = message.location if message.venue is None else None
    return "" if there is None else f"{there.latitude}, {there.longitude}"


def kind_of(message: Message) -> str:
    """Name what a message holds that is nothing to work with."""
    for kind in ("sticker", "poll", "dice", "story", "game", "giveaway"):
        if getattr(message, kind, None) is not None:
            return kind
    return "kind of message"


def is_content(message: Message) -> bool:
    """Tell a message of a person from a service message (somebody joined, a title changed)."""
    return kind_of(message) != "kind of message"


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
