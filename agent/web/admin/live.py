"""A run as it goes, sent to the page as server-sent events: each holds a piece of the page, made here."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agent.domain.states import FINAL
from agent.web.admin import views
from agent.web.admin.rendering import fragment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from agent.web.admin.entry import Visit
    from agent.web.admin.house import House

LOOK_SECONDS = 0.5
SIGN_OF_LIFE_SECONDS = 15.0
PARTS = {"panel": "_panel.html", "waits": "_waits.html"}


async def follow(house: House, visit: Visit, run_id: int, gone: Callable[[], Awaitable[bool]]) -> AsyncIterator[str]:
    """Yield the parts of a run's page that have changed, until the run is over or the reader has gone."""
    sent: dict[str, str] = {}
    quiet = 0.0
    while not await gone():
        shown = await views.run_view(house.rooms.store, await house.rooms.store.get_run(run_id))
        made = {name: fragment(template, csrf=visit.csrf, **shown) for name, template in PARTS.items()}
        fresh = {name: text for name, text in made.items() if sent.get(name) != text}
        sent |= fresh
        for name, text in fresh.items():
            yield event(name, text)
        if shown["run"].status in FINAL:
            yield event("over", "")
            return
        quiet = 0.0 if fresh else quiet + LOOK_SECONDS
        if quiet >= SIGN_OF_LIFE_SECONDS:
            quiet = 0.0
            yield ": still here\n\n"
        await asyncio.sleep(LOOK_SECONDS)


def event(name: str, text: str) -> str:
    """Return a server-sent event."""
    lines = "".join(f"data: {line}\n" for line in text.split("\n"))
    return f"event: {name}\n{lines}\n"
