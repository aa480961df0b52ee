"""A run belongs to one worker, which says so again and again; one that cannot say it stops working on the run."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from agent.domain.states import FINAL, Status
from agent.errors import DirigentError

if TYPE_CHECKING:
    from agent.domain.run import Run
    from agent.store.protocol import Store

LEASE_SECONDS = 60.0
MOST_INTERRUPTIONS = 5


class LeaseLost(Exception):
    """Work on a run was cancelled because its lease could not be kept."""


class Leases:
    """The part of a run's life that keeps its lease."""

    _store: Store
    _log: Any

    @contextlib.asynccontextmanager
    async def _leased(self, run: Run) -> AsyncGenerator[None]:
        """Keep the run's lease while the block runs; without it the block is cancelled and LeaseLost raised.

        The clock runs out by itself when renewing fails or hangs: whoever takes the run over then works on it alone.
        """
        await self._count_interruptions(run)
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

    async def _count_interruptions(self, run: Run) -> None:
        """Refuse a run during which the process has ended again and again, with no step finished in between.

        What ends the process each time (memory, a command that restarts the machine) would otherwise do so for ever.
        """
        if run.status is not Status.RUNNING:
            return
        done = sum(record.status in FINAL for record in await self._store.get_steps(run.id))
        key = f"run:{run.id}:interrupted"
        before, times = json.loads(await self._store.get_value(key) or "[0, 0]")
        times = times + 1 if before == done else 1
        await self._store.set_value(key, json.dumps([done, times]))
        if times >= MOST_INTERRUPTIONS:
            raise DirigentError(
                f"Dirigent ended {times} times in a row while it worked on this; it is not taken up again by itself.",
                hint="Send it again to try once more; the log may say why it ended.",
            )

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
