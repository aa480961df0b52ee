"""Events, once each, until something has been done about them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from agent.domain.event import Event
from agent.store.dialect import insert
from agent.store.rows import dump, dump_provenance, load_provenance, plain
from agent.store.tables import events

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row


def event_row(event: Event, now: float) -> dict[str, Any]:
    """Return an event as a row. Raises TypeError when its payload is no JSON."""
    return {
        "key": plain(event.key),
        "type": plain(event.type),
        "project": plain(event.project),
        "payload": dump({"source": event.source, "at": event.at or now, "data": event.payload}),
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
    )


def publish(connection: Connection, row: dict[str, Any]) -> Event | None:
    """Insert an event; None when one with its key is there already."""
    added = insert(connection, events).values(**row).on_conflict_do_nothing(index_elements=[events.c.key])
    made = connection.execute(added.returning(*events.c)).first()
    return None if made is None else _event(made)


def listed(connection: Connection, status: str, limit: int) -> list[Event]:
    """Return events with a status, oldest first."""
    query = select(events).where(events.c.status == status).order_by(events.c.id).limit(limit)
    return [_event(row) for row in connection.execute(query)]


def settle(connection: Connection, event_id: int, status: str, error: str, now: float) -> None:
    """Note what became of an event."""
    told = {"status": status, "error": plain(error), "handled_at": now}
    connection.execute(update(events).where(events.c.id == event_id).values(**told))


def by_key(connection: Connection, key: str) -> Event | None:
    """Return the event with this key."""
    row = connection.execute(select(events).where(events.c.key == key)).first()
    return None if row is None else _event(row)
