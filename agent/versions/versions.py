"""Snapshots of workspaces around runs, and going back to them; all of it in the journal before it is done."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loguru import logger

from agent.domain.versions import Restoration, Snapshot
from agent.errors import DirigentError
from agent.versions import wording
from agent.versions.comparing import Way, way_back, way_forth, with_rows
from agent.versions.kept import Damaged, KeptFiles, TooMuch
from agent.versions.putting_back import Outcome, put_back
from sandbox.api import SandboxError
from sandbox.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from agent.domain.run import Run
    from agent.domain.session import Session
    from agent.memory.session_file import SessionFolders
    from agent.store.protocol import Store

FOLDER = "versions"
FOLDER_KEPT = f"{FOLDER}/"
SLACK = 5  # snapshots beyond the wanted ones before any is forgotten: that reads every listing
MEGABYTE = 1 << 20
WARM = 8  # sessions whose files need not be read from disk to see that nothing has changed


@dataclass(frozen=True, slots=True)
class Offer:
    """A run that can be undone, and what that would do now."""

    snapshot: Snapshot
    run: Run
    way: Way


class Versions:
    """Earlier states of all sessions. `runs` snapshots of each are kept, in at most about `megabytes`; 0 keeps none.

    `files` has the sessions' files the same on every host: what is looked at is fetched, what is noted is kept first.
    """

    def __init__(self, store: Store, runs: int, megabytes: int, files: SessionFolders | None = None) -> None:
        self._store = store
        self._files = files
        self._runs = runs
        self._most_bytes = megabytes * MEGABYTE
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._begun: set[int] = set()
        self._warm: dict[Path, KeptFiles] = {}

    @property
    def on(self) -> bool:
        """False when nothing is kept."""
        return self._runs > 0

    # --- around a run -------------------------------------------------------------------------------------------
    async def before(self, run: Run, session: Session, keep: Callable[[str], Awaitable[None]] | None = None) -> None:
        """Note what the workspace holds, once for each run; committed when this returns. Never fails a run.

        `keep` has it everywhere before it is noted.
        """
        if not self.on or run.id in self._begun:
            return
        async with self._locks[session.id]:
            if run.id in self._begun:
                return
            if await self._store.snapshot_of(run.id) is None:
                digest = await self._noted(session)
                if keep is not None:
                    await keep("")
                await self._store.add_snapshot(Snapshot(session.id, run.id, digest))
            self._begun.add(run.id)

    async def after(self, run: Run, session: Session) -> None:
        """Note what a run has left, if it could write at all, and forget what is too old."""
        if not self.on or (run.id not in self._begun and await self._store.snapshot_of(run.id) is None):
            return
        async with self._locks[session.id]:
            self._begun.discard(run.id)
            digest = await self._noted(session)
            await self._keep(session)
            if digest:
                await self._store.close_snapshot(run.id, digest)
            await self._prune(session.id, session.folder)

    # --- on several hosts ---------------------------------------------------------------------------------------
    async def _fetch(self, session: Session | None) -> None:
        if self._files is not None and session is not None:
            await self._files.fetch(session, FOLDER_KEPT)

    async def _keep(self, session: Session | None) -> None:
        if self._files is not None and session is not None:
            await self._files.keep(session)

    def _writing(self, session: Session) -> AbstractAsyncContextManager[None]:
        """Have the files here as they are everywhere, and everywhere as the block leaves them."""
        return contextlib.nullcontext() if self._files is None else self._files.writing(session, FOLDER_KEPT)

    async def _noted(self, session: Session) -> str:
        """Return the digest of what the workspace holds; "" when it can't be kept, which is logged."""
        try:
            rows = await self._store.label_rows(session.id)
            return await asyncio.to_thread(self._note, session, rows)
        except (DirigentError, SandboxError, OSError) as error:
            logger.warning("what session {} holds could not be kept: {}", session.id, error)
            return ""

    def _note(self, session: Session, rows: dict[str, int]) -> str:
        kept = self._kept(session.folder)
        with kept.lock(), Workspace(session.workspace) as workspace:
            return kept.write_listing(kept.look(workspace).files, rows)

    def _kept(self, folder: Path) -> KeptFiles:
        """Return what is kept beside a session's workspace; of the sessions used last it knows what was there."""
        kept = self._warm.pop(folder, None) or KeptFiles(folder / FOLDER, self._most_bytes)
        self._warm[folder] = kept
        while len(self._warm) > WARM:
            del self._warm[next(iter(self._warm))]
        return kept

    # --- going back ---------------------------------------------------------------------------------------------
    async def offer(self, session: Session, may: Callable[[Run], bool], older_than: int = 0) -> Offer | None:
        """Return the newest run that has changed files and that a person `may` undo; None when there is none.

        With `older_than` only snapshots before that one are looked at. Raises Damaged or TooMuch.
        """
        for snapshot in await self._store.snapshots(session.id):
            changed = snapshot.before != snapshot.after or not snapshot.before
            if snapshot.state != "taken" or not changed or (older_than and snapshot.id >= older_than):
                continue
            run = await self._store.get_run(snapshot.run_id)
            if not may(run):
                continue
            if not snapshot.before:
                return Offer(snapshot, run, Way())
            way = await self.way(snapshot, session)
            if way.changes or way.stays or way.lost:
                return Offer(snapshot, run, way)
        return None

    async def way(self, snapshot: Snapshot, session: Session) -> Way:
        """Return what undoing a run would do now. Raises Damaged or TooMuch."""
        await self._fetch(session)
        async with self._locks[session.id]:
            return await self._way(snapshot, session)

    async def _way(self, snapshot: Snapshot, session: Session) -> Way:
        rows, writers = await asyncio.gather(
            self._store.label_rows(session.id), self._store.writers(session.id, snapshot.taken_at)
        )
        others = frozenset(path for path, run_id in writers.items() if run_id != snapshot.run_id)

        def compare() -> Way:
            kept = self._kept(session.folder)
            with kept.lock(), Workspace(session.workspace) as workspace:
                now = with_rows(kept.look(workspace).files, rows)
                before, after = kept.listing(snapshot.before), snapshot.after
                return way_back(before, kept.listing(after) if after else None, now, others)

        return await asyncio.to_thread(compare)

    async def undo(self, offer: Offer, session: Session, by: str, key: str) -> bool:
        """Undo a run in exactly the way that was offered; False when it would be another one by now.

        `key` names the message that tells what came of it. Raises Damaged, TooMuch.
        """
        async with self._writing(session), self._locks[session.id]:
            snapshot = await self._store.get_snapshot(offer.snapshot.id)
            if snapshot is None or snapshot.state != "taken":
                return False
            if (await self._way(snapshot, session)).digest != offer.way.digest:
                return False
            wanted = Restoration(session.id, offer.run.id, offer.way.changes, done_by=by)
            await self._carry_out(await self._store.begin_restoration(wanted), offer.run, session, key)
        return True

    async def take_back(self, restoration: Restoration, run: Run, session: Session, by: str, key: str) -> bool:
        """Take back what was put back; False when nothing is left to take back. Raises Damaged, TooMuch."""
        async with self._writing(session), self._locks[session.id]:
            current = await self._store.get_restoration(restoration.id)
            if current is None or current.state != "done":
                return False
            rows = await self._store.label_rows(session.id)

            def compare() -> Way:
                kept = self._kept(session.folder)
                with kept.lock(), Workspace(session.workspace) as workspace:
                    return way_forth(current.changes, with_rows(kept.look(workspace).files, rows))

            way = await asyncio.to_thread(compare)
            if not way.changes:
                return False
            wanted = Restoration(session.id, run.id, way.changes, back=True, done_by=by)
            await self._carry_out(await self._store.begin_restoration(wanted), run, session, key, way.stays)
        return True

    async def _carry_out(
        self, restoration: Restoration, run: Run, session: Session, key: str, stays: tuple[str, ...] = ()
    ) -> None:
        """Put files back, then note it and tell it in one transaction; it may have been begun before a crash."""
        outcome = await asyncio.to_thread(self._put_back, restoration, session)
        outcome.left += stays
        await self._keep(session)
        message = wording.told(run, restoration, outcome, key)
        await self._store.finish_restoration(restoration, outcome.done, [message])

    def _put_back(self, restoration: Restoration, session: Session) -> Outcome:
        kept = self._kept(session.folder)
        with kept.lock(), Workspace(session.workspace) as workspace:
            return put_back(workspace, kept, restoration.changes)

    async def finish_interrupted(self, open_session: Callable[[str], Awaitable[Session]]) -> None:
        """Finish what was being put back when the process died."""
        for restoration in await self._store.open_restorations():
            try:
                run = await self._store.get_run(restoration.run_id)
                session = await open_session(restoration.session_id)
                async with self._writing(session), self._locks[session.id]:
                    key = await self._store.get_value(key_of(run.id)) or f"undo:{run.id}"
                    await self._carry_out(restoration, run, session, key)
            except (DirigentError, SandboxError, OSError) as error:
                logger.error("what was being put back in {} could not be finished: {}", restoration.session_id, error)

    # --- forgetting ---------------------------------------------------------------------------------------------
    async def forget_older(self, seconds: float) -> None:
        """Forget snapshots that are older than so many seconds, and the bytes that only they need."""
        limit = time.time() - seconds
        folders = {one["id"]: self._folder(one) for one in await self._store.sessions()}
        for session_id in await self._store.snapshot_sessions(limit):
            if session_id in folders:
                async with self._locks[session_id]:
                    await self._prune(session_id, folders[session_id], limit)

    def _folder(self, session: Mapping[str, Any]) -> Path:
        """Return a session's folder on this host; the journal has that of the host where it was heard last."""
        return Path(session["folder"]) if self._files is None else self._files.folder_of(session["id"])

    async def _prune(self, session_id: str, folder: Path, limit: float = 0.0) -> None:
        snapshots = await self._store.snapshots(session_id)
        if not limit and len(snapshots) <= self._runs + SLACK and len(snapshots) % SLACK:
            return
        wanted = [one for one in snapshots[: self._runs] if one.taken_at >= limit]
        restorations = [one for one in await self._store.restorations(session_id) if one.state != "taken back"]
        try:
            files = self._files if self._files is not None and self._files.mirrored else None
            session = await files.open(session_id) if files is not None else None
            await self._fetch(session)
            gone = await asyncio.to_thread(self._trim, self._kept(folder), wanted, restorations)
            await self._keep(session)
        except (DirigentError, OSError) as error:
            logger.warning("earlier states of {} could not be tidied: {}", session_id, error)
            return
        forgotten = [one.id for one in snapshots if one not in wanted or one in gone]
        if forgotten:
            await self._store.forget_snapshots(forgotten)

    def _trim(self, kept: KeptFiles, wanted: list[Snapshot], restorations: list[Restoration]) -> list[Snapshot]:
        """Remove the bytes that no wanted snapshot needs; return those that are too much, the oldest."""
        with kept.lock():
            sizes, needed, listings = kept.sizes(), set[str](), set[str]()
            gone: list[Snapshot] = []
            for snapshot in wanted:
                names = {one for one in (snapshot.before, snapshot.after) if one}
                fresh = needed | self._contents(kept, snapshot, names, restorations)
                if gone or (needed and sum(sizes.get(name, 0) for name in fresh) > self._most_bytes):
                    gone.append(snapshot)
                    continue
                needed, listings = fresh, listings | names
            kept.forget(contents=needed, listings=listings)
            return gone

    @staticmethod
    def _contents(kept: KeptFiles, snapshot: Snapshot, names: set[str], restorations: list[Restoration]) -> set[str]:
        """Return the digests of the contents that a snapshot and what was put back from it need."""
        files = [file for name in names for file in kept.listing(name).values()]
        changes = [change for one in restorations if one.run_id == snapshot.run_id for change in one.changes]
        files += [file for change in changes for file in (change.was, change.to) if file is not None]
        return {file.sha256 for file in files}


def key_of(run_id: int) -> str:
    """Return the name of the value that holds the key of the newest message about undoing a run."""
    return f"undo:{run_id}:key"


__all__ = ["Damaged", "Offer", "TooMuch", "Versions", "key_of"]
