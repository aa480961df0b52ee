"""Delivers the files of a workspace: pictures as photos and albums, the rest as documents, too large ones in words."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from loguru import logger
from telegram import Bot, InputFile, InputMediaPhoto
from telegram.error import BadRequest, ChatMigrated, NetworkError

from agent.channels.base import Unfinished
from agent.channels.telegram import calls
from agent.channels.telegram.courier import Courier, Place, read_ids, write_ids
from agent.channels.telegram.texts import Text, cut

if TYPE_CHECKING:
    from agent.domain.messages import OutboundMessage

MEGABYTE = 1024 * 1024
PHOTO_BYTES = 10 * MEGABYTE
UPLOAD_BYTES = 50 * MEGABYTE
ALBUM = 10
CAPTION = 1024
PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp"})

Unit = tuple[Path, ...]


class FileCourier:
    """Delivers `files` messages; each unit (a file or an album) is one part."""

    def __init__(self, bot: Bot, courier: Courier) -> None:
        self._bot = bot
        self._courier = courier

    async def deliver(self, message: OutboundMessage) -> str:
        """Send the next unit; see `Channel.deliver`. Sent files are not changed."""
        paths = [Path(str(path)) for path in message.payload.get("paths", ())]
        units = await asyncio.to_thread(_units, paths)
        ids = read_ids(message.message_id)
        if len(ids) >= len(units):
            return message.message_id
        place = Place.of(message.dest)
        caption = cut(str(message.payload.get("caption") or ""), CAPTION) if not ids else ""
        first = replace(place, reply_to=place.reply_to if not ids else None)
        ids.append(await self._send_there(first, units[len(ids)], caption))
        return write_ids(ids) if len(ids) == len(units) else Unfinished(write_ids(ids))

    async def _send_there(self, place: Place, unit: Unit, caption: str) -> int:
        with calls.delivering(f"the file {unit[0].name}"):
            try:
                return await self._send(place, unit, caption)
            except ChatMigrated as moved:
                await self._courier.note_move(place.chat_id, moved.new_chat_id)
                return await self._send(replace(place, chat_id=moved.new_chat_id), unit, caption)
            except BadRequest as error:
                if place.thread_id is None or not calls.says(error, "thread not found", "topic_"):
                    raise
                return await self._send(replace(place, thread_id=None), unit, caption)
            except NetworkError as error:
                if not calls.is_too_large(error):
                    raise
                return await self._courier.send(place, _too_large(unit, caption), None)

    async def _send(self, place: Place, unit: Unit, caption: str) -> int:
        words = await asyncio.to_thread(_obstacle, unit[0])
        if words:
            return await self._courier.send(place, Text(cut(f"{caption}\n{words}".strip(), 4000)), None)
        if len(unit) > 1:
            return await self._send_album(place, unit, caption)
        data = await asyncio.to_thread(unit[0].read_bytes)
        if _is_photo(unit[0]):
            try:
                photo = InputFile(data, filename=unit[0].name)
                return (await self._bot.send_photo(**place.where(), photo=photo, caption=caption or None)).message_id
            except BadRequest as error:
                if not calls.says(error, "image_process", "photo_", "wrong type", "dimensions"):
                    raise
                logger.info("Telegram does not take {} as a photo ({}); sending a document", unit[0].name, error)
        document = InputFile(data, filename=unit[0].name)
        sent = await self._bot.send_document(**place.where(), document=document, caption=caption or None)
        return sent.message_id

    async def _send_album(self, place: Place, unit: Unit, caption: str) -> int:
        data = [await asyncio.to_thread(path.read_bytes) for path in unit]
        media = [InputMediaPhoto(each, filename=path.name) for each, path in zip(data, unit, strict=True)]
        sent = await self._bot.send_media_group(**place.where(), media=media, caption=caption or None)
        return sent[0].message_id


def _units(paths: list[Path]) -> list[Unit]:
    """Group pictures that follow each other into albums. Deterministic: a resumed delivery counts the same units."""
    units: list[Unit] = []
    for path in paths:
        together = units and len(units[-1]) < ALBUM and _is_photo(path) and _is_photo(units[-1][0])
        if together:
            units[-1] = (*units[-1], path)
        else:
            units.append((path,))
    return units


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in PICTURES and path.is_file() and 0 < path.stat().st_size <= PHOTO_BYTES


def _too_large(unit: Unit, caption: str) -> Text:
    where = ", ".join(map(str, unit))
    return Text(
        cut(f"{caption}\n📄 Telegram does not take {unit[0].name}: it is too large. It is here: {where}".strip(), 4000)
    )


def _obstacle(path: Path) -> str:
    """Say why a file can't be sent, and where it is; "" when it can."""
    if not path.is_file():
        return f"📄 {path.name} is no longer there ({path})."
    size = path.stat().st_size
    if size > UPLOAD_BYTES:
        return f"📄 {path.name} has {size / MEGABYTE:.0f} MB; Telegram takes 50 MB. It is here: {path}"
    return f"📄 {path.name} is empty." if not size else ""
