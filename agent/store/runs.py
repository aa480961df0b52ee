"""Runs: opened once per message, leased to one worker at a time, changed only by the newest epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, exists, func, or_, select, update

from agent.domain.provenance import Provenance
from agent.domain.states import FINAL, Status, check_transition, sources_of
from agent.errors import IllegalTransition, NotFound
from agent.store import accounts, audit, inbox
from agent.store.dialect import insert
from agent.store.rows import dump, dump_provenance, plain, short_id
from agent.store.rows import run as read
from agent.store.tables import runs, tasks
from agent.store.transitions import stale

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

    from agent.domain.run import Run
    from agent.store.transitions import Owner

UNFINISHED = sorted(set(Status) - FINAL)
CHANGEABLE = frozenset(
    {
        "title",
        "plan_complete",
        "replans",
        "starts",
        "answer",
        "error",
        "request",
        "priority",
        "corr_id",
        "provenance",
        "budget",
    },
)


def open_(connection: Connection, run: Run, now: float) -> Run:
    """Insert the run, or find the one that its message has already opened."""
    if run.inbox_id is not None:
        known = connection.execute(select(runs).where(runs.c.inbox_id == run.inbox_id)).first()
        if known is not None:
            return read(known)
    row = connection.execute(
        insert(connection, runs)
        .values(
            ref=run.ref or short_id(),
            session_id=run.session_id,
            inbox_id=run.inbox_id,
            user_id=run.user_id,
            origin=run.origin.value,
            request=plain(run.request),
            dest=dump(run.dest.to_json()),
            status=run.status.value,
            priority=run.priority,
            title=plain(run.title),
            plan_complete=run.plan_complete,
            corr_id=run.corr_id,
            provenance=dump_provenance(run.provenance),
            created_at=run.created_at or now,
            given=dump(run.given),
            source=plain(run.source),
            project=plain(run.project),
            budget=run.budget,
        )
        .on_conflict_do_nothing(index_elements=[runs.c.inbox_id])
        .returning(*runs.c),
    ).first()
    if row is None:  # another process opened it a moment ago
        row = connection.execute(select(runs).where(runs.c.inbox_id == run.inbox_id)).one()
    else:
        detail = {"id": row.id, "ref": row.ref, "origin": row.origin, "source": row.source, "user": row.user_id}
        audit.note(connection, "run", row.session_id, detail, now)
    if run.inbox_id is not None:
        inbox.heard(connection, run.inbox_id, now)
    return read(row)


def get(connection: Connection, run_id: int) -> Run:
    """Return the run. Raises NotFound."""
    row = connection.execute(select(runs).where(runs.c.id == run_id)).first()
    if row is None:
        raise NotFound(f"There is no run {run_id}.")
    return read(row)


def find(connection: Connection, ref: str) -> Run | None:
    """Return the run with this short id."""
    row = connection.execute(select(runs).where(runs.c.ref == ref)).first()
    return None if row is None else read(row)


def unfinished(connection: Connection, session_id: str | None) -> list[Run]:
    """Return runs that are not in a final state, oldest first."""
    query = select(runs).where(runs.c.status.in_(UNFINISHED)).order_by(runs.c.id)
    if session_id is not None:
        query = query.where(runs.c.session_id == session_id)
    return [read(row) for row in connection.execute(query)]


def recent(connection: Connection, session_id: str | None, limit: int, before: int, status: str) -> list[Run]:
    """Return the newest runs (made before the one with an id, in a state), newest first."""
    query = select(runs).order_by(runs.c.id.desc()).limit(limit)
    if session_id is not None:
        query = query.where(runs.c.session_id == session_id)
    if before:
        query = query.where(runs.c.id < before)
    if status:
        query = query.where(runs.c.status == status)
    return [read(row) for row in connection.execute(query)]


def of_source(connection: Connection, source: str, limit: int) -> list[Run]:
    """Return the newest runs with this source, newest first."""
    query = select(runs).where(runs.c.source == source).order_by(runs.c.id.desc()).limit(limit)
    return [read(row) for row in connection.execute(query)]


def outcomes(connection: Connection, source: str) -> dict[str, int]:
    """Return how many runs with this source stand in each status."""
    counted = select(runs.c.status, func.count().label("number")).where(runs.c.source == source).group_by(runs.c.status)
    return {row.status: row.number for row in connection.execute(counted)}


def lease(connection: Connection, run_id: int, owner: str, seconds: float, now: float) -> Run | None:
    """Take the run; None when another owner's lease is still good or the run is over. Raises NotFound.

    None, too, while another owner works on a run of the same project: they must not overlap.
    What a former worker of it has set aside and never settled counts as used.
    """
    free = or_(runs.c.lease_owner.in_(["", owner]), runs.c.lease_until <= now)
    row = connection.execute(
        update(runs)
        .where(runs.c.id == run_id, runs.c.status.in_(UNFINISHED), free, ~_project_taken(owner, now))
        .values(
            lease_owner=owner,
            lease_until=now + seconds,
            epoch=runs.c.epoch + 1,
            starts=runs.c.starts + 1,
            started_at=func.coalesce(runs.c.started_at, now),
        )
        .returning(*runs.c),
    ).first()
    if row is None:
        get(connection, run_id)
        return None
    accounts.settle_lost(connection, run_id, now)
    return read(row)


def _project_taken(owner: str, now: float) -> ColumnElement[bool]:
    """True while somebody else works on another run of the run's project."""
    other = runs.alias("other")
    same = (other.c.project == runs.c.project, other.c.id != runs.c.id, other.c.status.in_(UNFINISHED))
    theirs = (other.c.lease_owner.not_in(["", owner]), other.c.lease_until > now)
    return and_(runs.c.project != "", exists(select(other.c.id).where(*same, *theirs).correlate(runs)))


def renew(connection: Connection, run_id: int, epoch: int, until: float) -> bool:
    """Extend the lease; False when it was lost."""
    owned = (runs.c.id == run_id, runs.c.epoch == epoch, runs.c.lease_owner != "")
    return connection.execute(update(runs).where(*owned).values(lease_until=until)).rowcount == 1


def release(connection: Connection, run_id: int, epoch: int) -> None:
    """Give the lease back; one that was lost meanwhile is left with its new owner."""
    owned = (runs.c.id == run_id, runs.c.epoch == epoch)
    connection.execute(update(runs).where(*owned).values(lease_owner="", lease_until=0.0))


def take_away(connection: Connection, run_id: int) -> None:
    """End whatever lease there is on a run that is not over: what its worker still writes is refused."""
    held = (runs.c.id == run_id, runs.c.status.in_(UNFINISHED), runs.c.lease_owner != "")
    gone = {"lease_owner": "", "lease_until": 0.0, "epoch": runs.c.epoch + 1}
    connection.execute(update(runs).where(*held).values(**gone))


def change(
    connection: Connection,
    owner: Owner,
    status: Status | None,
    fields: dict[str, Any],
    now: float,
) -> None:
    """Change state and fields of a run. Raises NotFound, StaleLease, IllegalTransition."""
    run_id, epoch = owner
    stored = dict(fields)
    guard = [runs.c.id == run_id, runs.c.epoch == epoch]
    if status is not None:
        stored["status"] = status.value
        guard.append(runs.c.status.in_(sorted(sources_of(status))))
        if status in FINAL:
            stored |= {"completed_at": now, "lease_owner": "", "lease_until": 0.0}
    if stored and connection.execute(update(runs).where(*guard).values(**stored)).rowcount == 1:
        return
    refuse(connection, run_id, epoch, status)


def grant(connection: Connection, run_id: int, budget: float) -> None:
    """Let a run spend so much, in US dollars: a person has said so, whoever works on it."""
    connection.execute(update(runs).where(runs.c.id == run_id).values(budget=budget))


def refuse(connection: Connection, run_id: int, epoch: int, status: Status | None) -> None:
    """Say why a change of the run touched nothing."""
    columns = (runs.c.epoch, runs.c.status)
    row = connection.execute(select(*columns).where(runs.c.id == run_id)).first()
    if row is None:
        raise NotFound(f"There is no run {run_id}.")
    if row.epoch != epoch:
        raise stale(run_id, epoch, row.epoch)
    if status is not None:
        check_transition(f"Run {run_id}", Status(row.status), status)


def run_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Return a change's fields as they are stored. Raises TypeError for one that a run does not have."""
    stored: dict[str, Any] = {}
    for name, value in fields.items():
        if name not in CHANGEABLE:
            raise TypeError(f"change_run() cannot set {name!r}; it can set {', '.join(sorted(CHANGEABLE))}")
        if isinstance(value, Provenance):
            stored[name] = dump_provenance(value)
        else:
            stored[name] = plain(value) if isinstance(value, str) else value
    return stored


def finish(connection: Connection, owner: Owner, status: Status, fields: dict[str, Any], now: float) -> None:
    """End the run and cancel its steps that are not final."""
    run_id, epoch = owner
    if status not in FINAL:
        raise IllegalTransition(f"Run {run_id} cannot be finished as {status}.", hint="Use change_run for that.")
    change(connection, owner, status, fields, now)
    open_steps = (tasks.c.run_id == run_id, tasks.c.status.in_(UNFINISHED))
    connection.execute(
        update(tasks).where(*open_steps).values(status=Status.CANCELLED.value, completed_at=now, epoch=epoch),
    )
    row = connection.execute(select(runs.c.session_id, runs.c.ref).where(runs.c.id == run_id)).one()
    detail = {"id": run_id, "ref": row.ref, "status": status.value}
    audit.note(connection, "run ended", row.session_id, detail, now)
