"""Which calls of a run are put to the person together: those that are ready to be asked about at the same time.

A call joins whatever is being gathered; the first one leads, and posts the message for all. It waits only while a step
is on its way to being asked about, and never longer than `TOGETHER_SECONDS`. Nothing of it needs to survive: each call
is a row before the message is posted, and a run that is taken up again shows every row that is open.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from agent.execution.together import new_id, numbered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOGETHER_SECONDS = 0.3


def _nothing() -> bool:
    """Nothing else is about to start."""
    return False


class Gathering:
    """Of one drive of a run. `starting()` says whether a step is about to start."""

    def __init__(self) -> None:
        self.starting: Callable[[], bool] = _nothing
        self._on_the_way: set[str] = set()
        self._first = ""
        self._joined = 0
        self._moved = asyncio.Event()

    @contextlib.contextmanager
    def on_the_way(self, step_id: str) -> Iterator[None]:
        """Count a step as one that may be about to ask, until it asks, begins its work, or ends."""
        self._on_the_way.add(step_id)
        try:
            yield
        finally:
            self.past(step_id)

    def past(self, step_id: str) -> None:
        """Note that a step asks nothing more before its work."""
        self._on_the_way.discard(step_id)
        self._moved.set()

    def join(self, step_id: str) -> tuple[str, bool]:
        """Return the id for a step's call, and whether it leads: the others are shown by the one that does."""
        self.past(step_id)
        leads = not self._first
        if leads:
            self._first, self._joined = new_id(), 0
        else:
            self._joined += 1
        return numbered(self._first, self._joined), leads

    def is_open(self, approval_id: str) -> bool:
        """Say whether the calls that this one has joined are still being gathered."""
        return bool(self._first) and approval_id.startswith(self._first)

    @property
    def more(self) -> bool:
        """Whether another call may join in a moment."""
        return bool(self._on_the_way) or self.starting()

    def close(self) -> None:
        """Let nothing more join; the next call leads anew."""
        self._first = ""

    async def complete(self) -> None:
        """Wait until nothing more is about to join, and close."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TOGETHER_SECONDS):
                while self.more:
                    self._moved.clear()
                    await self._moved.wait()
        self.close()
