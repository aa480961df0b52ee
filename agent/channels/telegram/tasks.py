"""Small work beside everything else, none of which is left behind at the end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

GRACE = 2.0


class Tasks:
    """Owns tasks until they end. `ending` tells those of several parts to leave the rest out."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._endless: set[asyncio.Task[None]] = set()
        self.ending = False

    def own(self, work: Coroutine[Any, Any, None], *, endless: bool = False) -> asyncio.Task[None]:
        """Start the work; `endless` work does not end by itself. At the end nothing is begun any more."""
        if self.ending:
            work.close()
            work = _nothing()
        task = asyncio.create_task(work)
        kept = self._endless if endless else self._tasks
        kept.add(task)
        task.add_done_callback(kept.discard)
        return task

    async def end(self) -> None:
        """Let what is under way finish for a moment (a call that is cut off leaves its connection); cancel the rest."""
        self.ending = True
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=GRACE)
        tasks = [*self._tasks, *self._endless]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _nothing() -> None:
    pass
