"""The engine's port: submit a run, have it worked on, cancel it. Nothing else knows which engine is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

Work = Callable[[int], Awaitable[None]]


class Engine(Protocol):
    """Works on runs by priority, one of a line at a time, and limits how many run at once.

    Higher priorities come first, older runs first within a priority; a run that waits long enough overtakes those,
    so nothing starves.
    """

    async def start(self, work: Work) -> None:
        """Begin to call `work(run_id)` for what was submitted. Work ends early and cheaply when a run waits."""

    def submit(
        self,
        run_id: int,
        *,
        session_id: str,
        user_id: str = "",
        priority: int = 5,
        line: str = "",
        since: float = 0.0,
    ) -> None:
        """Have the run worked on. Submitting one that is being worked on has it worked on once more afterwards.

        Runs of one `line` are worked on one at a time; within it the order is the same. By default the line is the
        session's, in which only age counts, as in a conversation. `since` is when the run was opened, in seconds since
        1970 (0 for now).
        """

    async def cancel(self, run_id: int) -> bool:
        """Stop working on the run and return when that has ended; False when it was not being worked on."""

    async def idle(self) -> None:
        """Return when nothing is queued or worked on."""

    async def stop(self) -> None:
        """End all work (runs stay unfinished in the journal) and return when it has ended."""
