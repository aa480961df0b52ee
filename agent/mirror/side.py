"""What one works with on a session's files: those here, the objects there, and what is known of both."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import os
import tempfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from loguru import logger

from agent.mirror.index import locked, mark_of, read_index, write_index
from agent.mirror.local import LocalFiles, described
from agent.mirror.names import MOST_BYTES, key_of, path_of
from agent.mirror.objects import PIECE, Conflict
from sandbox.api import SandboxError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Iterator, Mapping
    from pathlib import Path
    from typing import BinaryIO

    from agent.mirror.index import Index, Known
    from agent.mirror.objects import Found, Objects


class Side:
    """One session's files here and there. Use it as `async with Side.opened(…)`; the index is written at its end."""

    def __init__(self, objects: Objects, place: Path, files: LocalFiles, prefix: str, index: Index) -> None:
        self.objects = objects
        self.index = index
        self.files = files
        self.prefix = prefix
        self._place = place
        self._merged: Collection[str] = ()

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(
        cls, objects: Objects, place: Path, folder: Path, working_folder: str, merged: Collection[str] = ()
    ) -> AsyncGenerator[Self]:
        """Return it, with other processes of this host kept out meanwhile. Of the `merged` files the text is noted."""
        async with locked(place / "lock"):
            index = await asyncio.to_thread(lambda: read_index(place / "index", mark_of(folder)))
            before = replace(index, files=dict(index.files), texts=dict(index.texts))
            with LocalFiles(folder, working_folder) as files:
                side = cls(objects, place, files, f"files/{key_of(folder.name)}/", index)
                side._merged = merged
                try:
                    yield side
                finally:
                    if index != before or not index.known:
                        side.save()

    def note(self, path: str, known: Known, etag: str, data: bytes | None = None) -> None:
        """Note that a file is the same on both sides now; `data` is what it holds."""
        self.index.files[path] = replace(known, etag=etag)
        if path in self._merged and data is not None:
            self.index.texts[path] = data.decode(errors="replace")

    def save(self) -> None:
        """Write down what is known by now."""
        write_index(self._place / "index", self.index)

    def key(self, path: str) -> str:
        """Return the key of the object that a path is kept in."""
        return self.prefix + key_of(path)

    def path(self, key: str) -> str | None:
        """Return the path that an object is for; None when it is none of ours."""
        return path_of(key.removeprefix(self.prefix))

    # --- from there ---------------------------------------------------------------------------------------------
    async def take(self, path: str, found: Found) -> None:
        """Bring an object here, in the place of the file that is here."""
        with contextlib.suppress(Conflict):  # another one by now, or gone: whoever fetches next sees it
            if found.size > PIECE:
                await self._take_large(path, found)
            elif (got := await self.objects.get(self.key(path))) is not None:
                await self._put(path, io.BytesIO(got.data), got.etag, got.about, got.data)

    async def _take_large(self, path: str, found: Found) -> None:
        about = await self.objects.about(self.key(path))
        with tempfile.TemporaryFile(dir=self._place) as copy:
            async for piece in self.objects.pieces(self.key(path), found):
                await asyncio.to_thread(copy.write, piece)
            copy.seek(0)
            await self._put(path, copy, found.etag, about)

    async def _put(
        self, path: str, content: BinaryIO, etag: str, about: Mapping[str, str], data: bytes | None = None
    ) -> None:
        mode, modified = _mode(about), _number(about.get("mtime"))
        try:
            known = await asyncio.to_thread(self.files.put, path, content, mode, modified)
        except SandboxError as error:
            logger.warning("{} cannot be brought here: {}", path, error)
            return
        self.note(path, known, etag, data)

    # --- to there -----------------------------------------------------------------------------------------------
    async def give(self, path: str, *, guarded: bool = False) -> None:
        """Bring a file into the storage; one that is gone by now is passed over.

        With `guarded` only in the place of the object that was there last: Conflict when another one is.
        """
        if len(self.key(path)) > MOST_BYTES - len(self.objects.address):
            logger.warning("{} has too long a name to be kept in the storage", path)
            return
        was = self.index.files.get(path)
        replacing = (was.etag if was is not None else "") if guarded else None
        with contextlib.suppress(SandboxError, FileNotFoundError), self.files.reading(path) as file:
            read = await asyncio.to_thread(_read, file)
            if was is not None and (was.sha256, was.mode) == (read.known.sha256, read.known.mode):
                self.note(path, read.known, was.etag, read.data)
                return
            content = _pieces(file) if read.data is None else read.data
            etag = await self.objects.put(self.key(path), content, read.about, replacing=replacing)
            now = await asyncio.to_thread(self.files.known, path) if read.data is None else read.known
            changed = now is None or now.sha256 != read.known.sha256  # while it was read: it is kept again next time
            self.note(path, replace(read.known, stamp=(), sha256="") if changed else read.known, etag, read.data)


@dataclass(frozen=True, slots=True)
class _Read:
    """A file that was read: `data` only when it is small, else the file is at its beginning again."""

    known: Known
    modified_ns: int
    data: bytes | None

    @property
    def about(self) -> dict[str, str]:
        return {"sha256": self.known.sha256, "mode": f"{self.known.mode:o}", "mtime": str(self.modified_ns)}


def _read(file: BinaryIO) -> _Read:
    status = os.fstat(file.fileno())
    if status.st_size > PIECE:
        digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # it has readinto
        file.seek(0)
        return _Read(described(file, digest), status.st_mtime_ns, None)
    data = file.read(PIECE + 1)
    return _Read(described(file, hashlib.sha256(data).hexdigest()), status.st_mtime_ns, data)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(PIECE):
        yield piece


def _mode(about: Mapping[str, str]) -> int:
    try:
        return int(about.get("mode", ""), 8) & 0o777
    except ValueError:
        return 0o644


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
