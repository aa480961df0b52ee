"""Pages as things go on, sent as server-sent events: each holds a piece of the page, made here."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.web.admin import views
from agent.web.admin.rendering import fragment

if TYPE_CHECKING:
    from agent.domain.run import Run
    from agent.web.admin.entry import Visit
    from agent.web.admin.house import House

Look = Callable[[], Awaitable[tuple[dict[str, str], bool]]]
"""Returns the pieces of a page by name, and whether nothing will change any more."""
LOOK_SECONDS = 0.5
SIGN_OF_LIFE_SECONDS = 15.0
MOST_EACH, MOST = 6, 16
PARTS = {"panel": "_panel.html", "waits": "_waits.html"}


@dataclass(slots=True)
class Streams:
    """How many pages are kept up to date, in all and for each visit; each holds one of the server's connections."""

    open: Counter[str] = field(default_factory=Counter)

    def may_begin(self, key: str) -> bool:
        """Say whether one more is allowed."""
        return self.open[key] < MOST_EACH and self.open.total() < MOST

    @contextlib.contextmanager
    def one(self, key: str) -> Iterator[None]:
        """Count one more while the block runs."""
        self.open[key] += 1
        try:
            yield
        finally:
            self.open[key] -= 1
            if not self.open[key]:
                del self.open[key]


async def follow(look: Look, gone: Callable[[], Awaitable[bool]]) -> AsyncIterator[str]:
    """Yield the pieces that have changed, until nothing will any more or the reader has gone."""
    sent: dict[str, str] = {}
    quiet = 0.0
    while not await gone():
        made, over = await look()
        fresh = {name: text for name, text in made.items() if sent.get(name) != text}
        sent |= fresh
        for name, text in fresh.items():
            yield event(name, text)
        if over:
            yield event("over", "")
            return
        quiet = 0.0 if fresh else quiet + LOOK_SECONDS
        if quiet >= SIGN_OF_LIFE_SECONDS:
            quiet = 0.0
            yield ": still here\n\n"
        await asyncio.sleep(LOOK_SECONDS)


async def of_run(house: House, visit: Visit, run: Run) -> dict[str, str]:
    """Return the pieces of a run's page."""
    shown = await views.run_view(house.rooms, run)
    return {name: fragment(template, csrf=visit.csrf, **shown) for name, template in PARTS.items()}


async def of_all(house: House, visit: Visit) -> dict[str, str]:
    """Return the pieces of the overview and of what waits."""
    store = house.rooms.store
    backlog = await store.backlog()
    waiting = backlog.approvals + backlog.questions
    groups = await views.all_groups(house.rooms) if waiting else []
    return {
        "count": str(waiting or ""),
        "newest": fragment("_runs.html", runs=await store.recent_runs(limit=8)),
        "asked": fragment("_asked.html", groups=groups, csrf=visit.csrf),
    }


def event(name: str, text: str) -> str:
    """Return a server-sent event."""
    lines = "".join(f"data: {line}\n" for line in text.split("\n"))
    return f"event: {name}\n{lines}\n"
