"""Triggers and their fires. A fire and the run or notice that it leads to are one transaction.

The index on (enabled, next_at) is the heap of next fires: the journal is asked for what is due and for the next time,
and both cost the same with ten triggers as with ten thousand.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, exists, false, func, select, true, update

from agent.domain.event import OF_EVENT
from agent.domain.messages import Destination
from agent.domain.states import FINAL, Status
from agent.domain.trigger import Fire, FireStatus, Misfire, Overlap, Trigger, TriggerKind
from agent.store import audit, events, outbox
from agent.store import runs as run_rows
from agent.store.dialect import insert
from agent.store.rows import dump, plain
from agent.store.tables import runs, trigger_fires, triggers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Connection, Row

    from agent.domain.run import Run
    from agent.store.outbox import Posted

Effect = tuple["Run | None", "Posted | None"]
"""What a fire leads to: the run to open, or the message to post."""
AT_ONCE = 400
ENDED = sorted(FINAL)


def trigger_row(trigger: Trigger, now: float) -> dict[str, Any]:
    """Return a trigger as a row."""
    kept = {
        "name": trigger.name,
        "created_by": trigger.created_by,
        "trusted": trigger.trusted,
        "misfire_cap": trigger.misfire_cap,
        "priority": trigger.priority,
        "project": trigger.project,
        "budget": trigger.budget,
        "approval": trigger.approval,
        "source": trigger.source,
    }
    return {
        "id": trigger.id,
        "kind": trigger.kind.value,
        "plan": dump(trigger.target),
        "spec": dump(trigger.spec),
        "parameters": dump(kept),
        "session_id": trigger.session_id,
        "dest": dump(trigger.dest.to_json()),
        "enabled": trigger.enabled,
        "missed": trigger.misfire.value,
        "overlap": trigger.overlap.value,
        "next_at": trigger.next_fire,
        "last_at": trigger.last_fired,
        "created_at": trigger.created_at or now,
    }


def _trigger(row: Row[Any]) -> Trigger:
    return Trigger(
        id=row.id,
        kind=TriggerKind(row.kind),
        target=json.loads(row.plan),
        spec=json.loads(row.spec),
        session_id=row.session_id,
        dest=Destination.from_json(json.loads(row.dest)),
        enabled=row.enabled,
        misfire=Misfire(row.missed),
        overlap=Overlap(row.overlap),
        next_fire=row.next_at,
        last_fired=row.last_at,
        created_at=row.created_at,
        **json.loads(row.parameters),
    )


# --- triggers -----------------------------------------------------------------------------------------------------
def create(connection: Connection, row: dict[str, Any]) -> bool:
    """Insert the trigger; False when its id is there already, which is left as it is."""
    added = insert(connection, triggers).values(**row).on_conflict_do_nothing(index_elements=[triggers.c.id])
    return connection.execute(added.returning(triggers.c.id)).first() is not None


def replace(connection: Connection, row: dict[str, Any], *, moved: bool) -> bool:
    """Replace the trigger with this id; False when there is none."""
    kept = {"id", "created_at", "last_at"} | (set() if moved else {"next_at"})
    values = {name: value for name, value in row.items() if name not in kept}
    return connection.execute(update(triggers).where(triggers.c.id == row["id"]).values(**values)).rowcount == 1


def get(connection: Connection, trigger_id: str) -> Trigger | None:
    """Return the trigger with this id."""
    row = connection.execute(select(triggers).where(triggers.c.id == trigger_id)).first()
    return None if row is None else _trigger(row)


def listed(connection: Connection, session_id: str | None, kind: TriggerKind | None) -> list[Trigger]:
    """Return triggers, the oldest first."""
    query = select(triggers).order_by(triggers.c.created_at, triggers.c.id)
    if session_id is not None:
        query = query.where(triggers.c.session_id == session_id)
    if kind is not None:
        query = query.where(triggers.c.kind == kind.value)
    return [_trigger(row) for row in connection.execute(query)]


def set_enabled(connection: Connection, trigger_id: str, next_fire: float | None, *, enabled: bool) -> bool:
    """Switch a trigger on, with its next time, or off; False when there is none."""
    changed = update(triggers).where(triggers.c.id == trigger_id).values(enabled=enabled, next_at=next_fire)
    return connection.execute(changed).rowcount == 1


def remove(connection: Connection, trigger_id: str) -> bool:
    """Delete a trigger and its fires; its runs stay. False when there is none."""
    connection.execute(delete(trigger_fires).where(trigger_fires.c.trigger_id == trigger_id))
    return connection.execute(delete(triggers).where(triggers.c.id == trigger_id)).rowcount == 1


def due(connection: Connection, now: float, limit: int, channel: str) -> list[Trigger]:
    """Return enabled triggers whose time has come, the earliest first."""
    query = select(triggers).where(triggers.c.next_at <= now, *_of(channel)).order_by(triggers.c.next_at).limit(limit)
    return [_trigger(row) for row in connection.execute(query)]


def next_due(connection: Connection, channel: str) -> float | None:
    """Return the earliest time at which an enabled trigger fires."""
    return connection.execute(select(func.min(triggers.c.next_at)).where(*_of(channel))).scalar()


def _of(channel: str) -> tuple[ColumnElement[bool], ...]:
    enabled = triggers.c.enabled == true()
    return (enabled, triggers.c.session_id.startswith(f"{channel}:", autoescape=True)) if channel else (enabled,)


# --- fires --------------------------------------------------------------------------------------------------------
def fire_row(fire: Fire) -> dict[str, Any]:
    """Return a fire as a row, but for its times."""
    return {
        "trigger_id": fire.trigger_id,
        "key": plain(fire.key),
        "status": fire.status.value,
        "error": plain(fire.subject),
        "due_at": fire.due_at,
    }


def _fire(row: Row[Any]) -> Fire:
    status = getattr(row, "run_status", None)
    return Fire(
        trigger_id=row.trigger_id,
        key=row.key,
        due_at=row.due_at,
        status=FireStatus(row.status),
        subject=row.error,
        id=row.id,
        run_id=row.run_id,
        run_status=Status(status) if status else None,
        fired_at=row.fired_at,
    )


def fire(
    connection: Connection,
    row: dict[str, Any],
    effect: Effect,
    moved: tuple[float, float | None] | None,
    now: float,
) -> tuple[Fire, Run | None] | None:
    """Record a fire with what it leads to; None, and nothing written, when it must not be.

    `moved` is the scheduled time that fires and the one after it: a trigger that stands elsewhere by now (another
    process fired it, a person paused it) does not fire.
    """
    trigger = connection.execute(select(triggers).where(triggers.c.id == row["trigger_id"]).with_for_update()).first()
    if trigger is None or (moved is not None and (not trigger.enabled or trigger.next_at != moved[0])):
        return None
    status = _status(connection, trigger, row["status"])
    values = {**row, "status": status.value, "fired_at": now}
    added = insert(connection, trigger_fires).values(**values)
    fields = [trigger_fires.c.trigger_id, trigger_fires.c.key]
    known = connection.execute(added.on_conflict_do_nothing(index_elements=fields).returning(*trigger_fires.c)).first()
    if moved is not None:
        _move(connection, trigger.id, moved[1])
    if known is None:
        return None
    if status in {FireStatus.STARTED, FireStatus.TOLD, FireStatus.PENDING}:
        connection.execute(update(triggers).where(triggers.c.id == trigger.id).values(last_at=now))
    made, opened = _led_to(connection, _fire(known), effect, now)
    detail = {"id": made.id, "trigger": trigger.id, "trigger_kind": trigger.kind, "status": made.status.value}
    detail["run_id"] = opened.id if opened is not None else None
    audit.note(connection, "fire", trigger.session_id, detail, now, digests={"key": audit.digest(made.key)})
    return made, opened


def _move(connection: Connection, trigger_id: str, next_fire: float | None) -> None:
    ended = {} if next_fire is not None else {"enabled": False}
    connection.execute(update(triggers).where(triggers.c.id == trigger_id).values(next_at=next_fire, **ended))


def _status(connection: Connection, trigger: Row[Any], wanted: str) -> FireStatus:
    status = FireStatus(wanted)
    if status not in {FireStatus.STARTED, FireStatus.PENDING} or trigger.overlap == Overlap.ALLOW:
        return status
    if not connection.execute(select(_busy(trigger.id))).scalar():
        return status
    return FireStatus.SKIPPED if trigger.overlap == Overlap.SKIP else FireStatus.WAITING


def _busy(trigger_id: str) -> ColumnElement[bool]:
    """True while a run of the trigger is unfinished, or a fire has yet to become one."""
    unfinished = and_(trigger_fires.c.run_id == runs.c.id, runs.c.status.not_in(ENDED))
    underway = exists(select(1).where(trigger_fires.c.trigger_id == trigger_id, unfinished))
    pending = trigger_fires.c.status.in_([FireStatus.PENDING.value, FireStatus.WAITING.value])
    return underway | exists(select(1).where(trigger_fires.c.trigger_id == trigger_id, pending))


def _led_to(connection: Connection, made: Fire, effect: Effect, now: float) -> tuple[Fire, Run | None]:
    run, message = effect
    if message is not None and made.status is FireStatus.TOLD:
        outbox.post(connection, message, now)
    if run is None or made.status is not FireStatus.STARTED:
        return made, None
    opened = run_rows.open_(connection, run, now)
    settle(connection, made.id, FireStatus.STARTED, opened.id, made.subject)
    _note_first(connection, made.key, opened)
    return made, opened


def _note_first(connection: Connection, key: str, opened: Run) -> None:
    """Note at an event the first run that it led to."""
    if key.startswith(OF_EVENT):
        events.led_to(connection, key.removeprefix(OF_EVENT), opened.id)


def settle(connection: Connection, fire_id: int, status: FireStatus, run_id: int | None, subject: str) -> None:
    """Note what a fire has led to."""
    told = {"status": status.value, "run_id": run_id, "error": plain(subject)}
    connection.execute(update(trigger_fires).where(trigger_fires.c.id == fire_id).values(**told))


def start_waiting(connection: Connection, fire_id: int, run: Run | None, now: float) -> tuple[Fire, Run | None] | None:
    """Let a waiting fire begin, with its run or (None) as a pending one; None while it has to wait."""
    row = connection.execute(select(trigger_fires).where(trigger_fires.c.id == fire_id).with_for_update()).first()
    if row is None or row.status != FireStatus.WAITING:
        return None
    standing = select(triggers.c.overlap).where(triggers.c.id == row.trigger_id).with_for_update()
    policy = connection.execute(standing).scalar()
    if policy != Overlap.ALLOW and connection.execute(select(_ahead(row))).scalar():
        return None
    status = FireStatus.STARTED if run is not None else FireStatus.PENDING
    opened = run_rows.open_(connection, run, now) if run is not None else None
    settle(connection, fire_id, status, opened.id if opened else None, row.error)
    if opened is not None:
        _note_first(connection, row.key, opened)
    connection.execute(update(triggers).where(triggers.c.id == row.trigger_id).values(last_at=now))
    return _fire(row), opened


def _ahead(row: Row[Any]) -> ColumnElement[bool]:
    """True while a run of the trigger is unfinished, or an earlier fire of it waits."""
    same = trigger_fires.c.trigger_id == row.trigger_id
    unfinished = and_(trigger_fires.c.run_id == runs.c.id, runs.c.status.not_in(ENDED))
    earlier = and_(
        trigger_fires.c.id < row.id,
        trigger_fires.c.status.in_([FireStatus.PENDING.value, FireStatus.WAITING.value]),
    )
    return exists(select(1).where(same, unfinished)) | exists(select(1).where(same, earlier))


def unsettled(connection: Connection, status: FireStatus, limit: int) -> list[Fire]:
    """Return fires that wait, or pipelines that are to be started; the oldest first."""
    wanted = trigger_fires.c.status == status.value
    query = select(trigger_fires).where(wanted).order_by(trigger_fires.c.id).limit(limit)
    return [_fire(row) for row in connection.execute(query)]


def reschedule(connection: Connection, trigger_id: str, expected: float, next_fire: float | None) -> bool:
    """Move a trigger to another time without a fire; False when it stands elsewhere by now."""
    stands = (triggers.c.id == trigger_id, triggers.c.next_at == expected, triggers.c.enabled != false())
    ended = {} if next_fire is not None else {"enabled": False}
    return connection.execute(update(triggers).where(*stands).values(next_at=next_fire, **ended)).rowcount == 1


def fires_of(connection: Connection, trigger_id: str, limit: int) -> list[Fire]:
    """Return a trigger's newest fires with the status of their runs, newest first."""
    joined = trigger_fires.outerjoin(runs, trigger_fires.c.run_id == runs.c.id)
    query = (
        select(trigger_fires, runs.c.status.label("run_status"))
        .select_from(joined)
        .where(trigger_fires.c.trigger_id == trigger_id)
        .order_by(trigger_fires.c.id.desc())
        .limit(limit)
    )
    return [_fire(row) for row in connection.execute(query)]


def fires_with(connection: Connection, key: str) -> list[Fire]:
    """Return the fires of all triggers for one key, oldest first."""
    joined = trigger_fires.outerjoin(runs, trigger_fires.c.run_id == runs.c.id)
    query = select(trigger_fires, runs.c.status.label("run_status")).select_from(joined)
    of_any = trigger_fires.c.trigger_id.in_(select(triggers.c.id))  # the index begins with the trigger
    ordered = query.where(of_any, trigger_fires.c.key == key).order_by(trigger_fires.c.id)
    return [_fire(row) for row in connection.execute(ordered)]


def fired_keys(connection: Connection, trigger_id: str, keys: Sequence[str]) -> set[str]:
    """Return those of the keys that have fired."""
    found: set[str] = set()
    for first in range(0, len(keys), AT_ONCE):
        known = (trigger_fires.c.trigger_id == trigger_id, trigger_fires.c.key.in_(keys[first : first + AT_ONCE]))
        found.update(connection.execute(select(trigger_fires.c.key).where(*known)).scalars())
    return found
