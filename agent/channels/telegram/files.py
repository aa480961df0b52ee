"""Files that a person sent: fetched before the message is heard, kept outside every workspace."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from loguru import logger
from telegram.error import BadRequest, NetworkError, RetryAfter, TelegramError

from agent.channels.telegram import calls
from agent.domain.messages import MessageKind, OutboundMessage

if TYPE_CHECKING:
    from pathlib import Path

    from telegram import Bot

    from agent.domain.messages import Attachment, InboundMessage
    from agent.store.protocol import Store

DOWNLOAD_BYTES = 20 * 1024 * 1024
TRIES = 4
UNSAFE = re.compile(r"[^\w.,()+@ -]+")
NAME = 120


def safe_name(name: str) -> str:
    """Return a file name that stays in its folder: no separators, no leading dots, at most 120 bytes."""
    flat = UNSAFE.sub("_", name.replace("\\", "/").rsplit("/", 1)[-1]).strip(" .") or "file"
    stem, dot, suffix = flat.rpartition(".")
    stem, suffix = (stem, dot + suffix[:16]) if stem else (flat, "")
    while len((stem + suffix).encode()) > NAME:
        stem = stem[:-1]
    return stem + suffix


class Downloads:
    """Fetches attachments into `folder`/<inbox id>/. A file that is there already is not fetched again."""

    def __init__(self, bot: Bot, store: Store, folder: Path, *, pause: float = 1.0) -> None:
        self._bot = bot
        self._store = store
        self._folder = folder
        self._pause = pause

    async def complete(self, message: InboundMessage) -> InboundMessage:
        """Return the message with its files' paths; one that can't be had stays without, and the person is told."""
        kept: list[Attachment] = []
        for number, file in enumerate(message.attachments, start=1):
            kept.append(file)
            if file.path or not file.file_id:
                continue
            try:
                kept[-1] = await self._fetch(message, number, file)
            except TelegramError as error:
                logger.warning("{} of message {} was not fetched: {}", file.name, message.id, error)
                await self._tell(message, number, f"I could not fetch {file.name} from Telegram. Please send it again.")
            except TooLarge as large:
                await self._tell(message, number, str(large))
        return replace(message, attachments=tuple(kept))

    async def _fetch(self, message: InboundMessage, number: int, file: Attachment) -> Attachment:
        folder = self._folder / str(message.id)
        path = folder / f"{number}-{safe_name(file.name)}"
        if not path.exists():
            if file.size > DOWNLOAD_BYTES:
                raise TooLarge(file.name, file.size)
            await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True, mode=0o700)
            await self._patiently(file, path)
        size = (await asyncio.to_thread(path.stat)).st_size
        return replace(file, path=str(path), size=size)

    async def _patiently(self, file: Attachment, path: Path) -> None:
        for attempt in range(1, TRIES + 1):
            try:
                await self._download(file, path)
            except BadRequest as error:
                if calls.says(error, "file is too big"):
                    raise TooLarge(file.name, file.size) from error
                raise
            except RetryAfter as error:
                await asyncio.sleep(calls.seconds_of(error))
            except NetworkError:
                if attempt == TRIES:
                    raise
                await asyncio.sleep(self._pause * attempt)
            else:
                return
        raise NetworkError("Telegram kept asking to wait")

    async def _download(self, file: Attachment, path: Path) -> None:
        """Fetch into a file beside it first, so that half a file is never taken for a whole one."""
        part = path.with_name(f".{path.name}.part")
        source = await self._bot.get_file(file.file_id)
        data = await source.download_as_bytearray()
        await asyncio.to_thread(part.write_bytes, bytes(data))
        await asyncio.to_thread(part.replace, path)

    async def _tell(self, message: InboundMessage, number: int, text: str) -> None:
        notice = OutboundMessage(
            dest=message.dest,
            kind=MessageKind.NOTICE,
            key=f"inbox/{message.id}/file/{number}",
            payload={"text": text},
        )
        await self._store.post(notice)


class TooLarge(Exception):
    """A file is larger than what the Bot API hands out."""

    def __init__(self, name: str, size: int) -> None:
        known = f" ({size / 1024 / 1024:.0f} MB)" if size else ""
        super().__init__(
            f"{name}{known} is too large: Telegram gives bots files of up to 20 MB. "
            "Send a smaller one, or a link to it.",
        )
