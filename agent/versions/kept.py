"""Where earlier states lie: bytes once per content, listings by their digest, beside the workspace, outside the walls.

    versions/contents/ab/<sha256>   the bytes of a file
    versions/listings/<digest>      paths with what they held
    versions/index                  what was seen last, so that only what has changed is read again

A file is written under another name, made durable and renamed: whatever ends the process leaves no half content. One
process at a time works here (`lock`).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import time
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from agent.domain.versions import KeptFile, State
from agent.errors import DirigentError
from sandbox.api import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sandbox.snapshots import Entry
    from sandbox.workspace import Workspace

BLOCK = 1 << 20
FRESH_NS = 100_000_000  # a file changed so shortly before it was looked at may change again within the same tick
SYNCED_ALONE = 64  # files of one look that are made durable one by one; more are so all at once
Seen = dict[str, tuple[list[int], KeptFile]]


class TooMuch(DirigentError):
    """The workspace has more files than can be kept track of."""


class Damaged(DirigentError):
    """What was kept is not there any more, or not as it was."""


@dataclass(slots=True)
class Look:
    """The workspace at one moment, and whether anything had changed since the look before."""

    files: dict[str, KeptFile] = field(default_factory=dict)
    changed: bool = False


class KeptFiles:
    """The earlier states of one session's workspace. Blocking: call it in a thread.

    `most_bytes` is how much a single look may add; what goes beyond that is known by its digest only. What was seen
    last stays in memory as long as this object, and is read again when another process has looked meanwhile.
    """

    def __init__(self, root: Path, most_bytes: int) -> None:
        self._root = root
        self._seen: tuple[tuple[int, int], Seen] | None = None
        self._listed: tuple[Mapping[str, KeptFile], Mapping[str, int], str] | None = None
        self._most_bytes = most_bytes
        self._unsynced = 0

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes out meanwhile."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._root / "lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    # --- looking ------------------------------------------------------------------------------------------------
    def look(self, workspace: Workspace) -> Look:
        """Return what the workspace holds, its bytes kept; only what has changed since the last look is read.

        Raises TooMuch.
        """
        began = time.time_ns()
        found = workspace.snapshot()
        if not found.complete:
            raise TooMuch("The workspace has too many files for its earlier states to be kept.")
        before, now, room = self._index(), Look(), self._most_bytes
        stamps: dict[str, list[int]] = {}
        for path, entry in found.files.items():
            stamp = stamps[path] = _stamp(entry)
            known = before.get(path)
            if known is not None and known[0] == stamp:
                now.files[path] = known[1]
                continue
            now.changed = True
            with contextlib.suppress(SandboxError, OSError):  # gone again, or no file any more
                now.files[path] = kept = self._keep(workspace, path, room)
                room -= kept.size if kept.kept else 0
        now.changed = now.changed or len(before) != len(now.files)
        if self._unsynced > SYNCED_ALONE:
            os.sync()
        self._unsynced = 0
        if now.changed:
            self._write_index(now.files, stamps, began)
        return now

    def _index(self) -> Seen:
        place = self._root / "index"
        try:
            status = place.stat()
            sign = (status.st_ino, status.st_mtime_ns)
            if self._seen is None or self._seen[0] != sign:
                stored: dict[str, Any] = json.loads(place.read_bytes())
                seen = {path: (stamp, KeptFile.from_json(kept)) for path, (stamp, kept) in stored.items()}
                self._seen = (sign, seen)
        except (OSError, ValueError, TypeError):  # it only saves reading
            return {}
        return self._seen[1]

    def _write_index(self, files: Mapping[str, KeptFile], stamps: Mapping[str, list[int]], began: int) -> None:
        old = began - FRESH_NS
        self._write_seen({path: (stamps[path], kept) for path, kept in files.items() if stamps[path][3] < old})

    def _write_seen(self, seen: Seen) -> None:
        stored = {path: [stamp, kept.to_json()] for path, (stamp, kept) in seen.items()}
        data = json.dumps(stored, separators=(",", ":")).encode()
        self._write(self._root / "index", data, durable=False)  # it only saves reading

    def _keep(self, workspace: Workspace, path: str, room: int) -> KeptFile:
        """Read a file once: its digest is that of the copy."""
        with workspace.open_read(path) as file:
            status = os.fstat(file.fileno())
            mode = status.st_mode & 0o777
            if status.st_size > room:
                digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # it has readinto
                return KeptFile(digest, status.st_size, mode, self._content(digest).exists())
            return self._copied(file, mode)

    def _copied(self, file: BinaryIO, mode: int) -> KeptFile:
        temporary = self._temporary()
        digest, size = hashlib.sha256(), 0
        try:
            with temporary.open("xb") as copy:
                while block := file.read(BLOCK):
                    digest.update(block)
                    size += len(block)
                    copy.write(block)
                place = self._content(digest.hexdigest())
                if not place.exists() and self._unsynced < SYNCED_ALONE:
                    copy.flush()
                    os.fdatasync(copy.fileno())
                self._unsynced += 1
            if not place.exists():
                place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                temporary.replace(place)
        finally:
            temporary.unlink(missing_ok=True)
        return KeptFile(digest.hexdigest(), size, mode)

    # --- listings -----------------------------------------------------------------------------------------------
    def write_listing(self, files: Mapping[str, KeptFile], rows: Mapping[str, int]) -> str:
        """Keep a listing, with the numbers of the labels, and return its digest."""
        if self._listed is not None and (self._listed[0], self._listed[1]) == (files, rows):
            return self._listed[2]
        listed = {path: replace(kept, row=rows.get(path, 0)).to_json() for path, kept in sorted(files.items())}
        data = json.dumps(listed, separators=(",", ":")).encode()
        digest = hashlib.sha256(data).hexdigest()
        place = self._root / "listings" / digest
        if not place.exists():
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write(place, zlib.compress(data, 1))
        self._listed = (files, rows, digest)
        return digest

    def listing(self, digest: str) -> State:
        """Return the state that has this digest. Raises Damaged."""
        try:
            data = zlib.decompress((self._root / "listings" / digest).read_bytes())
        except (OSError, zlib.error) as error:
            raise Damaged(f"What was kept of this workspace can't be read: {error}.") from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise Damaged("What was kept of this workspace is damaged.")
        return {path: KeptFile.from_json(kept) for path, kept in json.loads(data).items()}

    # --- bytes --------------------------------------------------------------------------------------------------
    def open(self, kept: KeptFile) -> BinaryIO:
        """Return the bytes of a file, checked. Raises Damaged."""
        place = self._content(kept.sha256)
        try:
            file = place.open("rb")
        except OSError as error:
            raise Damaged(f"What was kept can't be read: {error.strerror}.") from error
        if hashlib.file_digest(file, "sha256").hexdigest() != kept.sha256:
            file.close()
            raise Damaged("What was kept is damaged.")
        file.seek(0)
        return file

    def has(self, kept: KeptFile) -> bool:
        """Say whether the bytes of a file are kept."""
        return self._content(kept.sha256).exists()

    def sizes(self) -> dict[str, int]:
        """Return the size in bytes of every content by its digest."""
        folders = self._root / "contents"
        return {place.name: place.stat().st_size for place in folders.glob("*/*")} if folders.exists() else {}

    def forget(self, *, contents: set[str], listings: set[str]) -> None:
        """Remove all but these contents and listings, and what was left half written."""
        for place in [*(self._root / "contents").glob("*/*"), *(self._root / "listings").glob("*")]:
            if place.name not in (contents if place.parent.parent.name == "contents" else listings):
                place.unlink(missing_ok=True)
        for place in self._root.glob("*.part"):
            place.unlink(missing_ok=True)
        self._listed = None
        seen = {path: one for path, one in self._index().items() if not one[1].kept or one[1].sha256 in contents}
        self._write_seen(seen)

    def _content(self, digest: str) -> Path:
        return self._root / "contents" / digest[:2] / digest

    def _temporary(self) -> Path:
        return self._root / f"{secrets.token_hex(8)}.part"

    def _write(self, place: Path, data: bytes, *, durable: bool = True) -> None:
        temporary = self._temporary()
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fdatasync(file.fileno())
        temporary.replace(place)


def _stamp(entry: Entry) -> list[int]:
    """Return what tells that a file is as it was; nobody inside can set the time of the last change of its inode."""
    return [entry.size, entry.mtime_ns, entry.inode, entry.ctime_ns]
