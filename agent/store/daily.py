"""What happened from day to day, summed by the database."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from sqlalchemy import case, func, select

from agent.domain.days import Day
from agent.store.tables import ledger, runs, tasks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Connection, Table


def daily(connection: Connection, days: Sequence[float]) -> list[Day]:
    """Return one record for each span that the given times bound."""
    if len(days) < 2:
        return []
    made, stepped = (_by_status(connection, table, days) for table in (runs, tasks))
    used = _used(connection, days)
    return [Day(begins, made[n], stepped[n], *used[n]) for n, begins in enumerate(days[:-1])]


def _by_status(connection: Connection, table: Table, days: Sequence[float]) -> list[dict[str, int]]:
    at = table.c.created_at
    query = select(table.c.status, *_sums(at, days, 1)).where(at >= days[0], at < days[-1]).group_by(table.c.status)
    found: list[dict[str, int]] = [{} for _ in days[1:]]
    for status, *numbers in connection.execute(query):
        for n, number in enumerate(numbers):
            if number:
                found[n][str(status)] = int(number)
    return found


def _used(connection: Connection, days: Sequence[float]) -> list[tuple[int, int, float]]:
    at = ledger.c.at
    tokens = ledger.c.prompt_tokens + ledger.c.completion_tokens
    many = len(days) - 1
    sums = [*_sums(at, days, 1), *_sums(at, days, tokens), *_sums(at, days, func.coalesce(ledger.c.money, 0.0))]
    row = connection.execute(select(*sums).where(at >= days[0], at < days[-1])).one()
    return [(int(row[n] or 0), int(row[many + n] or 0), float(row[2 * many + n] or 0.0)) for n in range(many)]


def _sums(at: ColumnElement[float], days: Sequence[float], what: Any) -> list[ColumnElement[Any]]:
    """Return one sum for each span: a single scan does for all of them."""
    spans = list(pairwise(days))
    return [func.sum(case(((at >= begins) & (at < ends), what), else_=0)) for begins, ends in spans]
