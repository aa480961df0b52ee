"""Whether what runs by itself is to run: one switch for all processes of a home, in the journal."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from loguru import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from agent.store.protocol import Store

STOPPED = "automation:stopped"
LOOK_SECONDS = 30.0  # how late another process is noticed where no bell can ring


class Switch:
    """Halted, nothing fires until it is released, also after a restart.

    Events and calls of webhooks are kept till then; for times that pass, each trigger's misfire policy counts. `clock`
    gives seconds since 1970, `ring` wakes the other processes of the home. `working` is set while triggers fire here,
    `resting` while they don't. Set `turned` when another process may have turned it.
    """

    def __init__(self, store: Store, clock: Callable[[], float], ring: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock
        self._ring = ring
        self._held = False
        self.turned = asyncio.Event()
        self.working = asyncio.Event()
        self.resting = asyncio.Event()
        self.resting.set()

    async def off_since(self) -> float | None:
        """Return since when it is halted, in seconds since 1970; None while it is not."""
        said = await self._store.get_value(STOPPED)
        return float(said) if said else None

    async def halt(self) -> None:
        """Have nothing fire any more in any process; returns when nothing does in this one. Twice is as once."""
        if await self.off_since() is None:
            await self._turn(str(self._clock()))
        await self.resting.wait()

    async def release(self) -> None:
        """Have triggers fire again, wherever there is a process for it. Twice is as once."""
        if await self.off_since() is not None:
            await self._turn("")
        if self._held:
            await self.working.wait()

    async def _turn(self, value: str) -> None:
        await self._store.set_value(STOPPED, value)
        self.turned.set()
        self._ring()

    async def hold(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do the work whenever it is not halted, until cancelled; ends as the work does when that ends by itself."""
        self._held = True
        try:
            while True:
                self.turned.clear()
                if await self._is_off():
                    await self._look_later()
                elif await self._ended(work):
                    return
        finally:
            self._held = False

    async def _ended(self, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Do the work until it is halted; True when it ended by itself. Raises what it raised."""
        doing = asyncio.create_task(work(), name="automation at work")
        doing.add_done_callback(lambda _: self.turned.set())
        self.resting.clear()
        self.working.set()
        try:
            while not doing.done() and not await self._is_off():
                await self._look_later()
        finally:
            ended = doing.done()
            doing.cancel()
            await asyncio.gather(doing, return_exceptions=True)
            self.working.clear()
            self.resting.set()
        if ended:
            doing.result()
        else:
            logger.info("the automation is halted until it is started again")
        return ended

    async def _look_later(self) -> None:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self.turned.wait()
        except TimeoutError:
            return
        self.turned.clear()

    async def _is_off(self) -> bool:
        try:
            return await self.off_since() is not None
        except Exception as error:
            logger.opt(exception=error).error("whether the automation is switched off can't be read; it stays on")
            return False
