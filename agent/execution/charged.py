"""A tool's call that costs money: set aside before it, settled with what it did cost."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from agent.domain.execution import ExecutorResponse, ResponseStatus
from agent.domain.ledger import Usage
from agent.policy.budget import Need

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent.policy.budget import Budget

KIND = "tool"


async def charged(
    carry: Callable[[], Awaitable[ExecutorResponse]], *, tool: str, money: float, step_id: str, budget: Budget | None
) -> ExecutorResponse:
    """Make a call that may cost `money` (US dollars) and return its response with what it has used.

    A success costs what it reports, or else all of it; a failure what it reports, or else nothing. What was stopped
    half-way counts as paid for. Raises OverBudget, and makes no call, when that could pass a cap.
    """
    if budget is None:
        return await carry()
    held = await budget.hold(Need(lambda _answer: money)) if money else None
    used: tuple[Usage, ...] = (Usage(KIND, tool, money=money),) if money else ()
    try:
        response = await carry()
        used = _used(tool, response, used)
    finally:
        if used and held is None:  # it costs something, though its tool did not say so before
            held = await budget.hold(Need(lambda _answer: 0.0))
        if held is not None:
            await budget.settle(held, used, step_id)
    return replace(response, usage=used) if used else response


def _used(tool: str, response: ExecutorResponse, declared: tuple[Usage, ...]) -> tuple[Usage, ...]:
    if response.usage:
        return tuple(replace(one, model=one.model or tool) for one in response.usage)
    return declared if response.success or response.status is ResponseStatus.TIMEOUT else ()
