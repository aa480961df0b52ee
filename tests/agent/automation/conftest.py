"""A bot whose clock the test moves, and triggers to fire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from agent.automation.scheduler import AutomationScheduler
from agent.domain.messages import Destination
from agent.domain.trigger import Trigger, TriggerKind
from agent.store.sql import SqlStore
from agent.testing import Bot
from plugins.api import tool

DEST = Destination("test", "1")
START = 1_790_000_000.0


@tool
def say(text: str) -> str:
    """Return the text."""
    return text


class TravelClock:
    """A clock that jumps to where the scheduler would sleep, as far as `limit`; there it stands."""

    def __init__(self) -> None:
        self.now = START
        self.limit = START
        self.arrived = asyncio.Event()

    def __call__(self) -> float:
        return self.now

    async def wait(self, changed: asyncio.Event, seconds: float) -> None:
        if self.now + seconds <= self.limit:
            self.now += seconds
            return
        self.now = self.limit
        self.arrived.set()
        await changed.wait()

    async def travel(self, automation: AutomationScheduler, seconds: float) -> None:
        """Let the scheduler live through some time."""
        self.limit = self.now + seconds
        self.arrived.clear()
        automation.changed()
        async with asyncio.timeout(100):
            await self.arrived.wait()


@pytest.fixture
def clock() -> TravelClock:
    return TravelClock()


@pytest.fixture
async def bot(tmp_path: Path, clock: TravelClock) -> AsyncIterator[Bot]:
    async with Bot(tmp_path / "home", [say], offline=True) as made:
        yield made


@pytest.fixture
async def store(tmp_path: Path, clock: TravelClock) -> AsyncIterator[SqlStore]:
    opened = SqlStore(tmp_path / "journal.db", clock=clock)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def automation(bot: Bot, store: SqlStore, clock: TravelClock) -> AutomationScheduler:
    """A scheduler on a journal of its own, whose clock the test moves; runs are opened, but not carried out."""
    return AutomationScheduler(store, Desk(bot), clock, wait=clock.wait, longest_sleep=1e12)


class Desk:
    """Stands in for the orchestrator: notes what is submitted."""

    def __init__(self, bot: Bot) -> None:
        self.sessions = bot.app.orchestrator.sessions
        self.when_finished: list[Callable[[int], None]] = []
        self.when_published: list[Callable[[], None]] = []
        self.submitted: list[Any] = []
        self.news = asyncio.Event()

    def submit(self, run: Any) -> None:
        self.submitted.append(run)
        self.news.set()


@pytest.fixture
def a_desk(bot: Bot) -> Callable[[], Desk]:
    return lambda: Desk(bot)


@pytest.fixture
def a_trigger() -> Callable[..., Trigger]:
    def make(spec: dict[str, Any], **fields: Any) -> Trigger:
        given = {
            "id": "t1",
            "name": "a schedule",
            "kind": TriggerKind.SCHEDULE,
            "target": {"notice": "hello"},
            "session_id": DEST.session_id,
            "dest": DEST,
            "spec": spec,
        }
        return Trigger(**{**given, **fields})

    return make
