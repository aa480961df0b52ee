"""What a database complains about, said so that a person can act on it."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError

from agent.errors import DirigentError, JournalFailed, JournalUnusable, NotFound
from agent.store.dialect import BUSY_SECONDS, TURN_SECONDS, file_of

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine import URL

DAMAGED = ("file is not a database", "malformed", "file is encrypted")
FULL = ("disk is full", "No space left", "quota exceeded")
NOT_OURS = ("readonly", "Permission denied")
UNREACHED = ("connection failed", "connection timeout", "failed to resolve host", "server closed the connection")
REFUSED = (DataError, ProgrammingError, NotSupportedError)
BACKUP = "{stem}-*-*.db"


def backups_of(file: Path) -> list[Path]:
    """Return the backups next to a journal, newest first."""
    made = file.parent.glob(BACKUP.format(stem=file.stem))
    return sorted(made, key=lambda path: path.stem.rsplit("-", 1)[-1], reverse=True)


def translate(error: Exception, url: URL) -> Exception:
    """Return the error to raise instead; ours and programming errors are returned as they are.

    What may pass is transient: nothing is given up because of it. A record that the database refuses is refused again.
    """
    if isinstance(error, IntegrityError | sqlite3.IntegrityError):
        return _integrity(str(getattr(error, "orig", None) or error))
    if not isinstance(error, DBAPIError | sqlite3.Error | OSError):
        return error
    file = file_of(url)
    said = " ".join(str(getattr(error, "orig", None) or error).split())
    where = str(file) if file else url.set(drivername=url.get_backend_name()).render_as_string(hide_password=True)
    if isinstance(error, REFUSED):
        return DirigentError(f"The journal {where} refused what it was asked: {said}.")
    return _known(said, where, file) or JournalFailed(f"The journal {where} failed: {said}.")


def _integrity(said: str) -> DirigentError:
    if "foreign key" in said.lower():
        return NotFound("A record names a run or a message that is not in the journal.")
    return DirigentError(f"The journal refused a record: {said}.")


def _known(said: str, where: str, file: Path | None) -> DirigentError | None:
    if file is None and any(word in said for word in UNREACHED):
        return JournalFailed(
            f"The journal {where} can't be reached: {said.rstrip('.?')}.",
            hint="Look at the setting `store` (DIRIGENT_STORE), and whether the server runs and lets this user in.",
        )
    if any(word in said for word in DAMAGED):
        return JournalUnusable(f"The journal {where} is damaged ({said}).", hint=_way_back(file))
    if "locked" in said or "lock timeout" in said:
        seconds = BUSY_SECONDS if file else TURN_SECONDS
        return JournalFailed(
            f"Another process has kept the journal {where} locked for {seconds} seconds.",
            hint="Look for another Dirigent or a database tool that has it open.",
        )
    if any(word in said for word in FULL):
        return JournalFailed(f"There is no space left to write the journal {where}.", hint="Free some disk space.")
    if any(word in said for word in NOT_OURS) or ("unable to open" in said and not _out_of_files()):
        return JournalUnusable(
            f"The journal {where} cannot be opened for writing ({said}).",
            hint="Check who owns the file and its folder, and that both may be written.",
        )
    return None


def _out_of_files() -> bool:
    """Tell whether this process may open no more files: SQLite then says no more than that it can't open one."""
    try:
        os.close(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        return True
    return False


def _way_back(file: Path | None) -> str:
    found = backups_of(file) if file else []
    if found:
        names = ", ".join(path.name for path in found)
        return f"Stop Dirigent, move the file away and put a backup in its place; next to it: {names}."
    return "Stop Dirigent, move the file (with its -wal and -shm) away and start again with an empty one."
