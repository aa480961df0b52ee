"""Earlier states of workspaces in the journal; the bytes themselves lie beside the workspaces."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select, true, update

from agent.domain.versions import Change, Restoration, Snapshot
from agent.store import audit, outbox
from agent.store.dialect import insert
from agent.store.journal import Journal
from agent.store.rows import dump
from agent.store.tables import artifacts
from agent.store.version_tables import restorations, snapshots

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Row

    from agent.domain.messages import OutboundMessage


def _snapshot(row: Row[Any]) -> Snapshot:
    return Snapshot(row.session_id, row.run_id, row.before, row.after, row.state, row.taken_at, row.id)


def _restoration(row: Row[Any]) -> Restoration:
    changes = tuple(map(Change.from_json, json.loads(row.changes)))
    return Restoration(row.session_id, row.run_id, changes, row.state, row.back, row.done_by, row.id)


def _add(connection: Connection, snapshot: Snapshot, now: float) -> None:
    row = {
        "session_id": snapshot.session_id,
        "run_id": snapshot.run_id,
        "before": snapshot.before,
        "after": snapshot.after,
        "state": snapshot.state,
        "taken_at": now,
    }
    connection.execute(
        insert(connection, snapshots).values(**row).on_conflict_do_nothing(index_elements=[snapshots.c.run_id])
    )


def _close(connection: Connection, run_id: int, after: str) -> None:
    connection.execute(update(snapshots).where(snapshots.c.run_id == run_id).values(after=after))


def _find(connection: Connection, *where: Any) -> list[Snapshot]:
    return list(map(_snapshot, connection.execute(select(snapshots).where(*where).order_by(snapshots.c.id.desc()))))


def _of_session(connection: Connection, session_id: str, limit: int) -> list[Snapshot]:
    query = select(snapshots).where(snapshots.c.session_id == session_id).order_by(snapshots.c.id.desc()).limit(limit)
    return list(map(_snapshot, connection.execute(query)))


def _sessions(connection: Connection, before: float) -> list[str]:
    query = select(snapshots.c.session_id).where(snapshots.c.taken_at < before).distinct()
    return list(connection.execute(query).scalars())


def _forget(connection: Connection, ids: Sequence[int]) -> None:
    of_these = select(snapshots.c.run_id).where(snapshots.c.id.in_(ids))
    connection.execute(delete(restorations).where(restorations.c.run_id.in_(of_these)))
    connection.execute(delete(snapshots).where(snapshots.c.id.in_(ids)))


def _label_rows(connection: Connection, session_id: str) -> dict[str, int]:
    current = (artifacts.c.session_id == session_id, artifacts.c.current == true())
    return {row.path: row.id for row in connection.execute(select(artifacts.c.path, artifacts.c.id).where(*current))}


def _writers(connection: Connection, session_id: str, since: float) -> dict[str, int | None]:
    current = (artifacts.c.session_id == session_id, artifacts.c.current == true(), artifacts.c.created_at >= since)
    rows = connection.execute(select(artifacts.c.path, artifacts.c.run_id).where(*current))
    return {row.path: row.run_id for row in rows}


def _begin(connection: Connection, restoration: Restoration, now: float) -> int:
    row = {
        "session_id": restoration.session_id,
        "run_id": restoration.run_id,
        "changes": dump([change.to_json() for change in restoration.changes]),
        "state": "doing",
        "back": restoration.back,
        "done_by": restoration.done_by,
        "begun_at": now,
    }
    detail = {"run": restoration.run_id, "paths": [c.path for c in restoration.changes][:50], "back": restoration.back}
    audit.note(connection, "undo", restoration.session_id, {**detail, "by": restoration.done_by}, now)
    return int(
        connection.execute(insert(connection, restorations).values(**row).returning(restorations.c.id)).scalar_one()
    )


def _finish(connection: Connection, restoration: Restoration, done: frozenset[str], now: float) -> bool:
    """Return False when it was finished before."""
    ended = (
        update(restorations)
        .where(restorations.c.id == restoration.id, restorations.c.state == "doing")
        .values(state="done", done_at=now)
    )
    if not connection.execute(ended).rowcount:
        return False
    for change in restoration.changes:
        if change.path in done:
            _relabel(connection, restoration.session_id, change)
    earlier = (restorations.c.run_id == restoration.run_id, restorations.c.id != restoration.id)
    connection.execute(update(restorations).where(*earlier).values(state="taken back"))
    state = "taken" if restoration.back else "undone"
    connection.execute(update(snapshots).where(snapshots.c.run_id == restoration.run_id).values(state=state))
    return True


def _relabel(connection: Connection, session_id: str, change: Change) -> None:
    """Give a path the label that it had then; none where there was no file or no label."""
    here = (artifacts.c.session_id == session_id, artifacts.c.path == change.path)
    connection.execute(update(artifacts).where(*here, artifacts.c.current == true()).values(current=False))
    if change.to is not None and change.to.row:
        connection.execute(update(artifacts).where(*here, artifacts.c.id == change.to.row).values(current=True))


def _restorations(connection: Connection, limit: int, *where: Any) -> list[Restoration]:
    query = select(restorations).where(*where).order_by(restorations.c.id.desc()).limit(limit)
    return list(map(_restoration, connection.execute(query)))


class VersionRecords(Journal):
    """What `SqlStore` does about earlier states; see `protocol.versions`."""

    async def add_snapshot(self, snapshot: Snapshot) -> None:
        await self._do(_add, snapshot, self._clock())

    async def close_snapshot(self, run_id: int, after: str) -> None:
        await self._do(_close, run_id, after)

    async def snapshot_of(self, run_id: int) -> Snapshot | None:
        return next(iter(await self._read(_find, snapshots.c.run_id == run_id)), None)

    async def get_snapshot(self, snapshot_id: int) -> Snapshot | None:
        return next(iter(await self._read(_find, snapshots.c.id == snapshot_id)), None)

    async def snapshots(self, session_id: str, limit: int = 100) -> list[Snapshot]:
        return await self._read(_of_session, session_id, limit)

    async def snapshot_sessions(self, before: float) -> list[str]:
        return await self._read(_sessions, before)

    async def forget_snapshots(self, ids: Sequence[int]) -> None:
        await self._do(_forget, tuple(ids))

    async def label_rows(self, session_id: str) -> dict[str, int]:
        return await self._read(_label_rows, session_id)

    async def writers(self, session_id: str, since: float) -> dict[str, int | None]:
        return await self._read(_writers, session_id, since)

    async def begin_restoration(self, restoration: Restoration) -> Restoration:
        number = await self._do(_begin, restoration, self._clock())
        done_by, changes = restoration.done_by, restoration.changes
        return Restoration(
            restoration.session_id, restoration.run_id, changes, "doing", restoration.back, done_by, number
        )

    async def finish_restoration(
        self, restoration: Restoration, done: Sequence[str], messages: Sequence[OutboundMessage] = ()
    ) -> None:
        rows, now, paths = [outbox.posted(message) for message in messages], self._clock(), frozenset(done)

        def carry_out(connection: Connection) -> bool:
            if not _finish(connection, restoration, paths, now):
                return False
            return sum(outbox.post(connection, row, now) for row in rows) > 0

        await self._do(carry_out, rings=True)

    async def open_restorations(self) -> list[Restoration]:
        return await self._read(_restorations, 1_000, restorations.c.state == "doing")

    async def get_restoration(self, restoration_id: int) -> Restoration | None:
        return next(iter(await self._read(_restorations, 1, restorations.c.id == restoration_id)), None)

    async def restorations(self, session_id: str, limit: int = 100) -> list[Restoration]:
        return await self._read(_restorations, limit, restorations.c.session_id == session_id)
