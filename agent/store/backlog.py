"""How much waits in the journal: counts for whoever watches it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, or_, select

from agent.domain.backlog import Backlog
from agent.store.consents import UNFINISHED
from agent.store.outbox import PENDING, SENDING
from agent.store.tables import approvals, events, inbox, outbox, questions, runs

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Table

WAITING_EVENTS = ("new", "dead")


def backlog(connection: Connection, now: float) -> Backlog:
    """Return what waits at a time, in seconds since 1970."""
    due = (
        outbox.c.state.in_([PENDING, SENDING]),
        outbox.c.not_before <= now,
        or_(outbox.c.sent_version < outbox.c.version, outbox.c.state == SENDING),
    )
    to_send, oldest_to_send = _waiting(connection, outbox.c.created_at, *due)
    unheard, oldest_unheard = _waiting(connection, inbox.c.received_at, inbox.c.heard_at.is_(None))
    return Backlog(
        runs=_by_status(connection, runs, runs.c.status.in_(UNFINISHED)),
        events=_by_status(connection, events, events.c.status.in_(WAITING_EVENTS)),
        outbox=to_send,
        outbox_age=max(0.0, now - oldest_to_send) if oldest_to_send else 0.0,
        inbox=unheard,
        inbox_age=max(0.0, now - oldest_unheard) if oldest_unheard else 0.0,
        approvals=_open(connection, approvals, approvals.c.decision.is_(None)),
        questions=_open(connection, questions, questions.c.answered_at.is_(None)),
    )


def _by_status(connection: Connection, table: Table, which: ColumnElement[bool]) -> dict[str, int]:
    query = select(table.c.status, func.count()).where(which).group_by(table.c.status)
    return {str(status): int(number) for status, number in connection.execute(query)}


def _waiting(connection: Connection, came: ColumnElement[float], *which: ColumnElement[bool]) -> tuple[int, float]:
    number, oldest = connection.execute(select(func.count(), func.min(came)).where(*which)).one()
    return int(number), float(oldest or 0.0)


def _open(connection: Connection, table: Table, which: ColumnElement[bool]) -> int:
    """Count what a person has yet to decide in runs that have not ended."""
    query = select(func.count()).select_from(table.join(runs, runs.c.id == table.c.run_id))
    return int(connection.execute(query.where(which, runs.c.status.in_(UNFINISHED))).scalar_one())
