"""What is old and over is forgotten, in small batches between which others have their turn.

Runs, their questions and approvals, the ledger, the audit log (a chain) and dead events stay for good. A file that has
fired a trigger stays known: it may still lie in its folder.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sqlalchemy import and_, delete, exists, or_, select, update

from agent.domain.states import FINAL
from agent.domain.trigger import FireStatus, TriggerKind
from agent.store import accounts
from agent.store.dialect import by_bytes
from agent.store.tables import accounts as account_rows
from agent.store.tables import events, inbox, outbox, runs, tasks, trigger_fires, triggers

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Table

DAY_SECONDS = 24 * 3600.0
BATCH = 500
ENDED = sorted(FINAL)
UNDER_WAY = sorted(status.value for status in (FireStatus.PENDING, FireStatus.WAITING))


def prune(connection: Connection, before: float, now: float) -> int:
    """Forget one batch of what was over before a time, in seconds since 1970; return how many rows are gone."""
    accounts.settle_older(connection, now - DAY_SECONDS, now)
    over = and_(runs.c.status.in_(ENDED), runs.c.completed_at < before)
    old_fire = and_(
        trigger_fires.c.fired_at < before,
        trigger_fires.c.status.not_in(UNDER_WAY),
        ~exists(select(1).where(runs.c.id == trigger_fires.c.run_id, runs.c.status.not_in(ENDED))),
        exists(select(1).where(triggers.c.id == trigger_fires.c.trigger_id, triggers.c.kind != TriggerKind.FILE.value)),
    )
    old_message = and_(
        outbox.c.created_at < before,
        or_(outbox.c.sent_at < before, outbox.c.sent_at.is_(None)),
        outbox.c.state.in_(["sent", "failed"]),
        outbox.c.key.not_like("budget:%"),  # what was warned about once
        ~exists(select(1).where(runs.c.id == outbox.c.run_id, runs.c.status.not_in(ENDED))),
    )
    heard = and_(inbox.c.heard_at < before, ~exists(select(1).where(runs.c.inbox_id == inbox.c.id)))
    return (
        _runs(connection, over)
        + _some(connection, outbox, old_message)
        + _some(connection, inbox, heard)
        + _some(connection, events, and_(events.c.status == "handled", events.c.handled_at < before))
        + _some(connection, trigger_fires, old_fire)
        + _days(connection, before)
    )


def _runs(connection: Connection, over: ColumnElement[bool]) -> int:
    """Forget the steps of runs, the messages that opened them, and what they had an account for."""
    kept = or_(runs.c.steps > 0, runs.c.inbox_id.is_not(None))
    ids = list(connection.execute(select(runs.c.id).where(over, kept).limit(BATCH // 5)).scalars())
    connection.execute(delete(tasks).where(tasks.c.run_id.in_(ids)))
    connection.execute(delete(account_rows).where(account_rows.c.account.in_([f"run:{number}" for number in ids])))
    connection.execute(update(runs).where(runs.c.id.in_(ids)).values(steps=0, inbox_id=None))
    return len(ids)


def _some(connection: Connection, table: Table, old: ColumnElement[bool]) -> int:
    ids = select(table.c.id).where(old).limit(BATCH)
    return connection.execute(delete(table).where(table.c.id.in_(ids))).rowcount


def _days(connection: Connection, before: float) -> int:
    """Forget the accounts of days, of everybody and of single persons."""
    day = time.strftime("%Y-%m-%d", time.localtime(before))
    account = by_bytes(connection, account_rows.c.account)
    names = select(account_rows.c.account).where(
        or_(
            and_(account >= "day:", account < f"day:{day}"),
            and_(account >= "user:", account < "user;"),
        )
    )
    old = [name for name in connection.execute(names).scalars() if name.rpartition(":")[2] < day]
    for first in range(0, len(old), BATCH):
        connection.execute(delete(account_rows).where(account_rows.c.account.in_(old[first : first + BATCH])))
    return len(old)
