"""When what is old and over is forgotten: soon after the start, and once a day."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from loguru import logger

from agent.errors import DirigentError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent.store.protocol import Store

DAY_SECONDS = 24 * 3600.0
FIRST_SECONDS = 30.0  # after the start, which has better things to do


async def tidy_daily(store: Store, days: float, also: Callable[[float], Awaitable[None]] | None = None) -> None:
    """Forget what is older than so many days, soon and then once a day, until cancelled; 0 keeps everything.

    `also` is told the seconds, for what lies beside the journal.
    """
    await asyncio.sleep(FIRST_SECONDS)
    while days:
        try:
            gone = 0
            while part := await store.prune(days * DAY_SECONDS):
                gone += part
            if also is not None:
                await also(days * DAY_SECONDS)
        except DirigentError as error:
            logger.warning("The journal could not be tidied: {}", error)
        else:
            logger.debug("The journal was tidied: {} rows older than {:g} days are gone.", gone, days)
        await asyncio.sleep(DAY_SECONDS)
