"""Which files lie in a folder, and whether a file has arrived whole.

A file counts as whole when nobody has it open for writing (where the system tells us) and it either was renamed into
place after its last write, or has kept size and time for the settle time.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import signal
import stat
import time
from dataclasses import dataclass
from pathlib import Path

HALF = (".part", ".partial", ".crdownload", ".download", ".filepart", ".tmp", ".swp", "~")


@dataclass(frozen=True, slots=True)
class Found:
    """A file as it lies there now: its place relative to the folder, and what tells it from other versions."""

    name: str
    inode: int
    size: int
    written_ns: int
    changed_ns: int

    def key(self, *, by_name: bool) -> str:
        """Return what is remembered of it: its name alone, or this version of it."""
        told = self.name if by_name else f"{self.name}|{self.inode}|{self.written_ns}|{self.size}"
        return "file:" + hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def scan(folder: Path, pattern: str, leave_out: Path | None = None) -> list[Found]:
    """Return the regular files (no links, nothing hidden or half downloaded) that fit the pattern, oldest first."""
    found: list[Found] = []
    for path in folder.glob(pattern):
        name = str(path.relative_to(folder))
        if _set_aside(name, pattern) or (leave_out is not None and leave_out in path.parents):
            continue
        try:
            seen = path.lstat()
        except OSError:
            continue
        if stat.S_ISREG(seen.st_mode):
            found.append(Found(name, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns))
    return sorted(found, key=lambda one: (one.written_ns, one.name))


def _set_aside(name: str, pattern: str) -> bool:
    hidden = any(part.startswith(".") for part in Path(name).parts) and not Path(pattern).name.startswith(".")
    return hidden or (name.endswith(HALF) and not pattern.endswith(HALF))


class Patience:
    """Remembers how long each file of a folder has stayed the same; `settle` is in seconds."""

    def __init__(self, settle: float) -> None:
        self.settle = settle
        self._since: dict[str, tuple[Found, float]] = {}

    def whole(self, folder: Path, file: Found) -> bool:
        """Tell whether the file has arrived whole. Blocks for a moment."""
        now = time.monotonic()
        known = self._since.get(file.name)
        if known is None or known[0] != file:
            known = self._since[file.name] = (file, now)
        renamed = file.changed_ns > file.written_ns and file.size > 0
        rested = now - known[1] >= self.settle or time.time() - file.written_ns / 1e9 >= max(self.settle, 1.0)
        return (renamed or rested) and not being_written(folder / file.name)

    def forget_all_but(self, names: set[str]) -> None:
        """Forget files that are gone or done."""
        for name in self._since.keys() - names:
            del self._since[name]


def being_written(path: Path) -> bool:
    """Tell whether a process has the file open for writing; False when the system does not say."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        # A lease for reading is refused while somebody writes. Whoever begins to write in this very moment would have
        # us sent SIGIO, which ends a process: another signal is chosen, which does nothing.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except (OSError, AttributeError) as error:  # not our file, or a system without leases
        return isinstance(error, OSError) and error.errno == errno.EAGAIN
    finally:
        os.close(descriptor)
    return False
