"""The contract suite's journals: every implementation passes the same tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.domain.messages import Destination, InboundMessage, MessageKind, OutboundMessage
from agent.domain.plan import PlanStep
from agent.domain.provenance import USER
from agent.domain.run import Run, StepChange
from agent.domain.states import Status
from agent.store.dialect import engine_of, url_of
from agent.store.sql import SqlStore
from agent.testing.postgres import PostgresServer, binaries

DEST = Destination("telegram", "4711")


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    if binaries() is None:
        pytest.skip("PostgreSQL's programs are not installed (apt-get install postgresql)")
    with PostgresServer.start() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty journal, of each kind in turn."""
    if request.param == "sqlite":
        return str(tmp_path / "journal.db")
    return request.getfixturevalue("postgres").new_database()


@pytest.fixture
def execute(journal: str) -> Callable[..., list[tuple[Any, ...]]]:
    """Carry out a statement behind the journal's back and return its rows."""

    def carry_out(statement: str) -> list[tuple[Any, ...]]:
        engine = engine_of(url_of(journal))
        try:
            with engine.begin() as connection:
                found = connection.exec_driver_sql(statement)
                return [tuple(row) for row in found] if found.returns_rows else []
        finally:
            engine.dispose()

    return carry_out


@pytest.fixture
async def store(journal: str, clock: Clock) -> AsyncIterator[SqlStore]:
    store = SqlStore(journal, clock=clock)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def message() -> Callable[..., InboundMessage]:
    def make(update_id: str = "1", text: str = "hi", **fields: object) -> InboundMessage:
        return InboundMessage("telegram", update_id, DEST, "7", text=text, **fields)

    return make


@pytest.fixture
def notice() -> Callable[..., OutboundMessage]:
    def make(key: str = "k", text: str = "hello", **fields: object) -> OutboundMessage:
        return OutboundMessage(DEST, MessageKind.NOTICE, key, {"text": text}, **fields)

    return make


@pytest.fixture
def new_run(store: SqlStore) -> Callable[..., Awaitable[Run]]:
    """Open a run that this test owns and that is RUNNING."""

    async def make(*step_ids: str, status: Status = Status.RUNNING, **fields: object) -> Run:
        run = await store.open_run(Run(**{"session_id": DEST.session_id, "request": "do it", "dest": DEST, **fields}))
        leased = await store.lease_run(run.id, "me", 60)
        for to in (Status.READY, Status.RUNNING)[: [Status.PENDING, Status.READY, Status.RUNNING].index(status)]:
            await store.change_run(run.id, leased.epoch, status=to)
        await store.add_steps(run.id, leased.epoch, [PlanStep(id=name, tool="noop") for name in step_ids], USER)
        return await store.get_run(run.id)

    return make


@pytest.fixture
def goes(store: SqlStore) -> Callable[..., Awaitable[None]]:
    """Lead a step through states, the last of them with fields."""

    async def go(run: Run, step_id: str, *states: Status, **fields: object) -> None:
        for state in states[:-1]:
            await store.change_step(StepChange(run.id, step_id, state, run.epoch))
        await store.change_step(StepChange(run.id, step_id, states[-1], run.epoch, **fields))

    return go
