"""What was the same here and in the storage when they were compared last, and who works in a session's files here.

    mirror/<storage>/<session>/index   path → etag, what tells the file here from another state, hash, mode
    mirror/<storage>/<session>/lock    held while files are fetched or kept
    mirror/<storage>/<session>/busy    held (shared) by each process while a run works in the files

An index that is lost, or belongs to another folder, only costs comparing.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

BOOT = Path("/proc/sys/kernel/random/boot_id")
FORMAT = 1
MARK = ".mirror"
SHORTEST, LONGEST = 0.005, 0.2  # seconds between two looks at a lock that another process has


@dataclass(frozen=True, slots=True)
class Known:
    """A file as it was the same on both sides. An empty `stamp` says that the file here has to be read to know it."""

    etag: str
    stamp: tuple[int, ...]
    sha256: str
    mode: int


@dataclass(slots=True)
class Index:
    """All that is known of one session. `texts` are what files held that are merged; `folder` is the one here.

    `known` is False when nothing was compared before; `rebooted` when the machine has started since: what was written
    last before that may not have reached the disk.
    """

    folder: str = ""
    files: dict[str, Known] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    known: bool = False
    rebooted: bool = False


def read_index(place: Path, folder: str) -> Index:
    """Return the index of a session whose folder here has the mark `folder`."""
    try:
        stored = json.loads(place.read_bytes())
        if stored["format"] != FORMAT or stored["folder"] != folder:
            return Index(folder)
        files = {
            path: Known(etag, tuple(stamp), sha256, mode)
            for path, (etag, stamp, sha256, mode) in stored["files"].items()
        }
        return Index(folder, files, dict(stored["texts"]), known=True, rebooted=stored["boot"] != _boot())
    except (OSError, ValueError, KeyError, TypeError):
        return Index(folder)


def write_index(place: Path, index: Index) -> None:
    """Replace the index whole or not at all."""
    files = {path: [one.etag, one.stamp, one.sha256, one.mode] for path, one in index.files.items()}
    stored = {"format": FORMAT, "boot": _boot(), "folder": index.folder, "files": files, "texts": index.texts}
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = place.with_name(f".{secrets.token_hex(8)}.part")
    try:
        temporary.write_text(json.dumps(stored, separators=(",", ":")), encoding="utf-8")
        temporary.replace(place)
    finally:
        temporary.unlink(missing_ok=True)


def _boot() -> str:
    try:
        return BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""


@contextlib.asynccontextmanager
async def locked(place: Path) -> AsyncGenerator[None]:
    """Keep other processes of this host out meanwhile."""
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with place.open("a") as file:
        await _held(file, fcntl.LOCK_EX)
        yield


async def _held(file: IO[str], kind: int) -> None:
    """Wait for a lock without a thread: those that wait must not take the threads from who is to give it free."""
    pause = SHORTEST
    while not _has(file, kind):
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST)


def _has(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Busy:
    """Says that work is going on in a session's files here. `alone` is True when nobody else said so at the start."""

    def __init__(self, place: Path, *, alone: bool = True) -> None:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file: IO[str] = place.open("a")
        self.alone = alone and _has(self._file, fcntl.LOCK_EX)

    async def share(self) -> None:
        """Let others work in the files as well, until `end`. At once, or as soon as who came first has shared."""
        self.alone = False
        await _held(self._file, fcntl.LOCK_SH)

    def end(self) -> None:
        """Say that the work is done. Twice is as once."""
        self._file.close()


def mark_of(folder: Path) -> str:
    """Return what tells a session's folder from another that takes its place; it is made where it is missing."""
    place = folder / MARK
    try:
        return place.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        folder.mkdir(parents=True, exist_ok=True)
        mark = secrets.token_hex(16)
        place.write_text(mark, encoding="ascii")
        return mark
