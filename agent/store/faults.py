"""What a database complains about, said so that a person can act on it."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError, IntegrityError

from agent.errors import ConfigError, DirigentError, NotFound
from agent.store.dialect import BUSY_SECONDS, file_of

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine import URL

DAMAGED = ("file is not a database", "malformed", "file is encrypted")
BACKUP = "{stem}-*-*.db"


def backups_of(file: Path) -> list[Path]:
    """Return the backups next to a journal, newest first."""
    made = file.parent.glob(BACKUP.format(stem=file.stem))
    return sorted(made, key=lambda path: path.stem.rsplit("-", 1)[-1], reverse=True)


def translate(error: Exception, url: URL) -> Exception:
    """Return the error to raise instead; ours and programming errors are returned as they are."""
    if isinstance(error, IntegrityError | sqlite3.IntegrityError):
        return _integrity(str(getattr(error, "orig", None) or error))
    if not isinstance(error, DBAPIError | sqlite3.Error | OSError):
        return error
    file = file_of(url)
    said = str(getattr(error, "orig", None) or error)
    where = str(file) if file else url.render_as_string(hide_password=True)
    return _known(said, where, file) or DirigentError(f"The journal {where} failed: {said}.")


def _integrity(said: str) -> DirigentError:
    if "foreign key" in said.lower():
        return NotFound("A record names a run or a message that is not in the journal.")
    return DirigentError(f"The journal refused a record: {said}.")


def _known(said: str, where: str, file: Path | None) -> DirigentError | None:
    if any(word in said for word in DAMAGED):
        return ConfigError(f"The journal {where} is damaged ({said}).", hint=_way_back(file))
    if "locked" in said:
        return DirigentError(
            f"Another process has kept the journal {where} locked for {BUSY_SECONDS} seconds.",
            hint="Look for another Dirigent or a database tool that has it open.",
        )
    if "disk is full" in said or "No space left" in said:
        return DirigentError(f"There is no space left to write the journal {where}.", hint="Free some disk space.")
    if "readonly" in said or "unable to open" in said or "Permission denied" in said:
        return ConfigError(
            f"The journal {where} cannot be opened for writing ({said}).",
            hint="Check who owns the file and its folder, and that both may be written.",
        )
    return None


def _way_back(file: Path | None) -> str:
    found = backups_of(file) if file else []
    if found:
        names = ", ".join(path.name for path in found)
        return f"Stop Dirigent, move the file away and put a backup in its place; next to it: {names}."
    return "Stop Dirigent, move the file (with its -wal and -shm) away and start again with an empty one."
