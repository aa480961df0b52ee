"""Projects, and chains of pipelines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import case, delete, false, func, select, update

from agent.domain.chain import Chain
from agent.domain.messages import Destination
from agent.domain.project import Project, ProjectStatus
from agent.store import accounts, events, outbox
from agent.store.dialect import insert
from agent.store.rows import dump, plain
from agent.store.tables import chains, projects, runs

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from agent.store.outbox import Posted


def project_row(project: Project, now: float) -> dict[str, Any]:
    """Return a project as a row."""
    return {
        "name": plain(project.name),
        "session_id": project.session_id,
        "dest": dump(project.dest.to_json()),
        "budget": project.budget,
        "warn_at": project.warn_at,
        "paused": project.paused,
        "warned": project.warned,
        "created_at": project.created_at or now,
    }


def _project(row: Row[Any]) -> Project:
    return Project(
        name=row.name,
        session_id=row.session_id,
        dest=Destination.from_json(json.loads(row.dest)),
        budget=row.budget,
        warn_at=row.warn_at,
        paused=row.paused,
        warned=row.warned,
        created_at=row.created_at,
    )


def put(connection: Connection, row: dict[str, Any]) -> Project:
    """Insert a project, or change budget, warn_at and dest of the one with its name; another budget may warn again."""
    added = insert(connection, projects).values(**row)
    same = projects.c.budget.is_not_distinct_from(added.excluded.budget)
    changed = {name: added.excluded[name] for name in ("budget", "warn_at", "dest")}
    statement = added.on_conflict_do_update(
        index_elements=[projects.c.name],
        set_={**changed, "warned": case((same, projects.c.warned), else_=false())},
    )
    return _project(connection.execute(statement.returning(*projects.c)).one())


def get(connection: Connection, name: str) -> Project | None:
    """Return a project."""
    row = connection.execute(select(projects).where(projects.c.name == name)).first()
    return None if row is None else _project(row)


def listed(connection: Connection) -> list[Project]:
    """Return every project, oldest first."""
    return [_project(row) for row in connection.execute(select(projects).order_by(projects.c.created_at, "name"))]


def set_paused(connection: Connection, name: str, *, paused: bool) -> bool:
    """Pause a project or let it go on; False when there is none."""
    changed = update(projects).where(projects.c.name == name).values(paused=paused)
    return connection.execute(changed).rowcount == 1


def warn(connection: Connection, name: str, message: Posted, now: float) -> bool:
    """Note that the warning was given and post it; False when it was given before."""
    due = (projects.c.name == name, projects.c.warned == false())
    if connection.execute(update(projects).where(*due).values(warned=True)).rowcount != 1:
        return False
    outbox.post(connection, message, now)
    return True


def status(connection: Connection, name: str) -> ProjectStatus | None:
    """Return a project with its balance, its runs and its events."""
    project = get(connection, name)
    if project is None:
        return None
    counted = select(runs.c.status, func.count().label("number")).where(runs.c.project == name).group_by(runs.c.status)
    by_status = {row.status: row.number for row in connection.execute(counted)}
    balance = accounts.balance(connection, f"project:{name}")
    return ProjectStatus(project, balance, by_status, events.counted(connection, name))


# --- chains -------------------------------------------------------------------------------------------------------
def chain_row(chain: Chain, now: float) -> dict[str, Any]:
    """Return a chain as a row."""
    return {
        "id": chain.id,
        "name": plain(chain.name),
        "workflows": dump(chain.workflows),
        "session_id": chain.session_id,
        "created_at": chain.created_at or now,
    }


def _chain(row: Row[Any]) -> Chain:
    return Chain(row.id, row.name, tuple(json.loads(row.workflows)), row.session_id, row.created_at)


def create_chain(connection: Connection, row: dict[str, Any]) -> bool:
    """Insert a chain; False when its id or its name is there already."""
    added = insert(connection, chains).values(**row).on_conflict_do_nothing()
    return connection.execute(added.returning(chains.c.id)).first() is not None


def chain(connection: Connection, name: str) -> Chain | None:
    """Return the chain with this id, else the one with this name."""
    wanted = select(chains).where((chains.c.id == name) | (chains.c.name == name))
    row = connection.execute(wanted.order_by((chains.c.id == name).desc()).limit(1)).first()
    return None if row is None else _chain(row)


def all_chains(connection: Connection) -> list[Chain]:
    """Return every chain, oldest first."""
    return [_chain(row) for row in connection.execute(select(chains).order_by(chains.c.created_at, chains.c.id))]


def delete_chain(connection: Connection, chain_id: str) -> bool:
    """Delete a chain; its runs stay. False when there is none."""
    return connection.execute(delete(chains).where(chains.c.id == chain_id)).rowcount == 1
