"""The engine's port: submit a run, have it worked on, cancel it. Nothing else knows which engine is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

Work = Callable[[int], Awaitable[None]]
Hears = Callable[[str, int], None]
"""Takes what another process has told, and of which run (0: of none)."""

ALL = ""
"""Told when something may have been missed: whoever waits for anything should look for himself."""


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """A living worker: its process (`host/pid/start`), how many runs it may have at work, how many it has."""

    name: str
    slots: int
    at_work: int


@dataclass(frozen=True, slots=True)
class Load:
    """How many runs wait for their turn, how many are at work, and who works; no workers where this process works."""

    waiting: int = 0
    at_work: int = 0
    workers: tuple[WorkerSeen, ...] = ()


class Engine(Protocol):
    """Works on runs by priority, one of a line at a time, and limits how many run at once.

    Higher priorities come first, older runs first within a priority; a run that waits long enough overtakes those,
    so nothing starves.
    """

    @property
    def elsewhere(self) -> bool:
        """Whether other processes may work on what is submitted here, and this one on what is submitted there."""

    async def start(self, work: Work, *, hears: Hears | None = None, abandoned: Work | None = None) -> None:
        """Begin to call `work(run_id)` for what was submitted. Work ends early and cheaply when a run waits.

        `hears` is called with what other processes `tell`. `abandoned(run_id)` is called, perhaps more than once,
        before a run whose worker is gone is worked on by another: its lease ends, whatever that one still does.
        """

    def submit(
        self,
        run_id: int,
        *,
        session_id: str,
        user_id: str = "",
        priority: int = 5,
        line: str = "",
        since: float = 0.0,
        at: float = 0.0,
    ) -> None:
        """Have the run worked on. Submitting one that is being worked on has it worked on once more afterwards.

        Runs of one `line` are worked on one at a time; within it the order is the same. By default the line is the
        session's, in which only age counts, as in a conversation. `since` is when the run was opened, in seconds since
        1970 (0 for now). `at` has it submitted at that time, however this process fares; only where it is worked on
        `elsewhere`.
        """

    async def cancel(self, run_id: int) -> bool:
        """Stop working on the run and return when that has ended; False when it was not being worked on."""

    def tell(self, what: str, run_id: int = 0) -> None:
        """Have every other process hear this that listens now; whoever must not miss it looks into the journal."""

    async def known(self) -> set[int]:
        """Return the runs that are queued or at work."""

    async def load(self) -> Load:
        """Return how much there is to do, and who does it."""

    async def idle(self) -> None:
        """Return when nothing is queued or worked on."""

    async def stop(self) -> None:
        """End all work (runs stay unfinished in the journal) and return when it has ended."""

    def hurry(self) -> None:
        """Have a `stop` that is under way let no run go on any longer."""
