"""Sessions, files and their labels, the ledger, and small durable values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, false, func, select, true, update
from sqlalchemy import insert as plain_insert

from agent.store.dialect import insert
from agent.store.rows import artifact as read_artifact
from agent.store.rows import dump_provenance, load_provenance, plain
from agent.store.tables import artifacts, ledger, sessions, values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from agent.domain.artifacts import Artifact
    from agent.domain.ledger import Usage
    from agent.domain.provenance import Provenance


def touch_session(connection: Connection, session_id: str, folder: str, dest: str, now: float) -> None:
    """Create or refresh the session's row."""
    seen = {"folder": folder, "dest": dest, "seen_at": now}
    connection.execute(
        insert(connection, sessions)
        .values(id=session_id, created_at=now, **seen)
        .on_conflict_do_update(index_elements=[sessions.c.id], set_=seen),
    )


def all_sessions(connection: Connection) -> list[dict[str, Any]]:
    """Return every session, oldest first."""
    rows = connection.execute(select(sessions).order_by(sessions.c.created_at, sessions.c.id))
    return [
        {
            "id": row.id,
            "folder": Path(row.folder),
            "dest": json.loads(row.dest),
            "created_at": row.created_at,
            "seen_at": row.seen_at,
        }
        for row in rows
    ]


def artifact_rows(
    session_id: str,
    run_id: int | None,
    step_id: str,
    files: Sequence[Artifact],
    now: float,
) -> list[dict[str, Any]]:
    """Return files as rows; of one path only the last is current."""
    newest = {file.path: i for i, file in enumerate(files)}
    return [
        {
            "session_id": session_id,
            "run_id": run_id,
            "step_id": step_id,
            "path": plain(file.path),
            "size": file.size,
            "sha256": file.sha256,
            "mime": file.mime,
            "title": plain(file.title),
            "provenance": dump_provenance(file.provenance),
            "current": newest[file.path] == i,
            "created_at": now,
        }
        for i, file in enumerate(files)
    ]


def add_artifacts(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Record files; what was known of the same paths is history from now on."""
    if not rows:
        return
    former = (
        artifacts.c.session_id == bindparam("of_session"),
        artifacts.c.current == true(),
        artifacts.c.path == bindparam("of_path"),
    )
    named = [{"of_session": row["session_id"], "of_path": row["path"]} for row in rows]
    connection.execute(update(artifacts).where(*former).values(current=false()), named)
    connection.execute(plain_insert(artifacts), rows)


def artifacts_of(connection: Connection, run_id: int) -> list[Artifact]:
    """Return the files that the run's steps made, in order."""
    query = select(artifacts).where(artifacts.c.run_id == run_id).order_by(artifacts.c.id)
    return [read_artifact(row) for row in connection.execute(query)]


def labels(connection: Connection, session_id: str) -> dict[str, Provenance]:
    """Return path → provenance of every labelled file of the session."""
    current = (artifacts.c.session_id == session_id, artifacts.c.current == true())
    rows = connection.execute(select(artifacts.c.path, artifacts.c.provenance).where(*current))
    return {row.path: load_provenance(row.provenance) for row in rows}


def usage_rows(
    session_id: str,
    run_id: int | None,
    step_id: str,
    usage: Sequence[Usage],
    now: float,
) -> list[dict[str, Any]]:
    """Return what was used as rows."""
    return [
        {
            "session_id": session_id,
            "run_id": run_id,
            "step_id": step_id,
            "kind": used.kind,
            "model": used.model,
            "prompt_tokens": used.prompt_tokens,
            "completion_tokens": used.completion_tokens,
            "money": used.money,
            "estimated": used.estimated,
            "at": now,
        }
        for used in usage
    ]


def spend(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Append to the ledger."""
    if rows:
        connection.execute(plain_insert(ledger), rows)


def spent(connection: Connection, run_id: int | None, session_id: str | None, since: float) -> dict[str, float]:
    """Return the sums of the ledger; a price that is unknown counts as no money and as an unpriced call."""
    query = select(
        func.coalesce(func.sum(ledger.c.money), 0.0).label("money"),
        func.coalesce(func.sum(ledger.c.prompt_tokens), 0).label("prompt_tokens"),
        func.coalesce(func.sum(ledger.c.completion_tokens), 0).label("completion_tokens"),
        func.count(ledger.c.id).label("calls"),
        (func.count(ledger.c.id) - func.count(ledger.c.money)).label("unpriced_calls"),
    )
    if since:
        query = query.where(ledger.c.at >= since)
    if run_id is not None:
        query = query.where(ledger.c.run_id == run_id)
    if session_id is not None:
        query = query.where(ledger.c.session_id == session_id)
    return connection.execute(query).one()._asdict()


def get_value(connection: Connection, key: str) -> str | None:
    """Return a small durable value."""
    return connection.execute(select(values.c.value).where(values.c.key == key)).scalar_one_or_none()


def first_value(connection: Connection, key: str, value: str) -> str:
    """Set a small durable value unless there is one; return what there is."""
    connection.execute(insert(connection, values).values(key=key, value=value).on_conflict_do_nothing())
    found: str = connection.execute(select(values.c.value).where(values.c.key == key)).scalar_one()
    return found


def set_value(connection: Connection, key: str, value: str) -> None:
    """Set a small durable value."""
    connection.execute(
        insert(connection, values)
        .values(key=key, value=value)
        .on_conflict_do_update(index_elements=[values.c.key], set_={"value": value}),
    )
