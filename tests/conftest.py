"""Fixtures that every test may use."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from agent.testing import Bot, engines
from agent.testing.postgres import PostgresServer, binaries
from plugins.api import ToolFailure, tool

settings.register_profile("busy", settings(deadline=None, suppress_health_check=[HealthCheck.too_slow]))
settings.load_profile("busy")  # a busy machine is no fault


@tool
def echo(text: str) -> str:
    """Return the text."""
    return text


@tool
def boom(text: str = "It broke.") -> str:
    """Fail."""
    raise ToolFailure(text)


@tool
def note(name: str, text: str = "x") -> str:
    """Write a file."""
    Path(name).write_text(text)
    return name


@tool(effect="once")
def send(to: str, text: str) -> str:
    """Send a message."""
    with Path("sent.log").open("a") as log:
        log.write(f"{to}: {text}\n")
    return f"sent to {to}"


@pytest.fixture(scope="session", autouse=True)
def database(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where stories are told on workers, have the database there for whatever process they start."""
    if engines.on_workers():
        engines.database_of(tmp_path_factory.mktemp("first"))


@pytest.fixture(autouse=True)
def no_plan_without_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the planner may take seconds: tests count messages, so the plan waits for its first step."""
    monkeypatch.setattr("agent.execution.live.SHOW_AFTER", 120.0)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer | None]:
    """A PostgreSQL of the module's own, None where there is none on this machine."""
    if binaries() is None:
        yield None
        return
    with PostgresServer.start() as started:
        yield started


@pytest.fixture
def tools() -> list[Callable[..., str]]:
    """The four tools above."""
    return [echo, boom, note, send]


@pytest.fixture
async def bot(tmp_path: Path, tools: list[Callable[..., str]]) -> AsyncIterator[Bot]:
    """A bot with a scripted model and these tools."""
    async with Bot(tmp_path / "home", tools) as made:
        yield made
