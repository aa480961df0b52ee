"""The files of sessions, kept in the storage so that every host has the same.

They are fetched where they are needed, and kept after each change, before anything that names them is journalled.

    files/<session>/<path>    a file, with its hash, mode and time; paths are encoded (`names.py`)

One at a time works on a session's files on a host. What dies in between is told by the next comparison: files are
renamed into their place whole, objects appear whole, and the index is written last.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import time
from typing import TYPE_CHECKING

from agent.domain.session import folder_name
from agent.errors import StorageUnusable
from agent.mirror.comparing import compare
from agent.mirror.index import Busy
from agent.mirror.local import DELIVERED, TOP, VERSIONS
from agent.mirror.objects import HINT, Conflict
from agent.mirror.patience import patiently
from agent.mirror.side import Side
from agent.mirror.single import change_file, merge_file, refresh_file

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
    from pathlib import Path

    from agent.domain.session import Session
    from agent.mirror.objects import Found, Objects
    from agent.mirror.single import Merge

    Report = Callable[[float, float], None]

SAVED_AFTER = 256
SHOWN_AFTER = 2.0


class Mirror:
    """Keeps sessions' files in `objects`; `place` is a folder of this host for what is known of them.

    `merges` says by name how a file at the top of a session's folder is merged when two hosts changed it at once. Every
    call waits for a storage that cannot be reached, `patience` seconds (for ever, unless told otherwise), and raises
    StorageFailed or StorageUnusable after that.
    """

    def __init__(
        self, objects: Objects, place: Path, merges: Mapping[str, Merge] | None = None, *, transfers: int = 8
    ) -> None:
        self._objects = objects
        self._place = place
        self._merges = dict(merges or {})
        self._transfers = asyncio.Semaphore(transfers)
        self._locks: dict[str, asyncio.Lock] = {}
        self._busy: dict[object, Busy] = {}

    @property
    def address(self) -> str:
        """Where the files are kept."""
        return self._objects.address

    async def check(self) -> None:
        """Write, read, guard and remove an object. Raises StorageFailed or StorageUnusable."""
        key, written = f"check/{secrets.token_hex(8)}", b"written to see whether it can be"
        await self._objects.put(key, written)
        guarded = False
        try:
            await self._objects.put(key, b"!", replacing='"0123456789abcdef0123456789abcdef"')
        except Conflict:
            guarded = True
        got = await self._objects.get(key)
        await self._objects.listed("files", deep=False)
        await self._objects.delete([key])
        if not guarded:
            raise StorageUnusable(
                f"The storage of sessions' files ({self.address}) writes over what it was told to leave (If-Match).",
                hint="Take one that has conditional writes, or a shared folder.",
            )
        if got is None or got.data != written:
            said = f"The storage of sessions' files ({self.address}) does not return what was written to it."
            raise StorageUnusable(said, hint=HINT)

    async def sessions(self) -> list[str]:
        """Return the names of the folders of all sessions in the storage."""
        return await self._objects.folders("files")

    # --- whole sessions -----------------------------------------------------------------------------------------
    async def fetch(
        self, session: Session, *, more: Collection[str] = (), alone: bool = False, patience: float = math.inf
    ) -> None:
        """Bring the session's folder here up to date: its top, the workspace, and `more` (DELIVERED, VERSIONS)."""
        await patiently(lambda: self._fetch(session, more, alone=alone), patience)

    async def _fetch(self, session: Session, more: Collection[str], *, alone: bool) -> None:
        async with self._side(session.folder, session.working_folder) as side:
            areas = {TOP, side.files.work, *more}
            there = await self._listed(side, areas)
            look = await asyncio.to_thread(side.files.look, areas)
            changed = await asyncio.to_thread(side.files.changed, look, side.index)
            plan = compare(
                side.index,
                look.stamps,
                changed & {path for path in changed if side.files.area(path) in areas},
                there,
                in_work={path for path in {*look.stamps, *there, *changed} if path.startswith(side.files.work)},
                merged=self._merges,
                alone=alone,
            )
            for path in plan.forget:
                side.index.files.pop(path, None)
            for path in plan.remove:  # first, so that a folder may stand where a file was
                await asyncio.to_thread(side.files.remove, path)
                side.index.files.pop(path, None)
            await self._each(plan.take, lambda path: side.take(path, there[path]), side)
            for path in plan.merge:
                await merge_file(side, path, self._merges[path])

    async def keep(
        self,
        session: Session,
        *,
        may: Callable[[], Awaitable[None]] | None = None,
        report: Report | None = None,
        patience: float = math.inf,
    ) -> None:
        """Bring what has changed here into the storage. `may` raises where this host may not write any more."""
        await patiently(lambda: self._keep(session, may, report), patience)

    async def _keep(self, session: Session, may: Callable[[], Awaitable[None]] | None, report: Report | None) -> None:
        async with self._side(session.folder, session.working_folder) as side:
            areas = {TOP, side.files.work, DELIVERED, VERSIONS}
            look = await asyncio.to_thread(side.files.look, areas)
            changed = await asyncio.to_thread(side.files.changed, look, side.index)
            if not changed:
                return
            if may is not None:
                await may()
            gone = [path for path in changed if path not in look.stamps]
            added = changed - set(gone)
            naming = {path for path in added if side.files.area(path) == TOP or path.startswith("versions/listings/")}
            await self._each(sorted(added - naming), side.give, side, report)
            for path in sorted(naming):
                await self._give_guarded(side, path)
            if gone:
                await self._objects.delete([side.key(path) for path in gone])
                for path in gone:
                    side.index.files.pop(path, None)

    async def _give_guarded(self, side: Side, path: str) -> None:
        """Write a file that others write too: where they have done so meanwhile, both are merged, or theirs counts."""
        try:
            await side.give(path, guarded=side.files.area(path) == TOP)
        except Conflict:
            if path in self._merges:
                await merge_file(side, path, self._merges[path])
            else:
                await refresh_file(side, path)

    async def _each(
        self, paths: list[str], work: Callable[[str], Awaitable[None]], side: Side, report: Report | None = None
    ) -> None:
        """Work on all paths, a few at a time; what is done is noted now and then, and shown when it takes long."""
        began, done = time.monotonic(), 0

        async def one(path: str) -> None:
            nonlocal done
            async with self._transfers:
                await work(path)
            done += 1
            if done % SAVED_AFTER == 0:
                side.save()
            if report is not None and time.monotonic() - began > SHOWN_AFTER:
                report(done, len(paths))

        try:
            async with asyncio.TaskGroup() as group:
                for path in paths:
                    group.create_task(one(path))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _listed(self, side: Side, areas: Collection[str]) -> dict[str, Found]:
        """Return path → object of all that these areas hold in the storage."""
        listings = await asyncio.gather(
            *(self._objects.listed(side.prefix + area.rstrip("/"), deep=area != TOP) for area in areas)
        )
        found = {side.path(key): one for listing in listings for key, one in listing.items()}
        return {path: one for path, one in found.items() if path is not None and side.files.area(path) in areas}

    # --- one file -----------------------------------------------------------------------------------------------
    async def refresh(self, folder: Path, name: str, *, patience: float = math.inf) -> None:
        """Bring one file at the top of a session's folder up to date."""

        async def refreshed() -> None:
            async with self._side(folder) as side:
                await refresh_file(side, name, self._merges.get(name))

        await patiently(refreshed, patience)

    async def change(self, folder: Path, name: str, changed: Callable[[str], str]) -> str:
        """Change a file at the top of a session's folder, here and there, whoever else changes it; return its text.

        `changed` is given the present text, "" where there is none; it may be called more than once.
        """

        async def change() -> str:
            async with self._side(folder) as side:
                return await change_file(side, name, changed)

        return await patiently(change)

    # --- who works here -----------------------------------------------------------------------------------------
    async def take_up(self, session: Session, holder: object) -> None:
        """Fetch the session's files and say that work goes on in them here, until `let_go(holder)`."""
        self.let_go(holder)
        busy = self._busy[holder] = Busy(self._place / session.folder.name / "busy")
        try:
            await self.fetch(session, alone=busy.alone)
            await busy.share()
        except BaseException:
            self.let_go(holder)
            raise

    def let_go(self, holder: object) -> None:
        """Say that the work is done. Twice is as once."""
        busy = self._busy.pop(holder, None)
        if busy is not None:
            busy.end()

    @contextlib.asynccontextmanager
    async def writing(
        self, session: Session, *, more: Collection[str] = (), patience: float = math.inf
    ) -> AsyncGenerator[None]:
        """Fetch the session's files, and keep what the block writes among them; no run takes it for left behind."""
        busy = Busy(self._place / session.folder.name / "busy", alone=False)
        try:
            await busy.share()
            await self.fetch(session, more=more, patience=patience)
            yield
            await self.keep(session)
        finally:
            busy.end()

    @contextlib.asynccontextmanager
    async def _side(self, folder: Path, working_folder: str = "work") -> AsyncGenerator[Side]:
        """Return what one works with on a session's files, alone on this host; its index is written at the end."""
        name = folder_name(folder.name)
        async with (
            self._locks.setdefault(name, asyncio.Lock()),
            Side.opened(self._objects, self._place / name, folder, working_folder, self._merges) as side,
        ):
            yield side
