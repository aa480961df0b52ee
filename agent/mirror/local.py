"""A session's files on this host, opened as programs inside may have left them: links are never followed.

A session's folder has four areas, which are looked at and fetched by themselves: the files at its top, the workspace,
what was delivered, and earlier versions. All paths are relative to the folder, with `/`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Self

from loguru import logger

from agent.mirror.index import Known
from sandbox.api import SandboxError
from sandbox.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from agent.mirror.index import Index

TOP, DELIVERED, VERSIONS = "", "delivered/", "versions/"
HALF_WRITTEN = re.compile(r"\.[0-9a-f]{16}\.(part|gone.*)")
OF_THIS_HOST = frozenset({"versions/lock", "versions/index"})
FRESH_NS = 100_000_000  # a file changed so shortly before it was looked at may change again within the same tick
BLOCK = 1 << 20
Stamp = tuple[int, ...]


@dataclass(slots=True)
class Look:
    """The regular files of some areas by path. `whole` are the areas that were seen to their end."""

    stamps: dict[str, Stamp] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)


class LocalFiles:
    """The files of one session here. Blocking: call it in a thread. Use it as a context manager."""

    def __init__(self, folder: Path, working_folder: str) -> None:
        self._folder = folder
        self.work = f"{working_folder.strip('/')}/"
        self._open: dict[str, Workspace] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._open.values():
            one.close()

    def area(self, path: str) -> str:
        """Return the area that a path belongs to; "-" for what is no concern of others."""
        inside = next((area for area in (self.work, DELIVERED, VERSIONS) if path.startswith(area)), None)
        name = path.rpartition("/")[2]
        if path in OF_THIS_HOST or HALF_WRITTEN.fullmatch(name):
            return "-"
        if inside in {None, VERSIONS} and (name.endswith(".part") or name.startswith(".")):
            return "-"
        return inside if inside is not None else "-" if "/" in path else TOP

    def look(self, areas: Collection[str]) -> Look:
        """Return what these areas hold."""
        look = Look()
        for area in areas:
            if area == TOP:
                self._look_at_top(look)
            elif (self._folder / area).is_dir():
                self._look_into(area, look)
            else:
                look.whole.add(area)
        return look

    def _look_at_top(self, look: Look) -> None:
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False) and self.area(entry.name) == TOP:
                    look.stamps[entry.name] = stamp_of(entry.stat(follow_symlinks=False))
        look.whole.add(TOP)

    def _look_into(self, area: str, look: Look) -> None:
        found = self._workspace(area).snapshot(packages=True)
        if found.complete:
            look.whole.add(area)
        else:
            logger.warning("{}{} has too many files; what is beyond is not kept", self._folder, area)
        for path, entry in found.files.items():
            if self.area(area + path) == area:
                look.stamps[area + path] = (entry.size, entry.mtime_ns, entry.inode, entry.ctime_ns)

    def _workspace(self, area: str) -> Workspace:
        if area not in self._open:
            self._open[area] = Workspace(self._folder / area)
        return self._open[area]

    def _placed(self, path: str) -> tuple[Workspace, str]:
        area = self.area(path)
        return self._workspace(area), path[len(area) :]

    # --- one file -----------------------------------------------------------------------------------------------
    @contextlib.contextmanager
    def reading(self, path: str) -> Iterator[BinaryIO]:
        """Open a file. Raises SandboxError or OSError for what is gone or no regular file."""
        workspace, inner = self._placed(path)
        with workspace.open_read(inner) as file:
            yield file

    def known(self, path: str) -> Known | None:
        """Return what a file holds, with no etag; None when it is gone or no regular file."""
        with contextlib.suppress(SandboxError, OSError), self.reading(path) as file:
            return described(file, hashlib.file_digest(file, "sha256").hexdigest())  # type: ignore[arg-type]  # it has readinto
        return None

    def put(self, path: str, source: BinaryIO, mode: int, modified_ns: int | None) -> Known:
        """Write a file whole or not at all and return what it holds, with no etag."""
        workspace, inner = self._placed(path)
        digest = hashlib.file_digest(source, "sha256").hexdigest()  # type: ignore[arg-type]  # it has readinto
        source.seek(0)
        try:
            workspace.put(inner, source, mode, modified_ns=modified_ns)
        except SandboxError:
            if any(name.startswith(f"{inner}/") for name in workspace.list_files()):
                raise
            workspace.remove(inner)  # a folder that has no files left
            source.seek(0)
            workspace.put(inner, source, mode, modified_ns=modified_ns)
        with self.reading(path) as file:
            return described(file, digest)

    def remove(self, path: str) -> None:
        """Remove a file; one that is gone is passed over."""
        workspace, inner = self._placed(path)
        with contextlib.suppress(SandboxError, OSError):
            workspace.remove(inner)

    # --- what has changed ---------------------------------------------------------------------------------------
    def changed(self, look: Look, index: Index) -> set[str]:
        """Return the paths that are not as in the index: new, different, or gone from an area that was seen whole.

        Files that look different and hold the same get their new stamp in the index.
        """
        found: set[str] = set()
        for path, stamp in look.stamps.items():
            was = index.files.get(path)
            if was is not None and was.stamp == stamp:
                continue
            now = self.known(path) if was is not None and was.stamp[:1] in {(), stamp[:1]} else None
            if was is None or now is None or (now.sha256, now.mode) != (was.sha256, was.mode):
                found.add(path)
            else:
                index.files[path] = Known(was.etag, now.stamp, was.sha256, was.mode)
        gone = index.files.keys() - look.stamps.keys()
        return found | {path for path in gone if self.area(path) in look.whole}


def described(file: BinaryIO, sha256: str) -> Known:
    """Return what is known of an open file that was read: no stamp when it may have changed in the same tick."""
    status = os.fstat(file.fileno())
    fresh = max(status.st_ctime_ns, status.st_mtime_ns) > time.time_ns() - FRESH_NS
    return Known("", () if fresh else stamp_of(status), sha256, status.st_mode & 0o777)


def stamp_of(status: os.stat_result) -> Stamp:
    """Return what tells that a file is as it was; nobody inside can set the time of its inode's last change."""
    return status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns
