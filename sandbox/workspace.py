"""The host's only way to a session's workspace, which programs inside may fill with links, pipes and odd names.

Every path is opened below the workspace's own descriptor with openat2, which refuses links, other file systems and ways
out in one step, so that nothing can be swapped between a check and its use. Where openat2 is missing, paths are walked
one component at a time without following links (`Workspace.how` says which). Only regular files are read.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import io
import os
import re
import secrets
import shutil
import stat
import unicodedata
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Self

from sandbox import kernel
from sandbox.api import FileChange, SandboxError
from sandbox.halves import made_whole
from sandbox.snapshots import Entry, Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_ENTRIES = 100_000
PACKAGES = ".packages"  # what pip has installed for the session: it counts, and is nobody's result
DEEPEST = 64
READ_LIMIT = 64 << 20
NAME_BYTES = 200

_RESOLVE = kernel.RESOLVE_BENEATH | kernel.RESOLVE_NO_SYMLINKS | kernel.RESOLVE_NO_MAGICLINKS | kernel.RESOLVE_NO_XDEV
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_UNSAFE = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+')


class WorkspaceError(SandboxError):
    """A path in the workspace cannot be used; the message names it and says why."""


@functools.cache
def _has_openat2() -> bool:
    return kernel.has_openat2()


def how() -> str:
    """Say how paths are opened here: `openat2`, or `step by step` where the kernel or a container refuses that call."""
    return "openat2" if _has_openat2() else "step by step"


def _printable(name: str) -> bool:
    return name.isprintable() and not _UNSAFE.search(name)


def safe_name(name: str) -> str:
    """Return a file name that is harmless on every system and keeps its suffix; `file` when nothing is left."""
    cleaned = _UNSAFE.sub("_", unicodedata.normalize("NFC", name.replace("\\", "/").rpartition("/")[2]))
    cleaned = "".join(c for c in cleaned if c.isprintable()).strip(" .") or "file"
    stem, suffix = os.path.splitext(cleaned)  # noqa: PTH122 - a name, not a path
    room = NAME_BYTES - len(suffix.encode()[:20])
    return stem.encode()[:room].decode(errors="ignore") + suffix.encode()[:20].decode(errors="ignore")


class Workspace:
    """A session's folder, held open. Use it as a context manager or call `close`.

    All paths given and returned are relative, with `/` between their parts. Where the agent is root and the folder
    belongs to the session's `owner`, so does all that is written into it from here.
    """

    def __init__(self, root: Path, *, owner: int | None = None) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root
        self._root = os.open(root, _FOLDER)
        held = os.fstat(self._root).st_uid
        self.owner = owner if owner is not None else held if held and os.geteuid() == 0 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the folder. Closing twice is harmless."""
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    @property
    def current(self) -> bool:
        """False when the folder at `root` is no longer the one that is held open."""
        try:
            return self._root >= 0 and os.path.samestat(self.root.stat(), os.fstat(self._root))
        except FileNotFoundError:
            return False

    @property
    def device(self) -> int:
        """The file system that the folder is on."""
        return os.fstat(self._root).st_dev

    @property
    def how(self) -> str:
        return how()

    # -- opening ------------------------------------------------------------------------------------------------

    def _parts(self, path: str) -> tuple[str, ...]:
        pure = PurePosixPath(path)
        if not path or pure.is_absolute() or ".." in pure.parts or "\0" in path:
            raise WorkspaceError(
                f"'{path}' is not a path within the workspace.",
                remedy="Give a relative path without '..'.",
            )
        if any(not _printable(part) for part in pure.parts):
            raise WorkspaceError(f"{path!r} holds characters that file names here must not have.")
        return pure.parts

    def _open(self, path: str, flags: int, mode: int = 0) -> int:
        parts = self._parts(path)
        try:
            if _has_openat2():
                return kernel.openat2(self._root, "/".join(parts) or ".", flags, mode, _RESOLVE)
            return self._step(parts, flags, mode)
        except OSError as error:
            raise _explained(path, error) from None

    def _step(self, parts: tuple[str, ...], flags: int, mode: int) -> int:
        folder = os.dup(self._root)
        try:
            for part in parts[:-1]:
                deeper = os.open(part, _FOLDER, dir_fd=folder)
                os.close(folder)
                folder = deeper
            found = os.open(parts[-1] if parts else ".", flags | os.O_NOFOLLOW, mode, dir_fd=folder)
        finally:
            os.close(folder)
        if os.fstat(found).st_dev != self.device:  # as openat2 does: what is mounted in there is not the session's
            os.close(found)
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return found

    def open_read(self, path: str) -> BinaryIO:
        """Open a regular file for reading; raise WorkspaceError for anything else, without ever waiting for it."""
        descriptor = self._open(path, _READ)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise WorkspaceError(f"'{path}' is no regular file.", remedy="Links, pipes and devices are not read.")
        return os.fdopen(descriptor, "rb")

    def read_bytes(self, path: str, limit: int = READ_LIMIT) -> bytes:
        """Return a file's bytes; raise WorkspaceError when it has more than `limit`."""
        with self.open_read(path) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise WorkspaceError(f"'{path}' is larger than {limit} bytes.")
        return data

    # -- writing ------------------------------------------------------------------------------------------------

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write a file whole or not at all, with the folders above it."""
        self.put(path, io.BytesIO(data))

    def put(
        self, path: str, source: BinaryIO, mode: int = 0o644, *, modified_ns: int | None = None, again: str = ""
    ) -> None:
        """Write a file whole or not at all from what `source` holds; `modified_ns` (since 1970) is its time, or now.

        `again` names this very write: when the process is killed in it and it is done again, nothing of it is left.
        """
        folder, name = self._parent(path)
        try:
            with made_whole(folder, name, again) as file:
                descriptor = file.fileno()
                self._hand_over(descriptor)
                shutil.copyfileobj(source, file, 1 << 20)
                os.fchmod(descriptor, mode & 0o777)
                if modified_ns is not None:
                    file.flush()  # what is written later would set the time again
                    os.utime(descriptor, ns=(modified_ns, modified_ns))
        except OSError as error:
            raise _explained(path, error) from None
        finally:
            os.close(folder)

    def _parent(self, path: str) -> tuple[int, str]:
        """Return the descriptor of the folder that `path` is in, made where missing, and its last part."""
        parts = self._parts(path)
        if not parts:
            raise WorkspaceError(f"'{path}' names the workspace itself, not a file in it.")
        folder = os.dup(self._root)
        try:
            for part in parts[:-1]:
                made = False
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=folder)
                    made = True
                deeper = os.open(part, _FOLDER, dir_fd=folder)
                os.close(folder)
                folder = deeper
                if made:
                    self._hand_over(folder)
        except OSError as error:
            os.close(folder)
            raise _explained(path, error) from None
        return folder, parts[-1]

    def _hand_over(self, descriptor: int) -> None:
        """Give a file or folder that was just made here to the session's user."""
        if self.owner is not None:
            os.fchown(descriptor, self.owner, self.owner)

    def _adopt(self, folder: int, name: str) -> None:
        """Give what root has put here to the session's user; never what has another name somewhere else."""
        assert self.owner is not None
        descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            status = os.fstat(descriptor)
            alone = stat.S_ISDIR(status.st_mode) or status.st_nlink == 1
            if status.st_uid == 0 and alone and not stat.S_ISLNK(status.st_mode):
                os.chown(f"/proc/self/fd/{descriptor}", self.owner, self.owner)
        finally:
            os.close(descriptor)

    def copy_in(self, source: Path, name: str = "") -> str:
        """Copy a file of the host into the workspace; return the name it got, which was free and is harmless."""
        wanted = safe_name(name or source.name)
        stem, suffix = os.path.splitext(wanted)  # noqa: PTH122
        for number in range(1, 10_000):
            free = wanted if number == 1 else f"{stem}-{number}{suffix}"
            try:
                descriptor = os.open(free, _CREATE, 0o644, dir_fd=self._root)
            except FileExistsError:
                continue
            try:
                with os.fdopen(descriptor, "wb") as target, source.open("rb") as file:
                    self._hand_over(descriptor)
                    shutil.copyfileobj(file, target, 1 << 20)
            except OSError as error:
                with contextlib.suppress(OSError):
                    os.unlink(free, dir_fd=self._root)
                raise _explained(free, error) from None
            return free
        raise WorkspaceError(f"There are too many files called '{wanted}'.", remedy="Remove some of them.")

    def copy_out(self, path: str, destination: Path) -> None:
        """Copy a workspace file to a place of the host."""
        with self.open_read(path) as file, destination.open("wb") as target:
            shutil.copyfileobj(file, target, 1 << 20)

    def remove(self, path: str) -> None:
        """Remove a file, link or whole folder, however deep; raise WorkspaceError when there is none."""
        folder, name = self._parent(path)
        try:
            if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                self._remove_folder(folder, name)
            else:
                os.unlink(name, dir_fd=folder)
        except OSError as error:
            raise _explained(path, error) from None
        finally:
            os.close(folder)

    def clear(self) -> None:
        """Remove all that is in the folder, whatever its names and however deep."""
        with os.scandir(self._root) as entries:
            found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for name, is_folder in found:
            if is_folder:
                self._remove_folder(self._root, name)
            else:
                os.unlink(name, dir_fd=self._root)

    def _remove_folder(self, folder: int, name: str) -> None:
        """Flatten while removing: each sub-folder is moved up first, so no depth can exhaust stack or descriptors."""
        trash = f".{secrets.token_hex(8)}.gone"
        os.rename(name, f"{trash}-0", src_dir_fd=folder, dst_dir_fd=self._root)
        made, done = 1, 0
        while done < made:
            current = os.open(f"{trash}-{done}", _FOLDER, dir_fd=self._root)
            try:
                os.fchmod(current, 0o700)
                with os.scandir(current) as entries:
                    for entry in list(entries):
                        if entry.is_dir(follow_symlinks=False):
                            os.chmod(entry.name, 0o700, dir_fd=current)
                            os.rename(entry.name, f"{trash}-{made}", src_dir_fd=current, dst_dir_fd=self._root)
                            made += 1
                        else:
                            os.unlink(entry.name, dir_fd=current)
            finally:
                os.close(current)
            os.rmdir(f"{trash}-{done}", dir_fd=self._root)
            done += 1

    # -- looking ------------------------------------------------------------------------------------------------

    def snapshot(self, *, packages: bool = False) -> Snapshot:
        """Scan the tree without recursion, with `packages` also pip's; links, pipes and odd names count as skipped."""
        found = Snapshot()
        waiting: list[tuple[str, int]] = [("", 0)]
        while waiting:
            prefix, depth = waiting.pop()
            for entry, status in self._scan(prefix):
                found.entries += 1
                found.used += status.st_blocks * 512
                if found.entries > MOST_ENTRIES:
                    found.complete = False
                    return found
                if stat.S_ISDIR(status.st_mode):
                    if depth < DEEPEST:
                        waiting.append((f"{prefix}{entry}/", depth + 1))
                    else:
                        found.complete = False
                    continue
                if prefix.startswith(f"{PACKAGES}/") and not packages:
                    continue
                if stat.S_ISREG(status.st_mode) and _printable(entry):
                    times = status.st_mtime_ns, status.st_ino, status.st_ctime_ns
                    found.files[prefix + entry] = Entry(status.st_size, *times)
                else:
                    found.skipped += 1
        return found

    def _scan(self, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
        try:
            folder = self._open_folder(prefix)
        except OSError:  # removed, or swapped for a link, since its name was read
            return
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    with contextlib.suppress(OSError):
                        status = entry.stat(follow_symlinks=False)
                        if self.owner is not None and status.st_uid == 0:
                            self._adopt(folder, entry.name)
                            # asked anew: the entry keeps its first answer, and this counts as a change
                            status = os.stat(entry.name, dir_fd=folder, follow_symlinks=False)
                        yield entry.name, status
        finally:
            os.close(folder)

    def _open_folder(self, prefix: str) -> int:
        path = prefix.rstrip("/")
        if _has_openat2():
            return kernel.openat2(self._root, path or ".", _FOLDER, 0, _RESOLVE)
        return self._step(PurePosixPath(path).parts, _FOLDER, 0)

    def list_files(self) -> tuple[str, ...]:
        """Return the paths of all regular files, sorted."""
        return tuple(sorted(self.snapshot().files))

    def diff(self, before: Snapshot, after: Snapshot) -> tuple[FileChange, ...]:
        """Return what changed between two snapshots, sorted by path. Only changed files are hashed."""
        changes = [
            FileChange(path, "added" if path not in before.files else "modified", entry.size, self._digest(path))
            for path, entry in after.files.items()
            if before.files.get(path) != entry
        ]
        if after.complete:
            changes += [FileChange(path, "deleted") for path in before.files.keys() - after.files.keys()]
        return tuple(sorted(changes, key=lambda change: change.path))

    def _digest(self, path: str) -> str:
        """Return the SHA-256 in hex, empty when the file is gone again."""
        try:
            with self.open_read(path) as file:
                return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # a BinaryIO has readinto
        except (WorkspaceError, OSError):
            return ""


def _explained(path: str, error: OSError) -> WorkspaceError:
    reasons = {
        errno.ENOENT: "does not exist in the workspace",
        errno.ELOOP: "is a link, or lies behind one; links are not followed",
        errno.EXDEV: "leads out of the workspace",
        errno.ENOTDIR: "lies below something that is no folder, or behind a link",
        errno.ENXIO: "is no regular file",
        errno.EISDIR: "is a folder",
        errno.ENAMETOOLONG: "has too long a name",
        errno.EEXIST: "is there already",
    }
    why = reasons.get(error.errno or 0, f"cannot be used: {error.strerror}")
    return WorkspaceError(f"'{path}' {why}.")
