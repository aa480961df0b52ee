"""Steps change state here and nowhere else.

The fast way: many transitions become one guarded UPDATE per step, run for all rows at once; a step that was started and
finished within one commit is written once. The guards (allowed states before, the run's epoch) are part of the
statement, so a wrong write touches no row. When the number of touched rows is off, the caller rolls back and comes
again by the exact way, which reads where everything stands and says of each transition whether it may be and why not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Double, Integer, Text, bindparam, exists, func, select, tuple_, update

from agent.domain.states import FINAL, TRANSITIONS, Status, check_transition, sources_of
from agent.errors import DirigentError, NotFound, StaleLease
from agent.store import audit
from agent.store.dialect import Prepared
from agent.store.rows import dump, dump_provenance, plain
from agent.store.tables import runs, tasks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

    from agent.domain.run import StepChange, StepNote

MOST_SOURCES = max(len(sources_of(status)) for status in Status)
AT_ONCE = 400  # rows per SELECT with a list of keys: below every database's limit of parameters


def _guard(then: Status) -> tuple[str, ...]:
    sources: list[str] = [*sorted(sources_of(then))] or [""]
    return tuple(sources[min(i, len(sources) - 1)] for i in range(MOST_SOURCES))


GUARDS = {status: _guard(status) for status in Status}
STORED = {
    "output": Text,
    "text": Text,
    "files": Text,
    "response_status": Text,
    "error": Text,
    "provenance": Text,
    "estimated_cost": Double,
    "actual_cost": Double,
    "attempt": Integer,
    "started_at": Double,
    "completed_at": Double,
}
_SOURCES = tuple(f"source_{i}" for i in range(MOST_SOURCES))
_STATEMENT = (
    update(tasks)
    .where(
        tasks.c.run_id == bindparam("of_run"),
        tasks.c.step_id == bindparam("of_step"),
        tasks.c.status.in_([bindparam(name, type_=Text) for name in _SOURCES]),
        exists(
            select(1)
            .where(runs.c.id == bindparam("of_run"), runs.c.epoch == bindparam("of_epoch"))
            .with_for_update(read=True)
            .correlate(tasks),
        ),
    )
    .values(
        status=bindparam("to"),
        epoch=bindparam("of_epoch"),
        **{name: func.coalesce(bindparam(f"new_{name}", type_=kind()), tasks.c[name]) for name, kind in STORED.items()},
    )
)
_UPDATE = Prepared(
    _STATEMENT,
    ["of_run", "of_step", "of_epoch", "to", *(f"new_{name}" for name in STORED), *_SOURCES],
)


Owner = tuple[int, int]
"""A run and the epoch with which it is written."""


class Contested(Exception):
    """Fewer rows were touched than transitions were asked for."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One step's way from any state that leads to `first` to the state `to`; `stored` in the order of `STORED`."""

    run_id: int
    step_id: str
    epoch: int
    first: Status
    to: Status
    stored: tuple[Any, ...]
    note: StepNote | None = None
    at: float = 0.0


def transition(change: StepChange, now: float) -> Transition:
    """Return the change as it will be written; `now` is when it was asked for (seconds since 1970)."""
    stored = (
        None if change.output is None else dump(change.output),
        None if change.text is None else plain(change.text),
        None if change.files is None else dump(change.files),
        change.response_status,
        None if change.error is None else plain(change.error),
        None if change.provenance is None else dump_provenance(change.provenance),
        change.estimated_cost,
        change.actual_cost,
        change.attempt,
        now if change.to is Status.RUNNING else None,
        now if change.to in FINAL else None,
    )
    return Transition(change.run_id, change.step_id, change.epoch, change.to, change.to, stored, change.note, now)


def apply(connection: Connection, transitions: Iterable[Transition]) -> None:
    """Make all transitions. Raises Contested when any of them may not be; the caller must roll back then."""
    merged: dict[tuple[int, str], Transition] = {}
    for later in transitions:
        key = (later.run_id, later.step_id)
        earlier = merged.get(key)
        merged[key] = later if earlier is None else _merge(earlier, later)
        if later.note is not None:
            note = later.note
            audit.note(connection, note.kind, note.session_id, note.detail, later.at, digests=note.digests)
    if merged and _UPDATE.run(connection, [_row(one) for one in merged.values()]) != len(merged):
        raise Contested


def _merge(earlier: Transition, later: Transition) -> Transition:
    if later.to not in TRANSITIONS[earlier.to] or later.epoch != earlier.epoch:
        raise Contested
    stored = tuple(old if new is None else new for old, new in zip(earlier.stored, later.stored, strict=True))
    return Transition(earlier.run_id, earlier.step_id, earlier.epoch, earlier.first, later.to, stored)


def _row(one: Transition) -> tuple[Any, ...]:
    return (one.run_id, one.step_id, one.epoch, one.to, *one.stored, *GUARDS[one.first])


class Standing:
    """Where the steps of some transitions stand, read once and then carried along."""

    def __init__(self, connection: Connection, transitions: Sequence[Transition]) -> None:
        self._epochs = _epochs(connection, sorted({one.run_id for one in transitions}))
        self._status = _statuses(connection, sorted({(one.run_id, one.step_id) for one in transitions}))

    def refusal(self, one: Transition) -> DirigentError | None:
        """Return why the transition may not be; when None, the step now stands where it leads."""
        epoch = self._epochs.get(one.run_id)
        if epoch is None:
            return NotFound(f"There is no run {one.run_id}.")
        if epoch != one.epoch:
            return stale(one.run_id, one.epoch, epoch)
        now = self._status.get((one.run_id, one.step_id))
        if now is None:
            return NotFound(f"Run {one.run_id} has no step {one.step_id!r}.")
        try:
            check_transition(f"Step {one.step_id!r} of run {one.run_id}", now, one.to)
        except DirigentError as error:
            return error
        self._status[one.run_id, one.step_id] = one.to
        return None


def change(connection: Connection, one: Transition) -> None:
    """Make a single transition. Raises IllegalTransition, StaleLease or NotFound."""
    refusal = Standing(connection, [one]).refusal(one)
    if refusal is not None:
        raise refusal
    apply(connection, [one])


def stale(run_id: int, epoch: int, newest: int) -> StaleLease:
    """Return the error for a write with an old epoch."""
    return StaleLease(f"Run {run_id} is at epoch {newest}; a write came with epoch {epoch}, from a former owner.")


def _epochs(connection: Connection, run_ids: Sequence[int]) -> dict[int, int]:
    found: dict[int, int] = {}
    for i in range(0, len(run_ids), AT_ONCE):
        wanted = runs.c.id.in_(run_ids[i : i + AT_ONCE])
        rows = connection.execute(select(runs.c.id, runs.c.epoch).where(wanted).with_for_update(read=True))
        found.update((row.id, row.epoch) for row in rows)
    return found


def _statuses(connection: Connection, keys: Sequence[tuple[int, str]]) -> dict[tuple[int, str], Status]:
    found: dict[tuple[int, str], Status] = {}
    for i in range(0, len(keys), AT_ONCE):
        wanted = tuple_(tasks.c.run_id, tasks.c.step_id).in_(keys[i : i + AT_ONCE])
        columns = (tasks.c.run_id, tasks.c.step_id, tasks.c.status)
        rows = connection.execute(select(*columns).where(wanted).with_for_update())
        found.update(((row.run_id, row.step_id), Status(row.status)) for row in rows)
    return found
