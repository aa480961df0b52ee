"""Money, figures and the audit log over the API."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query

from agent.domain.audit import Chain
from agent.web import shapes
from agent.web.rest.taking import Before, Called, Limit, refusing

if TYPE_CHECKING:
    from agent.domain.days import Day
    from agent.domain.ledger import Balance
    from agent.web.rooms import Rooms

AUDIT_BATCH = 1_000
DAYS = 14
RUNS_LOOKED_AT, SESSIONS_SHOWN = 200, 50
Days = Annotated[int, Query(ge=1, le=60, description="How many, today included.")]
Since = Annotated[float, Query(ge=0, le=1e11, description="In seconds since 1970.")]


def add(made: APIRouter, rooms: Rooms) -> None:
    """Add the routes."""

    @made.get("/budget")
    async def budget() -> list[shapes.AccountShape]:
        """What is spent and set aside: today, this month, by each person, chat and project."""
        return [shapes.AccountShape.of(*one) for one in await accounts_of(rooms)]

    @made.get("/figures", responses=refusing(422))
    async def figures(days: Days = DAYS) -> list[shapes.DayShape]:
        """Runs, steps, model calls, tokens and money of the last days, the oldest first."""
        return [shapes.DayShape.of(day) for day in await days_of(rooms, days)]

    @made.get("/audit", responses=refusing(422))
    async def audit(
        kind: Called = "", session: Called = "", since: Since = 0.0, before: Before = 0, limit: Limit = 100
    ) -> list[shapes.AuditShape]:
        """Entries of the audit log, newest first."""
        found = await rooms.store.audit_entries(
            kind=kind or None, session_id=session or None, since=since, before=before, limit=limit
        )
        return [shapes.AuditShape.of(entry) for entry in found[::-1]]

    @made.get("/audit/verify")
    async def verify() -> shapes.AuditCheck:
        """Check the whole audit log: each entry is sealed together with the one before it."""
        chain = await checked_chain(rooms)
        broken = chain.broken.id if chain.broken is not None else None
        return shapes.AuditCheck(count=chain.count, head=chain.head, broken=broken)


async def checked_chain(rooms: Rooms) -> Chain:
    """Return how far the audit log is as it was written."""
    chain = Chain()
    while batch := await rooms.store.audit_after(chain.last_id, AUDIT_BATCH):
        if not chain.take(batch):
            break
    return chain


async def days_of(rooms: Rooms, many: int) -> list[Day]:
    """Return the last days by this machine's clock, today included."""
    today = datetime.now(UTC).astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    begins = [(today - timedelta(days=ago)).timestamp() for ago in range(many - 1, -1, -1)]
    return await rooms.store.daily([*begins, max(time.time(), begins[-1]) + 1])


async def accounts_of(rooms: Rooms) -> list[tuple[str, Balance, float]]:
    """Return (name, balance, cap) of what all share, of each person today, and of projects; a cap of 0 is none."""
    store, limits = rooms.store, rooms.limits
    day = datetime.now(UTC).astimezone().strftime("%Y-%m-%d")
    found: list[tuple[str, Any, float]] = [
        ("today", await store.balance(f"day:{day}"), limits.money_per_day),
        ("this month", await store.balance(f"month:{day[:7]}"), limits.money_per_month),
    ]
    users = dict.fromkeys(run.user_id for run in await store.recent_runs(limit=RUNS_LOOKED_AT) if run.user_id)
    found += [
        (f"person {user} today", await store.balance(f"user:{user}:{day}"), limits.money_per_user_day) for user in users
    ]
    for row in sorted(await store.sessions(), key=lambda one: -one["seen_at"])[:SESSIONS_SHOWN]:
        balance = await store.balance(f"session:{row['id']}")
        if balance.money or balance.reserved_money:
            found.append((f"chat {row['id']}", balance, limits.money_per_session))
    for project in await store.projects():
        status = await store.project_status(project.name)
        if status is not None:
            found.append((f"project {project.name}", status.balance, project.budget or 0.0))
    return found
