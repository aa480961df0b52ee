"""Where a step waits for a person: questions, approvals, and what to do about a step that a crash left in doubt."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.domain.execution import ExecutorRequest, ExecutorResponse, ResponseStatus
from agent.domain.messages import MessageKind, OutboundMessage
from agent.domain.plan import PlanStep, StepType
from agent.domain.provenance import USER, Provenance
from agent.domain.run import Approval, Question, StepChange
from agent.domain.states import Status
from agent.errors import LimitReached
from agent.policy import consent

if TYPE_CHECKING:
    from agent.execution.context import RunContext
    from agent.store.protocol import Store
    from plugins.api import ToolSpec

APPROVAL_SECONDS = 24 * 3600.0
RUN_AGAIN, TREAT_AS_DONE, STOP = "Run again", "Treat as done", "Stop"
YOU_DECIDE, SKIPPED = "(you decide)", "(skipped)"
MEMBER = "member:"


@dataclass(frozen=True, slots=True)
class Settled:
    """What the person has said so far about a step.

    `response` ends the step (or leaves it waiting). `allowed` is the digest of the one call that was approved; `denied`
    is True when a call inside a task was refused.
    """

    response: ExecutorResponse | None = None
    allowed: str = ""
    denied: bool = False


class People:
    """Asks, and reads the answers out of the journal; nothing waits in memory."""

    def __init__(self, store: Store, questions_limit: int) -> None:
        self._store = store
        self._limit = questions_limit

    async def settled(self, ctx: RunContext, request: ExecutorRequest, *, once: bool) -> Settled:
        """Say where the step stands with the person; an empty Settled means that it may simply go on."""
        state = ctx.state_of(request.step)
        if state is Status.RUNNING and once:
            return Settled(await self._ask_about_crash(ctx, request.step))
        if state is not Status.WAITING_APPROVAL:
            return Settled()
        question = await self._question(ctx, request.step.id)
        if question is not None and question.kind != "recovery":
            return Settled(_answered(request, question))
        if question is not None and question.answer != RUN_AGAIN:
            return Settled(_recovered(request.step, question))
        # Running it again means again exactly what was approved: with other arguments it asks anew.
        return await self._approval(ctx, request.step)

    async def ask(self, ctx: RunContext, request: ExecutorRequest) -> ExecutorResponse:
        """Put an `ask` step's question to the person; raises LimitReached past the run's limit on questions."""
        if ctx.questions_asked >= self._limit:
            used = ctx.questions_asked + 1
            raise LimitReached("questions of one run", value=self._limit, used=used, setting="limits.questions")
        ctx.questions_asked += 1
        return await self._put(ctx, request.step, request.step.question, request.step.options, "ask")

    async def request_approval(
        self,
        ctx: RunContext,
        step_id: str,
        spec: ToolSpec,
        args: dict[str, Any],
        because: str,
        *,
        checkpoint: Any = None,
    ) -> ExecutorResponse:
        """Ask for consent to exactly this call. `checkpoint` is kept with a task step so that it can go on later."""
        approval = Approval(
            id=secrets.token_urlsafe(6),
            run_id=ctx.run.id,
            step_id=step_id,
            session_id=ctx.session.id,
            tool=spec.full_name,
            args=args,
            digest=consent.digest(spec.full_name, args),
            because=because,
            asked_at=time.time(),
            expires_at=time.time() + APPROVAL_SECONDS,
        )
        if ctx.status.get(step_id, Status.PENDING) in {Status.PENDING, Status.WAITING_APPROVAL}:
            self._store.change_step_soon(StepChange(ctx.run.id, step_id, Status.READY, ctx.run.epoch))
        change = StepChange(ctx.run.id, step_id, Status.WAITING_APPROVAL, ctx.run.epoch, output=checkpoint)
        await self._store.request_approval(approval, change, approval_message(ctx.run.dest, approval))
        return ExecutorResponse(step_id, ResponseStatus.NEEDS_INPUT, approval_id=approval.id)

    async def _put(
        self,
        ctx: RunContext,
        step: PlanStep,
        text: str,
        options: tuple[str, ...],
        kind: str,
    ) -> ExecutorResponse:
        question = Question(
            id=secrets.token_urlsafe(6),
            run_id=ctx.run.id,
            step_id=step.id,
            session_id=ctx.session.id,
            text=text,
            options=options,
            kind=kind,
            user_id=ctx.run.user_id,
            asked_at=time.time(),
        )
        if ctx.state_of(step) is Status.PENDING:
            self._store.change_step_soon(StepChange(ctx.run.id, step.id, Status.READY, ctx.run.epoch))
        change = StepChange(ctx.run.id, step.id, Status.WAITING_APPROVAL, ctx.run.epoch)
        await self._store.ask(question, change, question_message(ctx.run.dest, question))
        return ExecutorResponse(step.id, ResponseStatus.NEEDS_INPUT, question_id=question.id)

    async def _ask_about_crash(self, ctx: RunContext, step: PlanStep) -> ExecutorResponse:
        text = f"I was interrupted while “{step.label}” was running, and I don't know whether it was done."
        return await self._put(ctx, step, text, (RUN_AGAIN, TREAT_AS_DONE, STOP), "recovery")

    async def _question(self, ctx: RunContext, step_id: str) -> Question | None:
        mine = [q for q in await self._store.questions_of(ctx.run.id) if q.step_id == step_id]
        still_open = [q for q in mine if q.answer is None]
        return (still_open or mine)[-1] if mine else None

    async def _approval(self, ctx: RunContext, step: PlanStep) -> Settled:
        mine = [a for a in await self._store.approvals_of(ctx.run.id) if a.step_id == step.id]
        if not mine:
            return Settled()
        approval = mine[-1]
        if approval.decision == "allow":
            return Settled(allowed=approval.digest)
        expired = approval.expires_at is not None and approval.expires_at < time.time()
        if approval.decision is None and not expired:
            return Settled(ExecutorResponse(step.id, ResponseStatus.NEEDS_INPUT, approval_id=approval.id))
        if step.step_type is StepType.TASK:
            return Settled(denied=True)
        said = "You denied it." if approval.decision else "Nobody approved it in time."
        return Settled(ExecutorResponse(step.id, ResponseStatus.BLOCKED, error=said))


def answerer(user_id: str, *, trusted: bool) -> str:
    """Return how the journal names who answered: an owner by id, anybody else as `member:ID`."""
    return user_id if trusted else f"{MEMBER}{user_id}"


def _answered(request: ExecutorRequest, question: Question) -> ExecutorResponse:
    """Return the answer as the step's result; the label covers the question, which may quote what others wrote."""
    step = request.step
    if question.answer is None:
        return ExecutorResponse(step.id, ResponseStatus.NEEDS_INPUT, question_id=question.id)
    text = f"{question.text} — {question.answer}"
    member = question.answered_by.startswith(MEMBER)
    own = Provenance.of(question.answered_by, trusted=False) if member else USER
    label = Provenance.union([own, request.control, *request.arg_provenance.values()])
    return ExecutorResponse(step.id, ResponseStatus.OK, output=question.answer, text=text, provenance=label)


def _recovered(step: PlanStep, question: Question) -> ExecutorResponse:
    if question.answer is None:
        return ExecutorResponse(step.id, ResponseStatus.NEEDS_INPUT, question_id=question.id)
    if question.answer == TREAT_AS_DONE:
        return ExecutorResponse(step.id, ResponseStatus.OK, text="Treated as done, as you said.")
    return ExecutorResponse(step.id, ResponseStatus.BLOCKED, error="You stopped it after the interruption.")


def question_message(dest: Any, question: Question) -> OutboundMessage:
    """Return the message that asks, or, once answered, the same message without its buttons."""
    payload: dict[str, Any] = {"id": question.id, "question": question.text, "options": list(question.options)}
    if question.answer is not None:
        payload["answered"] = question.answer
    return OutboundMessage(
        dest,
        MessageKind.QUESTION,
        f"question:{question.id}",
        payload,
        session_id=question.session_id,
        run_id=question.run_id,
    )


def approval_message(dest: Any, approval: Approval) -> OutboundMessage:
    """Return the message that shows the exact call; built from the exact values, never by a model."""
    payload: dict[str, Any] = {
        "id": approval.id,
        "title": approval.tool,
        "details": approval.args,
        "because": approval.because,
        "expires": approval.expires_at,
    }
    if approval.decision is not None:
        payload |= {"decided": approval.decision, "by": approval.decided_by, "at": approval.decided_at}
    return OutboundMessage(
        dest,
        MessageKind.APPROVAL,
        f"approval:{approval.id}",
        payload,
        session_id=approval.session_id,
        run_id=approval.run_id,
    )
