"""Sessions on disk: a folder each, with `SESSION.json` (profile, model, history), `MEMORY.md` and the workspace."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiofiles
from pydantic import ValidationError

from agent.domain.session import LIVE, HistoryEntry, Profile, Session, SessionFile, folder_name
from agent.errors import ConfigError
from agent.memory.replace import replace_file

FILE_NAME = "SESSION.json"
HISTORY_KEPT = 25
REQUEST_CHARS = 400
OUTCOME_CHARS = 1_000
SOURCES_KEPT = 8
SOURCE_CHARS = 120


class SessionFolders:
    """Opens sessions below `root` and keeps what was read until it is told to forget it.

    Runs of several projects may belong to one session and end at the same time: its file is changed by one at a time.
    """

    def __init__(self, root: Path, profile: Profile) -> None:
        self._root = root
        self._profile = profile
        self._cache: dict[str, SessionFile] = {}
        self._changing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def open(self, session_id: str, language: str = "en") -> Session:
        """Return the session, making its folder the first time. Raises ConfigError for a broken SESSION.json."""
        folder = self._root / folder_name(session_id)
        file = await self._read_once(folder, session_id, language)
        shown = file.settings.get("drafts", True)
        session = Session(
            session_id,
            folder,
            file.profile,
            file.language,
            file.model,
            file.working_folder,
            drafts=bool(shown),
            live=shown == LIVE,
        )
        session.workspace.mkdir(parents=True, exist_ok=True)
        return session

    def forget(self, session_id: str) -> None:
        """Read the session's file again the next time."""
        self._cache.pop(session_id, None)

    async def file_of(self, session: Session) -> SessionFile:
        """Return the contents of the session's file."""
        return await self._read_once(session.folder, session.id, session.language)

    async def add_history(  # one entry's fields
        self,
        session: Session,
        task_key: str,
        request: str,
        outcome: str,
        status: str,
        *,
        untrusted: Sequence[str] = (),
        private: bool = False,
    ) -> None:
        """Append a finished request to the history of a task key; the newest 25 are kept.

        `untrusted` names the untrusted sources that went into the outcome; `private` says that private data did.
        """
        entry = HistoryEntry(
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            request=request[:REQUEST_CHARS],
            outcome=outcome[:OUTCOME_CHARS],
            status=status,
            untrusted=tuple(name[:SOURCE_CHARS] for name in untrusted[:SOURCES_KEPT]),
            private=private,
        )
        async with self._changing[session.id]:
            file = await self._known(session.folder, session.id, session.language)
            file.history[task_key] = [*file.history.get(task_key, []), entry][-HISTORY_KEPT:]
            await write(session.folder, file)

    async def change(self, session: Session, **fields: Any) -> None:
        """Set fields of the session's file. Raises ConfigError for values that cannot be."""
        async with self._changing[session.id]:
            file = await self._known(session.folder, session.id, session.language)
            try:
                changed = SessionFile.model_validate({**file.model_dump(), **fields})
            except ValidationError as error:
                first = error.errors()[0]
                raise ConfigError(f"{first['loc'][0]}: {first['msg']}.", hint="Nothing was changed.") from error
            await write(session.folder, changed)
            self._cache[session.id] = changed

    async def clear_history(self, session: Session) -> None:
        """Forget what was asked and done before; profile, files and memory stay."""
        async with self._changing[session.id]:
            file = await self._known(session.folder, session.id, session.language)
            file.history.clear()
            await write(session.folder, file)

    async def _read_once(self, folder: Path, session_id: str, language: str) -> SessionFile:
        if session_id in self._cache:  # nobody who only reads waits for a write
            return self._cache[session_id]
        async with self._changing[session_id]:
            return await self._known(folder, session_id, language)

    async def _known(self, folder: Path, session_id: str, language: str) -> SessionFile:
        if session_id not in self._cache:
            self._cache[session_id] = await self._read_or_make(folder, session_id, language)
        return self._cache[session_id]

    async def _read_or_make(self, folder: Path, session_id: str, language: str) -> SessionFile:
        if (folder / FILE_NAME).exists():
            return SessionFile.model_validate(await load(folder))
        file = SessionFile(id=session_id, profile=self._profile, language=language)
        await write(folder, file)
        return file


async def load(folder: Path) -> dict[str, Any]:
    """Return the contents of `folder/SESSION.json`, or of a fresh one. Raises ConfigError naming the fault."""
    path = folder / FILE_NAME
    if not path.exists():
        return SessionFile(id=folder.name).model_dump(mode="json")
    try:
        async with aiofiles.open(path, encoding="utf-8") as file:
            text = await file.read()
    except (OSError, UnicodeError) as error:
        raise _unreadable(path, error) from error
    return checked(text, path).model_dump(mode="json")


def load_now(folder: Path) -> dict[str, Any]:
    """Do what `load` does without an event loop."""
    path = folder / FILE_NAME
    if not path.exists():
        return SessionFile(id=folder.name).model_dump(mode="json")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise _unreadable(path, error) from error
    return checked(text, path).model_dump(mode="json")


def _unreadable(path: Path, error: OSError | UnicodeError) -> ConfigError:
    why = "it is no UTF-8 text" if isinstance(error, UnicodeError) else error.strerror or type(error).__name__
    return ConfigError(f"{path} cannot be read: {why}.", hint="Correct it, or move it away to start with a fresh one.")


def checked(text: str, path: Path) -> SessionFile:
    """Read the JSON text of a session file. Raises ConfigError that names the file, the key and the fault."""
    try:
        return SessionFile.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        hint = "Correct it, or move the file away to start with a fresh one."
        raise ConfigError(f"{path}: {where}: {first['msg']}.", hint=hint) from error


async def write(folder: Path, contents: SessionFile) -> None:
    """Replace `folder/SESSION.json` atomically."""
    text = json.dumps(contents.model_dump(mode="json"), ensure_ascii=False, indent=2)
    await replace_file(folder / FILE_NAME, text + "\n")
