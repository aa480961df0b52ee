"""Waiting for a storage that cannot be reached, or refuses until somebody has put that right."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, TypeVar

from loguru import logger

from agent.errors import MachineFailed, StorageFailed, StorageUnusable, may_pass

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")
PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


async def patiently(work: Callable[[], Awaitable[T]], patience: float = math.inf) -> T:
    """Do it again until the storage lets it be done; raises what it raised last after `patience` seconds.

    What this machine's own disk does wrong leaves as MachineFailed.
    """
    began, tries = time.monotonic(), 0
    while True:
        try:
            return await work()
        except (StorageFailed, StorageUnusable) as problem:
            pause = PAUSES[min(tries, len(PAUSES) - 1)]
            if time.monotonic() - began + pause > patience:
                raise
            logger.warning("{} Waiting {:g} s.", problem.message, pause)
        except OSError as problem:
            if not may_pass(problem):
                raise
            said = f"The files of a session cannot be brought up to date here: {problem.strerror}."
            raise MachineFailed(said, hint="Is the disk full?") from problem
        tries += 1
        await asyncio.sleep(pause)
