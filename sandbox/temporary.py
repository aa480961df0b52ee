"""Folders for the time that a box lives. Each is locked by the process that made it: what is not locked was left behind
by one that was killed, and is cleared away at the next start."""  # noqa: D205, D209

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from pathlib import Path

from sandbox.workspace import Workspace

PREFIX = "dirigent-"
_KINDS = ("box-", "canary-")


class Temporary:
    """A folder for its owner only; `close` removes it, however deep what was put into it."""

    def __init__(self, kind: str) -> None:
        self._lock = -1
        while self._lock < 0:  # somebody who clears away could take it between the two calls
            self.path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{kind}{os.getpid()}-"))
            self._lock = _locked(self.path)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the folder. Closing twice is harmless."""
        if self._lock >= 0:
            _remove(self.path)
            os.close(self._lock)
            self._lock = -1


def _locked(path: Path) -> int:
    """Return a descriptor that holds the lock of a folder, -1 when somebody else does or it is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return -1
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return -1


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        with Workspace(path) as inside:
            inside.clear()
        path.rmdir()


def clear_away() -> int:
    """Remove the folders that killed processes of this user left; return how many."""
    removed = 0
    for kind in _KINDS:
        for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}{kind}*"):
            with contextlib.suppress(OSError):
                if path.is_symlink() or path.stat().st_uid != os.geteuid():
                    continue
                descriptor = _locked(path)
                if descriptor >= 0:
                    _remove(path)
                    os.close(descriptor)
                    removed += 1
    return removed
