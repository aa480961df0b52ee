"""What the Bot API refuses, as the real server says it. Pure checks, shared by the methods of the fake server."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

TEXT_LIMIT = 4096
CAPTION_LIMIT = 1024
ENTITY_LIMIT = 100
BUTTON_LIMIT = 100
DATA_BYTES = 64
PHOTO_BYTES = 10 * 1024 * 1024
UPLOAD_BYTES = 50 * 1024 * 1024
DOWNLOAD_BYTES = 20 * 1024 * 1024
COMMANDS = 100
MENU_BYTES = 8000
PICTURE_STARTS = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"GIF8")
COMMAND = re.compile(r"^[a-z0-9_]{1,32}$")
NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same as a current "
    "content and reply markup of the message"
)
ACTIONS = frozenset(
    {"typing", "upload_photo", "record_video", "upload_video", "record_voice", "upload_voice", "upload_document"}
    | {"choose_sticker", "find_location", "record_video_note", "upload_video_note"},
)
REACTIONS = frozenset({"👍", "👎", "❤", "🔥", "👀", "🤔", "🎉", "👌", "🤝", "✍"})
ENTITIES = frozenset(
    {"mention", "hashtag", "cashtag", "bot_command", "url", "email", "phone_number", "bold", "italic", "underline"}
    | {"strikethrough", "spoiler", "blockquote", "expandable_blockquote", "code", "pre", "text_link", "text_mention"}
    | {"custom_emoji", "date_time"},
)


@dataclass
class Refused(Exception):
    """An answer with `ok: false`."""

    code: int
    description: str
    retry_after: int | None = None
    migrate_to: int | None = None

    def __str__(self) -> str:
        return f"{self.code} {self.description}"

    def to_json(self) -> dict[str, Any]:
        """Return the body of the answer."""
        body: dict[str, Any] = {"ok": False, "error_code": self.code, "description": self.description}
        told = {"retry_after": self.retry_after, "migrate_to_chat_id": self.migrate_to}
        known = {name: value for name, value in told.items() if value is not None}
        if known:
            body["parameters"] = known
        return body


def bad(description: str) -> Refused:
    """Return a 400."""
    return Refused(400, f"Bad Request: {description}")


def utf16(text: str) -> int:
    """Return the length that Telegram counts."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def check_text(text: str, limit: int = TEXT_LIMIT) -> str:
    """Return the text as Telegram stores it (outer white space gone); refuse an empty or a long one."""
    kept = text.strip()
    if limit == TEXT_LIMIT and not kept:
        raise bad("message text is empty")
    if utf16(kept) > limit:
        raise bad("message is too long" if limit == TEXT_LIMIT else "message caption is too long")
    return kept


def check_entities(text: str, entities: Sequence[dict[str, Any]]) -> None:
    """Refuse unknown types, bounds outside the text or inside a character, and more than a message may hold.

    Stricter than the real server in one thing: entities that cross each other are mended there and refused here.
    """
    if len(entities) > ENTITY_LIMIT:
        raise bad("ENTITIES_TOO_LONG")
    units = text.encode("utf-16-le", "surrogatepass")
    for entity in entities:
        if entity.get("type") not in ENTITIES:
            raise bad(f"can't parse MessageEntity: unknown type {entity.get('type')}")
        start, length = int(entity["offset"]), int(entity["length"])
        if start < 0 or length < 1 or start + length > utf16(text):
            raise bad("ENTITY_BOUNDS_INVALID")
        if any(0xDC <= units[at * 2 + 1] <= 0xDF for at in (start, start + length) if at * 2 < len(units)):
            raise bad("ENTITY_BOUNDS_INVALID: inside a character")
        if entity["type"] == "text_link" and not entity.get("url"):
            raise bad("ENTITY_URL_INVALID")
    _check_crossing([(int(entity["offset"]), int(entity["offset"]) + int(entity["length"])) for entity in entities])


def _check_crossing(spans: list[tuple[int, int]]) -> None:
    open_ends: list[int] = []
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        while open_ends and open_ends[-1] <= start:
            open_ends.pop()
        if open_ends and open_ends[-1] < end:
            raise bad("ENTITY_BOUNDS_INVALID: entities cross each other")
        open_ends.append(end)


def check_markup(markup: dict[str, Any] | None) -> None:
    """Refuse buttons that the real server refuses."""
    if not markup or "inline_keyboard" not in markup:
        return
    buttons = [button for row in markup["inline_keyboard"] for button in row]
    if len(buttons) > BUTTON_LIMIT:
        raise bad("REPLY_MARKUP_TOO_LONG")
    for button in buttons:
        if not str(button.get("text", "")).strip():
            raise bad("can't parse inline keyboard button: text must be non-empty")
        if not button.get("url") and not 0 < len(str(button.get("callback_data", "")).encode()) <= DATA_BYTES:
            raise bad("BUTTON_DATA_INVALID")


def check_upload(data: bytes, *, photo: bool) -> None:
    """Refuse empty and large files, and photos that are none."""
    if not data:
        raise bad("file must be non-empty")
    if len(data) > (PHOTO_BYTES if photo else UPLOAD_BYTES):
        raise Refused(413, "Request Entity Too Large") if not photo else bad("PHOTO_TOO_BIG")
    if photo and not data.startswith(PICTURE_STARTS):
        raise bad("IMAGE_PROCESS_FAILED")


def check_commands(commands: Sequence[dict[str, Any]]) -> None:
    """Refuse a menu that is too long or badly named."""
    if len(commands) > COMMANDS:
        raise bad("BOT_COMMANDS_TOO_MUCH")
    if sum(len(f"{c.get('command', '')}{c.get('description', '')}".encode()) for c in commands) > MENU_BYTES:
        raise bad("BOT_COMMANDS_TOO_MUCH")
    for command in commands:
        if not COMMAND.match(str(command.get("command", ""))):
            raise bad("BOT_COMMAND_INVALID")
        if not 1 <= len(str(command.get("description", ""))) <= 256:
            raise bad("BOT_COMMAND_DESCRIPTION_INVALID")
