"""Events, once each, until something has been done about them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, true, update

from agent.domain.event import Event
from agent.store import audit
from agent.store.dialect import insert
from agent.store.rows import dump, dump_provenance, load_provenance, plain
from agent.store.tables import events, projects

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

NEW, HANDLED, DEAD = STATUSES = ("new", "handled", "dead")


def event_row(event: Event, now: float) -> dict[str, Any]:
    """Return an event as a row. Raises TypeError when its payload is no JSON."""
    return {
        "key": plain(event.key),
        "type": plain(event.type),
        "project": plain(event.project),
        "payload": dump({"source": event.source, "at": event.at or now, "data": event.payload, "hops": event.hops}),
        "provenance": dump_provenance(event.label),
        "priority": event.priority,
        "status": event.status,
        "received_at": now,
    }


def _event(row: Row[Any]) -> Event:
    kept = json.loads(row.payload)
    return Event(
        type=row.type,
        source=kept["source"],
        key=row.key,
        payload=kept["data"],
        at=kept["at"],
        project=row.project,
        priority=row.priority,
        provenance=load_provenance(row.provenance),
        id=row.id,
        status=row.status,
        run_id=row.run_id,
        error=row.error,
        received_at=row.received_at,
        hops=kept.get("hops", 0),
    )


def publish(connection: Connection, row: dict[str, Any]) -> Event | None:
    """Insert an event; None when one with its key is there already."""
    added = insert(connection, events).values(**row).on_conflict_do_nothing(index_elements=[events.c.key])
    made = connection.execute(added.returning(*events.c)).first()
    if made is None:
        return None
    event = _event(made)
    detail = {"id": event.id, "type": event.type, "source": event.source, "project": event.project}
    detail["trusted"] = event.label.trusted
    said = {"key": audit.digest(event.key), "said": audit.digest(made.payload)}
    audit.note(connection, "event", made.session_id, detail, made.received_at, digests=said)
    return event


def listed(connection: Connection, status: str, limit: int, project: str | None) -> list[Event]:
    """Return events with a status, oldest first; new ones of a paused project only when it is asked for."""
    query = select(events).where(events.c.status == status).order_by(events.c.id).limit(limit)
    if project is not None:
        query = query.where(events.c.project == project)
    elif status == NEW:
        paused = select(projects.c.name).where(projects.c.paused == true())
        query = query.where(events.c.project.not_in(paused))
    return [_event(row) for row in connection.execute(query)]


def newest(connection: Connection, limit: int, status: str, project: str, before: int) -> list[Event]:
    """Return events (with a status, of a project, older than the one with an id), newest first."""
    query = select(events).order_by(events.c.id.desc()).limit(limit)
    if status:
        query = query.where(events.c.status == status)
    if project:
        query = query.where(events.c.project == project)
    if before:
        query = query.where(events.c.id < before)
    return [_event(row) for row in connection.execute(query)]


def numbered(connection: Connection, event_id: int) -> Event | None:
    """Return the event with this id."""
    row = connection.execute(select(events).where(events.c.id == event_id)).first()
    return None if row is None else _event(row)


def requeue(connection: Connection, event_id: int) -> bool:
    """Make a dead event new again; False when it is not dead."""
    dead = (events.c.id == event_id, events.c.status == DEAD)
    fresh = {"status": NEW, "error": "", "handled_at": None}
    return connection.execute(update(events).where(*dead).values(**fresh)).rowcount == 1


def counted(connection: Connection, project: str) -> dict[str, int]:
    """Return how many events of a project stand in each status."""
    of_project = (events.c.status.in_(STATUSES), events.c.project == project)  # the index begins with the status
    rows = connection.execute(
        select(events.c.status, func.count().label("number")).where(*of_project).group_by(events.c.status)
    )
    return {row.status: row.number for row in rows}


def settle(connection: Connection, event_id: int, status: str, error: str, now: float) -> None:
    """Note what became of an event."""
    told = {"status": status, "error": plain(error), "handled_at": now}
    connection.execute(update(events).where(events.c.id == event_id).values(**told))


def led_to(connection: Connection, key: str, run_id: int) -> None:
    """Note the first run that an event has led to."""
    unnoted = (events.c.key == key, events.c.run_id.is_(None))
    connection.execute(update(events).where(*unnoted).values(run_id=run_id))


def by_key(connection: Connection, key: str) -> Event | None:
    """Return the event with this key."""
    row = connection.execute(select(events).where(events.c.key == key)).first()
    return None if row is None else _event(row)
