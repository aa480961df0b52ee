"""Sessions on disk: a folder each, with `SESSION.json` (profile, model, history), `MEMORY.md` and the workspace."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiofiles.os import wrap
from loguru import logger
from pydantic import ValidationError

from agent.domain.session import LIVE, HistoryEntry, Profile, Session, SessionFile, folder_name
from agent.errors import ConfigError
from agent.memory.memory import FILE_NAME as MEMORY
from agent.memory.memory import SessionMemory
from agent.memory.replace import replace_file, update_file

if TYPE_CHECKING:
    from agent.memory.mirrored import SessionMirror

FILE_NAME = "SESSION.json"
DELIVERED, VERSIONS = "delivered/", "versions/"  # what is only fetched where it is wanted
FRESH_SECONDS = 5.0
OUTAGE_SECONDS, LOOKING_SECONDS = 2.0, 10.0
HISTORY_KEPT = 25
REQUEST_CHARS = 400
OUTCOME_CHARS = 1_000
SOURCES_KEPT = 8
SOURCE_CHARS = 120


@dataclass(frozen=True, slots=True)
class _Kept:
    """A session's file as it was read: `stamp` tells it from what anybody has written since; `at` is when, in s."""

    file: SessionFile
    stamp: tuple[int, ...]
    at: float


class SessionFolders:
    """Opens sessions below `root`. What was read counts until somebody, here or on another host, has written it anew.

    Runs of several projects may belong to one session and end at the same time: its file is changed by one at a time.
    With a `mirror` the folders are copies of what is kept in a storage; without one all that speaks of it does nothing.
    """

    def __init__(self, root: Path, profile: Profile, mirror: SessionMirror | None = None) -> None:
        self._root = root
        self._profile = profile
        self._mirror = mirror
        self._cache: dict[str, _Kept] = {}
        self._changing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def open(self, session_id: str, language: str = "en") -> Session:
        """Return the session, making its folder the first time. Raises ConfigError for a broken SESSION.json."""
        folder = self.folder_of(session_id)
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

    @property
    def mirrored(self) -> bool:
        """True when the folders are copies of what a storage keeps."""
        return self._mirror is not None

    def folder_of(self, session_id: str) -> Path:
        """Return the session's folder on this host."""
        return self._root / folder_name(session_id)

    def memory(self, session: Session, *, patience: float = math.inf) -> SessionMemory:
        """Return what the session remembers; `patience` is how long a storage that is away is waited for, in s."""
        if self._mirror is None:
            return SessionMemory(session.folder)
        fetch = partial(self._mirror.refresh, session.folder, MEMORY, patience=patience)
        return SessionMemory(session.folder, fetch=fetch, keep=partial(self.keep, session))

    def memory_in(self, folder: Path) -> SessionMemory:
        """Return the memory of the session whose folder, on any host, is this one; a page waits for it."""
        here = self._root / folder.name
        return self.memory(Session(folder.name, here, self._profile), patience=LOOKING_SECONDS)

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

        def added(file: SessionFile) -> SessionFile:
            history = {**file.history, task_key: [*file.history.get(task_key, []), entry][-HISTORY_KEPT:]}
            return file.model_copy(update={"history": history})

        await self._change(session, added)

    async def change(self, session: Session, **fields: Any) -> None:
        """Set fields of the session's file. Raises ConfigError for values that cannot be."""

        def changed(file: SessionFile) -> SessionFile:
            try:
                return SessionFile.model_validate({**file.model_dump(), **fields})
            except ValidationError as error:
                first = error.errors()[0]
                raise ConfigError(f"{first['loc'][0]}: {first['msg']}.", hint="Nothing was changed.") from error

        await self._change(session, changed)

    async def clear_history(self, session: Session) -> None:
        """Forget what was asked and done before; profile, files and memory stay."""
        await self._change(session, lambda file: file.model_copy(update={"history": {}}))

    # --- its file -----------------------------------------------------------------------------------------------
    async def _change(self, session: Session, change: Callable[[SessionFile], SessionFile]) -> None:
        """Change the file, whoever else in this process, on this host or on another one changes it."""
        path = session.folder / FILE_NAME

        def changed(text: str) -> str:
            return _dumped(change(checked(text, path) if text else self._fresh(session.id, session.language)))

        async with self._changing[session.id]:
            if self._mirror is not None:
                await self._mirror.change(session.folder, FILE_NAME, changed)
            else:
                await update_file(path, changed)
            await self._read(session.folder, session.id, session.language)

    def _fresh(self, session_id: str, language: str) -> SessionFile:
        return SessionFile(id=session_id, profile=self._profile, language=language)

    async def _read_once(self, folder: Path, session_id: str, language: str) -> SessionFile:
        if (kept := self._still(folder, session_id)) is not None:  # nobody who only reads waits for a write
            return kept
        async with self._changing[session_id]:
            kept = self._still(folder, session_id)
            return kept if kept is not None else await self._fetched(folder, session_id, language)

    def _still(self, folder: Path, session_id: str) -> SessionFile | None:
        """Return what is known of the file when it is still so."""
        kept = self._cache.get(session_id)
        if kept is None or kept.stamp != _stamp(folder / FILE_NAME):
            return None
        stale = self._mirror is not None and time.monotonic() - kept.at > FRESH_SECONDS
        return None if stale else kept.file

    async def _fetched(self, folder: Path, session_id: str, language: str) -> SessionFile:
        if self._mirror is not None:
            there = _stamp(folder / FILE_NAME) is not None
            try:
                async with asyncio.timeout(OUTAGE_SECONDS if there else None):
                    await self._mirror.refresh(folder, FILE_NAME)
            except TimeoutError:  # it is away, or many files are on their way
                logger.info("{}: what is known here of the session is used", folder.name)
        return await self._read(folder, session_id, language)

    async def _read(self, folder: Path, session_id: str, language: str) -> SessionFile:
        path = folder / FILE_NAME
        stamp = _stamp(path)
        if stamp is None:
            text = _dumped(self._fresh(session_id, language))
            if self._mirror is not None:
                await self._mirror.change(folder, FILE_NAME, lambda before: before or text)
            else:
                await update_file(path, lambda before: before or text)
            stamp = _stamp(path) or ()
        file = SessionFile.model_validate(await load(folder))
        self._cache[session_id] = _Kept(file, stamp, time.monotonic())
        return file

    # --- on several hosts ---------------------------------------------------------------------------------------
    async def check(self) -> None:
        """See that the storage of the files works. Raises StorageFailed or StorageUnusable."""
        if self._mirror is not None:
            await self._mirror.check()

    async def take_up(self, session: Session, holder: object) -> None:
        """Have the files here as they are everywhere, for work that changes them until `let_go(holder)`."""
        if self._mirror is not None:
            await self._mirror.take_up(session, holder)

    def let_go(self, holder: object) -> None:
        """Say that the work in a session's files has ended. Twice is as once."""
        if self._mirror is not None:
            self._mirror.let_go(holder)

    async def fetch(self, session: Session, *more: str, patience: float = LOOKING_SECONDS) -> None:
        """Have the files here as they are everywhere, to look at them; `more` of DELIVERED and VERSIONS.

        Raises StorageFailed or StorageUnusable after `patience` seconds.
        """
        if self._mirror is not None:
            await self._mirror.fetch(session, more=more, patience=patience)

    async def keep(
        self,
        session: Session,
        may: Callable[[], Awaitable[None]] | None = None,
        report: Callable[[float, float], None] | None = None,
    ) -> None:
        """Have what was changed here everywhere; `may` raises where this process may not write any more."""
        if self._mirror is not None:
            await self._mirror.keep(session, may=may, report=report)

    @contextlib.asynccontextmanager
    async def writing(self, session: Session, *more: str, patience: float = math.inf) -> AsyncGenerator[None]:
        """Have the files here as they are everywhere, and what the block changes everywhere when it ends."""
        if self._mirror is None:
            yield
            return
        async with self._mirror.writing(session, more=more, patience=patience):
            yield

    async def delivered(self, session_id: str, places: Sequence[str]) -> list[str]:
        """Return where files that were put aside for sending, on any host, lie on this one."""
        folder = self.folder_of(session_id)
        here = [_here(folder, place) for place in places]
        if self._mirror is not None and not all(map(os.path.exists, here)):
            await self.fetch(await self.open(session_id), DELIVERED)
        return here


def _here(folder: Path, place: str) -> str:
    """Return the place in `folder` of what was put aside in the same session's folder of another home."""
    _, found, inner = place.rpartition(f"/{folder.name}/{DELIVERED}")
    return str(folder / DELIVERED / inner) if found and ".." not in inner.split("/") else place


def _stamp(path: Path) -> tuple[int, ...] | None:
    """Return what tells a file from what anybody puts into its place; None when there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def load_now(folder: Path) -> dict[str, Any]:
    """Return the contents of `folder/SESSION.json`, or of a fresh one. Raises ConfigError naming the fault."""
    path = folder / FILE_NAME
    if not path.exists():
        return SessionFile(id=folder.name).model_dump(mode="json")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise _unreadable(path, error) from error
    return checked(text, path).model_dump(mode="json")


async def load(folder: Path) -> dict[str, Any]:
    """Do what `load_now` does, in one call in a thread: a cancelled caller leaves no open file behind."""
    return await wrap(load_now)(folder)


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
    await replace_file(folder / FILE_NAME, _dumped(contents))


def _dumped(contents: SessionFile) -> str:
    return json.dumps(contents.model_dump(mode="json"), ensure_ascii=False, indent=2) + "\n"
