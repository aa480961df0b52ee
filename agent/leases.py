"""A run belongs to one worker, which says so again and again; one that cannot say it stops working on the run."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from agent.domain.states import FINAL, Status
from agent.errors import DirigentError, JournalFailed, JournalUnusable
from agent.texts import mark, say

if TYPE_CHECKING:
    from agent.domain.run import Run
    from agent.store.protocol import Store

LEASE_SECONDS = 60.0
AGAIN_SECONDS, LONGEST_SECONDS = 0.5, 15.0  # until a run that the journal has interrupted is taken up again
MOST_FAULTS = 10  # interruptions of a run at work, after which they count like deaths
MOST_DEATHS = 3
SET_ASIDE = mark("I ended {times} times while I worked on “{title}”, so I have set it aside.")
WAY_ON = mark("What is finished is kept. The log may say why I ended.")
TITLE_CHARS = 60


class LeaseLost(Exception):
    """Work on a run was cancelled because its lease could not be kept."""


INTERRUPTIONS = (JournalFailed, JournalUnusable, LeaseLost)
"""What may pass, or be mended: nobody is told that a run failed, and it goes on from what is in the journal."""


class SetAside(DirigentError):
    """A run during which the process has ended again and again; a person decides whether it is taken up once more."""


class Leases:
    """The part of a run's life that keeps its lease."""

    _store: Store
    _log: Any

    @contextlib.asynccontextmanager
    async def _leased(self, run: Run, *, interrupted: bool = False) -> AsyncGenerator[None]:
        """Keep the run's lease while the block runs; without it the block is cancelled and LeaseLost raised.

        The clock runs out by itself when renewing fails or hangs: whoever takes the run over then works on it alone.
        `interrupted` says that this process has just worked on it, and lives.
        """
        if not interrupted:
            await self._count_deaths(run)
        try:
            async with asyncio.timeout(LEASE_SECONDS) as held:
                keeper = asyncio.create_task(self._keep_lease(run, held), name=f"lease-{run.id}")
                try:
                    yield
                finally:
                    keeper.cancel()
                    await asyncio.wait([keeper])
        except TimeoutError as error:
            if held.expired():
                raise LeaseLost(f"The lease of run {run.id} was lost.") from error
            raise
        except asyncio.CancelledError:
            await self._left_alive(run)
            raise

    async def _count_deaths(self, run: Run) -> None:
        """Raise SetAside for a run during which the process has died too often, with no step finished in between.

        What ends the process each time (memory, a command that restarts the machine) would otherwise do so for ever.
        """
        if run.status is not Status.RUNNING:
            return
        done, times = await self._deaths_by_now(run)
        await self._store.set_value(_key(run), json.dumps([done, times]))
        if times >= MOST_DEATHS:
            language, title = run.dest.language, (run.title or run.request)[:TITLE_CHARS]
            raise SetAside(say(language, SET_ASIDE, times=times, title=title), hint=say(language, WAY_ON))

    async def _deaths_by_now(self, run: Run) -> tuple[int, int]:
        """Return how many steps of a run that is taken up again are finished, and the deaths since the last of them."""
        done = sum(record.status in FINAL for record in await self._store.get_steps(run.id))
        before, times, alive = await self._deaths(run)
        return done, (times if before == done else 0) + (not alive)

    async def _left_alive(self, run: Run) -> None:
        """Note that the work was ended in good order: taking it up again is no sign of a death."""
        with contextlib.suppress(DirigentError):
            done, times, _ = await self._deaths(run)
            await self._store.set_value(_key(run), json.dumps([done, times, True]))

    async def _deaths(self, run: Run) -> tuple[int, int, bool]:
        """Return how many steps were finished at the last count, the deaths since, and whether it was left alive."""
        done, times, *alive = json.loads(await self._store.get_value(_key(run)) or "[0, 0]")
        return done, times, bool(alive)

    async def _keep_lease(self, run: Run, held: asyncio.Timeout) -> None:
        clock = asyncio.get_running_loop().time
        kept = True
        while kept and not held.expired():
            await asyncio.sleep(LEASE_SECONDS / 3)
            asked = clock()
            try:
                kept = await self._store.renew_lease(run.id, run.epoch, LEASE_SECONDS)
            except DirigentError as error:
                self._log.warning("the lease of run {} could not be renewed: {}", run.id, error)
                continue
            with contextlib.suppress(RuntimeError):  # it ran out while the journal was asked
                held.reschedule(asked + LEASE_SECONDS if kept else asked)


def pause_after(faults: int) -> float:
    """Return the seconds until a run is taken up again that was interrupted, after so many before."""
    return float(min(AGAIN_SECONDS * 2 ** min(faults, 9), LONGEST_SECONDS))


def _key(run: Run) -> str:
    return f"run:{run.id}:interrupted"
