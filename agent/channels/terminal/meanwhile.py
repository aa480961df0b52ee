"""What a person types while work goes on: words, what was offered, and the plan's buttons as commands.

`/details` and `/less` unfold and fold the plan, `/change WORDS` changes it, `/change` asks what should be different.
They work on the request that is being carried out, and when none is, on the newest one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agent.channels.terminal.keyboard import Interrupted
from agent.domain.states import FINAL

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from typing import Any

    from agent.channels.terminal.endings import Asked
    from agent.channels.terminal.face import Face
    from agent.channels.terminal.keyboard import Keyboard
    from agent.domain.run import Run
    from agent.store.protocol import Store

# What is over sooner needs no line to type on.
OPENS_AFTER = 0.5  # seconds
VERBS = {"/details": "details", "/less": "less", "/change": "change"}


async def listening(
    rest: Coroutine[Any, Any, Asked | None],
    keyboard: Keyboard,
    face: Face,
    take: Callable[[str], Awaitable[bool]],
    interrupt: Callable[[], None],
) -> tuple[Asked | None, bool]:
    """Wait for `rest` and hand over each line that is typed meanwhile; return what it gave, and False to leave.

    `take` returns False when the line says that the person leaves.
    """
    resting = asyncio.create_task(rest, name="rest")
    try:
        await asyncio.wait({resting}, timeout=OPENS_AFTER)
        while not resting.done():
            line = await _typed_before(resting, keyboard, face, interrupt)
            if line is not None and not await take(line):
                return None, False
        return await resting, True
    finally:
        resting.cancel()
        await asyncio.gather(resting, return_exceptions=True)


async def _typed_before(
    resting: asyncio.Task[Asked | None], keyboard: Keyboard, face: Face, interrupt: Callable[[], None]
) -> str | None:
    """Return the line that was typed before the work came to rest; None when there was none."""

    async def ask() -> str | None:
        with face.prompting():
            return await keyboard.ask("› ", below=face.below)

    typing = asyncio.create_task(ask(), name="typing")
    try:
        await asyncio.wait({resting, typing}, return_when=asyncio.FIRST_COMPLETED)
        if not typing.done():
            return None
        try:
            line = typing.result()
        except Interrupted:
            interrupt()
            return None
        return "/quit" if line is None else line
    finally:
        typing.cancel()
        await asyncio.gather(typing, return_exceptions=True)


async def pressed(store: Store, session_id: str, line: str) -> tuple[str, str]:
    """Return what a command about the plan means: the action of its button, or the message that the words reply to.

    ("", "") when the line is no such command, or there is no plan that it could be about.
    """
    word, _, words = line.partition(" ")
    run = await _present(store, session_id) if word in VERBS else None
    if run is None:
        return "", ""
    shown = await store.get_message(f"run:{run.id}:plan")
    if words.strip() and word == "/change":
        return "", shown.message_id if shown is not None else ""
    return f"r/{run.ref}/{VERBS[word]}", ""


async def _present(store: Store, session_id: str) -> Run | None:
    runs = await store.recent_runs(session_id, 20)
    working = [run for run in runs if run.status not in FINAL]
    return [*reversed(working), *runs][0] if runs else None
