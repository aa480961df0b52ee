"""Where a step waits for a person: questions, approvals, and what to do about a step that a crash left in doubt."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agent.domain.execution import ExecutorRequest, ExecutorResponse, ResponseStatus
from agent.domain.messages import MessageKind, OutboundMessage
from agent.domain.plan import PlanStep, StepType
from agent.domain.provenance import NOTHING, USER, Provenance
from agent.domain.run import Approval, Question, Run, StepChange
from agent.domain.states import Status
from agent.errors import LimitReached
from agent.execution import together
from agent.execution.sealing import has_changed, held_by, seal
from agent.execution.together import CHECKPOINT, EDIT, REVISE, asked_message
from agent.policy import consent, this_task

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from agent.config import Limits
    from agent.execution.context import RunContext
    from agent.store.protocol import Store
    from plugins.api import ToolSpec

REVISION, CHANGE = "revision", "change"
WHAT_DIFFERENT, BACK, SETTLED = "What should be different?", "(back)", "(no longer needed)"
RUN_AGAIN, TREAT_AS_DONE, STOP = "Run again", "Treat as done", "Stop"
YOU_DECIDE, SKIPPED = "(you decide)", "(skipped)"
MEMBER = "member:"
NOT_AGAIN = "It was denied before, so it was not asked about again."
REFUSED = "The person refused this call. Don't make it again, nor by another tool."
GIVEN_UP = "Two calls of this plan were denied, so it was stopped."
OWNERS_CHOICE = frozenset({"recovery", "budget"})  # kinds of questions that only an owner answers, with an option
NO_LABELS: Mapping[str, Provenance] = MappingProxyType({})
TOLD = 500


@dataclass(frozen=True, slots=True)
class Edited:
    """What a person has made of a call: the digest and the arguments of what was asked first, and the new arguments."""

    of: str
    before: dict[str, Any]
    args: dict[str, Any]

    @property
    def names(self) -> list[str]:
        """The names of the arguments that are the person's own word."""
        return [name for name in self.args if self.args[name] != self.before.get(name)]

    def told(self) -> str:
        """Return what was changed in words, for whoever reads the result."""
        made = ", ".join(f"{name}={json.dumps(self.args[name], ensure_ascii=False)}" for name in self.names)
        return f"(The person changed the call before it was made: {made[:TOLD]})"


@dataclass(frozen=True, slots=True)
class Settled:
    """What the person has said so far about a step.

    `response` ends the step (or leaves it waiting). `allowed` is the digest of the one call that was approved; `denied`
    is True when a call inside a task was refused. `edited` says what the person has changed in it before.
    """

    response: ExecutorResponse | None = None
    allowed: str = ""
    denied: bool = False
    edited: Edited | None = None


class People:
    """Asks, and reads the answers out of the journal; nothing waits in memory."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits

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
        limit = self._limits.questions
        if ctx.questions_asked >= limit:
            used = ctx.questions_asked + 1
            raise LimitReached("questions of one run", value=limit, used=used, setting="limits.questions")
        ctx.questions_asked += 1
        label = Provenance.union([request.control, *request.arg_provenance.values()])
        step = request.step
        return await self._put(ctx, step, step.question, step.options, "ask", tainted=not label.trusted)

    async def request_approval(
        self,
        ctx: RunContext,
        step_id: str,
        spec: ToolSpec,
        args: dict[str, Any],
        because: str,
        *,
        checkpoint: Any = None,
        seconds: float | None = None,
        choices: tuple[str, ...] = ("allow", "deny"),
        origins: Provenance = NOTHING,
        labels: Mapping[str, Provenance] = NO_LABELS,
    ) -> ExecutorResponse:
        """Ask for consent to exactly this call; after `seconds` nobody has given it.

        `checkpoint` is kept with a task step so that it can go on later; `origins` is where the call came from,
        `labels` where each argument did and, under "", its choice. Calls that are ready at the same time are shown in
        one message. Nobody is asked any more about a plan that has been denied twice.
        """
        if this_task.denied_too_often(_occasions(await self._store.approvals_of(ctx.run.id))):
            return _given_up(step_id)
        held = await held_by(ctx.session, spec, args)
        by_itself = REVISE in choices  # it is commented on as a whole
        approval_id, leads = (together.new_id(), True) if by_itself else ctx.gathering.join(step_id)
        approval = Approval(
            id=approval_id,
            run_id=ctx.run.id,
            step_id=step_id,
            session_id=ctx.session.id,
            tool=spec.full_name,
            args=args,
            digest=consent.digest(spec.full_name, args),
            because=because,
            asked_at=time.time(),
            expires_at=time.time() + (seconds or self._limits.approval_seconds),
            choices=choices,
            origins=origins,
            labels=dict(labels),
        )
        if ctx.status.get(step_id, Status.PENDING) in {Status.PENDING, Status.WAITING_APPROVAL}:
            self._store.change_step_soon(StepChange(ctx.run.id, step_id, Status.READY, ctx.run.epoch))
        change = StepChange(ctx.run.id, step_id, Status.WAITING_APPROVAL, ctx.run.epoch, output=checkpoint)
        if by_itself:
            await self._request(approval, change, asked_message(ctx.run.dest, [approval]), held)
        elif leads:
            await self._lead(ctx, approval, change, held)
        else:
            await self._request(approval, change, None, held)
            if not ctx.gathering.is_open(approval.id):  # it came too late for the one that leads
                await together.show(self._store, ctx.run.dest, approval)
        return ExecutorResponse(step_id, ResponseStatus.NEEDS_INPUT, approval_id=approval.id)

    async def _request(
        self, approval: Approval, change: StepChange, message: OutboundMessage | None, held: str
    ) -> None:
        """Journal a request for consent with what its files hold, in one commit."""
        noted = [seal(self._store, approval.id, held)] if held else []
        await asyncio.gather(*noted, self._store.request_approval(approval, change, message))

    async def _lead(self, ctx: RunContext, approval: Approval, change: StepChange, held: str) -> None:
        """Ask about a call, together with those that join it; by itself, row and message are one transaction."""
        if not ctx.gathering.more:
            ctx.gathering.close()
            await self._request(approval, change, asked_message(ctx.run.dest, [approval]), held)
            return
        try:
            await self._request(approval, change, None, held)
            await ctx.gathering.complete()
        finally:  # also when this step is dropped meanwhile: the others count on it
            ctx.gathering.close()
            await together.show(self._store, ctx.run.dest, approval)

    async def denied_before(self, ctx: RunContext, spec: ToolSpec, args: Mapping[str, Any]) -> str:
        """Say who has denied exactly this call before in this run; "" when nobody has, or has said more since.

        Under whatever name it comes back, it is not asked about again.
        """
        asked = await self._store.approvals_of(ctx.run.id)
        digest = consent.digest(spec.full_name, args)
        denied = [one for one in asked if one.decision == "deny" and one.decided_by]
        same = [one for one in denied if digest in {one.digest, together.original(asked, one).digest}]
        if not same:
            return ""
        said_since = wishes(await self._store.questions_of(ctx.run.id))
        if any((wish.answered_at or 0.0) > (same[-1].decided_at or 0.0) for wish in said_since):
            return ""
        return refusal(ctx.run, same[-1])

    async def _put(
        self,
        ctx: RunContext,
        step: PlanStep,
        text: str,
        options: tuple[str, ...],
        kind: str,
        *,
        tainted: bool = False,
    ) -> ExecutorResponse:
        """Ask; the links of a question that others had a hand in (`tainted`) can't be followed."""
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
        message = question_message(ctx.run.dest, question)
        if tainted:
            message.payload["tainted"] = True
        await self._store.ask(question, change, message)
        return ExecutorResponse(step.id, ResponseStatus.NEEDS_INPUT, question_id=question.id)

    async def _ask_about_crash(self, ctx: RunContext, step: PlanStep) -> ExecutorResponse:
        text = f"I was interrupted while “{step.label}” was running, and I don't know whether it was done."
        return await self._put(ctx, step, text, (RUN_AGAIN, TREAT_AS_DONE, STOP), "recovery")

    async def _question(self, ctx: RunContext, step_id: str) -> Question | None:
        asked = await self._store.questions_of(ctx.run.id)
        mine = [q for q in asked if q.step_id == step_id and q.kind not in {REVISION, CHANGE, EDIT}]
        still_open = [q for q in mine if q.answer is None]
        return (still_open or mine)[-1] if mine else None

    async def _approval(self, ctx: RunContext, step: PlanStep) -> Settled:
        asked = await self._store.approvals_of(ctx.run.id)
        mine = [a for a in asked if a.step_id == step.id]
        if not mine or mine[-1].decision == REVISE:  # what was to be different is done: today's call is asked about
            return Settled()
        approval = mine[-1]
        if not ctx.gathering.is_open(approval.id):  # a crash may have come before it was shown as it is
            await together.show(self._store, ctx.run.dest, approval)
        if approval.decision in this_task.YES:
            first = together.original(asked, approval)
            edited = Edited(first.digest, first.args, approval.args) if first.id != approval.id else None
            stale = await has_changed(self._store, ctx.session, approval.id)  # the yes was to what the files held then
            return Settled() if stale else Settled(allowed=approval.digest, edited=edited)
        if approval.decision == "deny" and this_task.denied_too_often(_occasions(asked)):
            return Settled(_given_up(step.id))
        expired = approval.expires_at is not None and approval.expires_at < time.time()
        if approval.decision is None and not expired:
            return Settled(ExecutorResponse(step.id, ResponseStatus.NEEDS_INPUT, approval_id=approval.id))
        if step.step_type is StepType.TASK:
            return Settled(denied=True)
        return Settled(ExecutorResponse(step.id, ResponseStatus.BLOCKED, error=refusal(ctx.run, approval)))


def _occasions(approvals: Iterable[Approval]) -> list[Approval]:
    """Return the approvals so that what was denied beside calls that were allowed counts once: it was sorted out."""
    found: list[Approval] = []
    by_message: dict[str, list[Approval]] = {}
    for one in approvals:
        by_message.setdefault(together.message_of(one.id), []).append(one)
    for calls in by_message.values():
        denied = [one for one in calls if one.decision == "deny" and one.decided_by]
        found += denied[:1] if any(one.decision in this_task.YES for one in calls) else denied
    return found


def _given_up(step_id: str) -> ExecutorResponse:
    return ExecutorResponse(step_id, ResponseStatus.BLOCKED, error=GIVEN_UP, stops=True)


def refusal(run: Run, approval: Approval) -> str:
    """Return who has said no, in words; nobody, when it has expired."""
    if approval.decision is None:
        return "Nobody approved it in time."
    verb = "rejected" if approval.tool == CHECKPOINT else "denied"
    return f"{'You' if approval.decided_by in {'', run.user_id} else approval.decided_by} {verb} it."


def label_of_answer(answered_by: str) -> Provenance:
    """Return the label of a person's words: an owner's are trusted, a member's are not."""
    return Provenance.of(answered_by, trusted=False) if answered_by.startswith(MEMBER) else USER


def wishes(questions: Iterable[Question]) -> list[Question]:
    """Return what people have wanted to be different about a run's plan, the oldest first."""
    said = [q for q in questions if q.kind == CHANGE and q.answer not in {None, BACK, SETTLED}]
    return sorted(said, key=lambda question: question.answered_at or 0.0)


def answerer(user_id: str, *, trusted: bool) -> str:
    """Return how the journal names who answered: an owner by id, anybody else as `member:ID`."""
    return user_id if trusted else f"{MEMBER}{user_id}"


def _answered(request: ExecutorRequest, question: Question) -> ExecutorResponse:
    """Return the answer as the step's result; the label covers the question, which may quote what others wrote."""
    step = request.step
    if question.answer is None:
        return ExecutorResponse(step.id, ResponseStatus.NEEDS_INPUT, question_id=question.id)
    text = f"{question.text} — {question.answer}"
    label = Provenance.union([label_of_answer(question.answered_by), request.control, *request.arg_provenance.values()])
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
    if question.kind in {REVISION, EDIT} or (question.kind == CHANGE and dest.chat_type == "private"):
        names = [[{"label": name, "action": f"q/{question.id}/{n}"}] for n, name in enumerate(question.options)]
        payload["buttons"] = [*names, [{"label": "↩ Back", "action": f"q/{question.id}/back"}]]
    if question.kind in OWNERS_CHOICE:  # nobody else decides it, and it is not skipped
        choices = enumerate(question.options)
        payload["buttons"] = [[{"label": name, "action": f"q/{question.id}/{n}"} for n, name in choices]]
    if question.answer is not None:
        payload.pop("buttons", None)
        payload["answered"] = question.answer
    return OutboundMessage(
        dest,
        MessageKind.QUESTION,
        f"question:{question.id}",
        payload,
        session_id=question.session_id,
        run_id=question.run_id,
    )
