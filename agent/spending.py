"""What a run may spend, around its story: its budget opened, its plan's cost judged before, its pauses for money."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.domain.execution import ExecutorResponse, ResponseStatus
from agent.errors import OverBudget
from agent.execution.fitted import FittedLLM
from agent.execution.metered import MeteredLLM
from agent.execution.pausing import KIND, MORE, granted, pause_run
from agent.execution.scheduler import Outcome
from agent.housekeeping import Housekeeping
from agent.llm.watched import WatchedLLM
from agent.policy.budget import Budget, dollars
from agent.policy.estimate import step_cost

if TYPE_CHECKING:
    from agent.domain.plan import PlanStep
    from agent.domain.run import Question
    from agent.errors import DirigentError
    from agent.execution.context import RunContext
    from agent.execution.scheduler import StepScheduler
    from agent.store.protocol import Store

STOPPED = "You stopped it when its budget was used up."


class Spending(Housekeeping):
    """The part of a run's life that is about money."""

    _store: Store

    async def _open_budget(self, ctx: RunContext) -> None:
        """Give the run its budget, with what it has spent before, and a model whose calls are charged to it."""
        limits = self._config.limits
        budget = ctx.budget = Budget(self._store, ctx.run, limits)
        await budget.load()
        if self._llm is not None:
            metered = MeteredLLM(WatchedLLM(self._llm), budget, limits.answer_tokens, ctx.session.model)
            ctx.llm = FittedLLM(metered, ctx.told_shortened)
            ctx.money = lambda: budget.money
        else:
            ctx.money = lambda: budget.money or None

    def _expect(self, ctx: RunContext, step: PlanStep) -> None:
        """Note what a step should cost; nothing when that can't be known before."""
        if step.id not in ctx.estimates:
            cost = step_cost(
                step, lambda name: self._catalogue.find(name, ctx.session.profile), ctx.price, self._config.plugins
            )
            if cost is not None:
                ctx.estimates[step.id] = cost

    async def _refuse_too_dear(self, ctx: RunContext) -> None:
        """Raise OverBudget when a whole plan should cost more than what is left anywhere."""
        for record in ctx.records.values():
            self._expect(ctx, record.step)
        certain = (r.step.id for r in ctx.records.values() if r.step.pipe is None or r.step.pipe.when is None)
        expected = sum(ctx.estimates.get(name, 0.0) for name in certain)  # what has a condition may never run
        least = await ctx.budget.left() if expected and ctx.budget is not None else None
        if least is None or expected <= least[0]:
            return
        left, account = least
        cap = account.cap.money or 0.0
        raise OverBudget(
            f"This should cost about {dollars(expected)}, and {dollars(max(left, 0.0))} is left of the "
            f"{dollars(cap)} for {account.name}. Nothing was begun.",
            hint=account.raise_it,
            account=account.cap.account,
            value=cap,
            used=cap - left,
            setting=account.setting,
        )

    # --- pausing ------------------------------------------------------------------------------------------------
    @staticmethod
    def _held_up(ctx: RunContext) -> Outcome | None:
        """Return what becomes of a run that has asked for money: it still waits, or it was told to stop."""
        if ctx.paused == "open":
            return waits()
        return Outcome(stopped_because=STOPPED, trouble=STOPPED) if ctx.paused else None

    async def _asks_for_money(self, ctx: RunContext, error: DirigentError) -> Outcome | None:
        """Return that the run waits, when its own budget is what is used up and the person may raise it."""
        asks = isinstance(error, OverBudget) and await pause_run(self._store, ctx, error)
        return waits() if asks else None

    async def _granted(self, question_id: str, answer: str) -> float | None:
        """Return what a run may spend in all after an answer; None when the question is about something else."""
        question = await self._store.get_question(question_id)
        if question is None or question.kind != KIND:
            return None
        run = await self._store.get_run(question.run_id)
        return granted(question, answer, run.budget if run.budget is not None else self._config.limits.money)


def waits() -> Outcome:
    """Return that a run waits for the person's word about money."""
    return Outcome(waiting={"": ExecutorResponse("", ResponseStatus.NEEDS_INPUT)})


def woken(scheduler: StepScheduler | None, question: Question) -> bool:
    """Let every step go on that waited for money; False when none did here, or none came."""
    if scheduler is None or question.answer != MORE:
        return False
    waiting = [name for name, response in scheduler.outcome.waiting.items() if _is_for_money(response)]
    for name in waiting:
        scheduler.wake(name)
    return bool(waiting)


def _is_for_money(response: ExecutorResponse) -> bool:
    return not (response.question_id or response.approval_id)
