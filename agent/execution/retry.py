"""Trying a step again: only what may be repeated, a bounded number of times, with growing and jittered pauses."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from agent.domain.execution import ExecutorResponse, ResponseStatus

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
RETRIED = frozenset({ResponseStatus.ERROR, ResponseStatus.TIMEOUT})


def pause(attempt: int) -> float:
    """Return the seconds to wait after failed attempt `attempt` (from 1): doubled each time, half of it random."""
    longest: float = min(FIRST_PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE)
    return longest / 2 + random.random() * longest / 2  # noqa: S311  # spreads load, hides nothing


async def with_retries(
    once: Callable[[int], Awaitable[ExecutorResponse]],
    retries: int,
    notice: Callable[[str], None],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> ExecutorResponse:
    """Call `once(attempt)` until it succeeds or `retries` more attempts have failed; return the last response."""
    attempt = 1
    while True:
        response = await once(attempt)
        if response.status not in RETRIED or attempt > retries:
            return response
        seconds = pause(attempt)
        notice(f"{response.error or response.status} — trying again in {seconds:.0f} s")
        await sleep(seconds)
        attempt += 1
