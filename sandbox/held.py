"""What the processes of a box hold open and no folder shows: deleted files that still take disk, and buffers."""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.workspace import Workspace


@dataclass(slots=True)
class Held:
    """Bytes of deleted files by (device, inode), and how many sockets and pipes there are."""

    deleted: dict[tuple[int, int], int] = field(default_factory=dict)
    channels: set[int] = field(default_factory=set)

    @property
    def bytes(self) -> int:
        """The bytes of the deleted files."""
        return sum(self.deleted.values())


def descendants(pid: int) -> set[int]:
    """Return a process and all below it, by the kernel's lists of children."""
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        current = waiting.pop()
        found.add(current)
        waiting += [child for child in _children(current) if child not in found]
    return found


def _children(pid: int) -> list[int]:
    children: list[int] = []
    with contextlib.suppress(OSError, ValueError):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - half the cost of a path
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:  # noqa: PTH123
                children += map(int, file.read().split())
    return children


def held(root: int, device: int) -> Held:
    """Look at what `root` and all below it hold open of the file system `device`."""
    found = Held()
    for pid in descendants(root):
        _open_files(pid, device, found)
        _mapped_files(pid, device, found)
    return found


def _open_files(pid: int, device: int, found: Held) -> None:
    try:
        descriptors = os.scandir(f"/proc/{pid}/fd")
    except OSError:
        return
    with descriptors:
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                status = os.stat(descriptor.path)  # noqa: PTH116
                if stat.S_ISREG(status.st_mode) and not status.st_nlink and status.st_dev == device:
                    found.deleted[status.st_dev, status.st_ino] = status.st_blocks * 512
                elif stat.S_ISSOCK(status.st_mode) or stat.S_ISFIFO(status.st_mode):
                    found.channels.add(status.st_ino)


def _mapped_files(pid: int, device: int, found: Held) -> None:
    """Count files that are deleted and closed and live on in a mapping; its length is what is known of their size."""
    with (
        contextlib.suppress(OSError, ValueError),
        Path(f"/proc/{pid}/maps").open(encoding="utf-8", errors="replace") as maps,
    ):
        for line in maps:
            if not line.endswith(" (deleted)\n"):
                continue
            span, _, _, numbers, inode = line.split(maxsplit=5)[:5]
            major, minor = (int(part, 16) for part in numbers.split(":"))
            if os.makedev(major, minor) == device:
                begin, end = (int(part, 16) for part in span.split("-"))
                found.deleted.setdefault((device, int(inode)), end - begin)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a job may bring a workspace to, in bytes and entries, and how many channels it may have.

    `temporary` is the box's folder for temporary files, where that is on a disk of the host's: it counts with the rest.
    """

    used: int
    entries: int
    channels: int
    temporary: Path | None = None

    def broken(self, workspace: Workspace, pid: int) -> str:
        """Return the cause to end a job for, empty when all is well. `pid` is the init of its box."""
        seen = workspace.snapshot()
        hidden = held(pid, workspace.device) if pid else Held()
        used, entries = seen.used + hidden.bytes, seen.entries
        if self.temporary is not None:
            with Workspace(self.temporary) as folder:
                beside = folder.snapshot()
            used, entries = used + beside.used, entries + beside.entries
        if used > self.used or entries > self.entries:
            return "disk"
        return "channels" if len(hidden.channels) > self.channels else ""
