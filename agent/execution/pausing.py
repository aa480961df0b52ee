"""A run that has used up its own budget pauses: it asks for more money once, and goes on from there or ends.

The question is the run's, not a step's (`step_id` is ""): every step that needs money waits for the same answer.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from agent.domain.execution import ExecutorResponse, ResponseStatus
from agent.domain.run import Question, StepChange
from agent.domain.states import Status
from agent.execution.people import question_message

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.domain.plan import PlanStep
    from agent.errors import OverBudget
    from agent.execution.context import RunContext
    from agent.store.protocol import Store

KIND = "budget"
STEP_UP = 1.0  # US dollars
MORE, STOP = "+$1", "Stop"


def standing(questions: Iterable[Question]) -> str:
    """Return "open" while a run waits for money, "stopped" when there is none to come, else ""."""
    asked = [question for question in questions if question.kind == KIND]
    if not asked or asked[-1].answer == MORE:
        return ""
    return "open" if asked[-1].answer is None else "stopped"


def granted(question: Question | None, answer: str, cap: float | None) -> float | None:
    """Return what a run may spend in all once its question about money is answered; None when that stays as it is."""
    return (cap or 0.0) + STEP_UP if question is not None and question.kind == KIND and answer == MORE else None


async def pause_run(store: Store, ctx: RunContext, refused: OverBudget) -> bool:
    """Have the run wait for the person's word about money; False when it must end instead."""
    return await _wait(store, ctx, refused, None)


async def pause_step(store: Store, ctx: RunContext, step: PlanStep, refused: OverBudget) -> ExecutorResponse:
    """Have a step wait for the person's word about money, with what it has put aside; or fail it."""
    change = StepChange(ctx.run.id, step.id, Status.WAITING_APPROVAL, ctx.run.epoch, output=refused.kept)
    if await _wait(store, ctx, refused, change):
        return ExecutorResponse(step.id, ResponseStatus.NEEDS_INPUT)
    return ExecutorResponse(step.id, ResponseStatus.ERROR, error=refused.message, hint=refused.hint)


async def _wait(store: Store, ctx: RunContext, refused: OverBudget, change: StepChange | None) -> bool:
    if not refused.pauses or ctx.budget is None:
        return False
    async with ctx.budget.asking:
        stands = standing(await store.questions_of(ctx.run.id))
        if stands == "stopped":
            return False
        if stands == "open":
            if change is not None:
                await store.change_step(change)
            return True
        question = Question(
            id=secrets.token_urlsafe(6),
            run_id=ctx.run.id,
            step_id="",
            session_id=ctx.session.id,
            text=f"💰 {refused.message} Go on?",
            options=(MORE, STOP),
            kind=KIND,
            asked_at=time.time(),
        )
        await store.ask(question, change, question_message(ctx.run.dest, question))
    return True
