"""A workspace at one moment, so that what a job changed can be told afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Entry:
    """What tells one state of a file from another: bytes, times in nanoseconds, inode."""

    size: int
    mtime_ns: int
    inode: int
    ctime_ns: int = 0


@dataclass(slots=True)
class Snapshot:
    """The regular files at one moment.

    `used` are the bytes on disk, `entries` all names of any kind; `complete` is False when a cap cut the scan.
    """

    files: dict[str, Entry] = field(default_factory=dict)
    used: int = 0
    complete: bool = True
    skipped: int = 0
    entries: int = 0
