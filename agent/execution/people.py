"""Where a step waits for a person: questions, approvals, and what to do about a step that a crash left in doubt."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.domain.execution import ExecutorRequest, ExecutorResponse, ResponseStatus
from agent.domain.messages import InboundMessage, MessageKind, OutboundMessage
from agent.domain.plan import PlanStep, StepType
from agent.domain.provenance import NOTHING, USER, Provenance
from agent.domain.run import Approval, Question, Run, StepChange
from agent.domain.states import Status
from agent.errors import LimitReached
from agent.policy import consent, this_task

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.config import Limits
    from agent.execution.context import RunContext
    from agent.store.protocol import Store
    from plugins.api import ToolSpec

CHECKPOINT, REVISE, REVISION, CHANGE = "checkpoint", "revise", "revision", "change"
WHAT_DIFFERENT, BACK, SETTLED = "What should be different?", "(back)", "(no longer needed)"
RUN_AGAIN, TREAT_AS_DONE, STOP = "Run again", "Treat as done", "Stop"
YOU_DECIDE, SKIPPED = "(you decide)", "(skipped)"
MEMBER = "member:"
GIVEN_UP = "Two calls of this plan were denied, so it was stopped."
OWNERS_CHOICE = frozenset({"recovery", "budget"})  # kinds of questions that only an owner answers, with an option
NUMBERS = re.compile(r"\d+")  # a message of several parts has their ids in one text


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
        seconds: float | None = None,
        choices: tuple[str, ...] = ("allow", "deny"),
        origins: Provenance = NOTHING,
    ) -> ExecutorResponse:
        """Ask for consent to exactly this call; after `seconds` nobody has given it.

        `checkpoint` is kept with a task step so that it can go on later; `origins` is where the call came from. Nobody
        is asked any more about a plan that has been denied twice.
        """
        if this_task.denied_too_often(await self._store.approvals_of(ctx.run.id)):
            return _given_up(step_id)
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
            expires_at=time.time() + (seconds or self._limits.approval_seconds),
            choices=choices,
            origins=origins,
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
        asked = await self._store.questions_of(ctx.run.id)
        mine = [q for q in asked if q.step_id == step_id and q.kind not in {REVISION, CHANGE}]
        still_open = [q for q in mine if q.answer is None]
        return (still_open or mine)[-1] if mine else None

    async def _approval(self, ctx: RunContext, step: PlanStep) -> Settled:
        asked = await self._store.approvals_of(ctx.run.id)
        mine = [a for a in asked if a.step_id == step.id]
        if not mine or mine[-1].decision == REVISE:  # what was to be different is done: today's call is asked about
            return Settled()
        approval = mine[-1]
        if approval.decision in this_task.YES:
            return Settled(allowed=approval.digest)
        if approval.decision == "deny" and this_task.denied_too_often(asked):
            return Settled(_given_up(step.id))
        expired = approval.expires_at is not None and approval.expires_at < time.time()
        if approval.decision is None and not expired:
            return Settled(ExecutorResponse(step.id, ResponseStatus.NEEDS_INPUT, approval_id=approval.id))
        if step.step_type is StepType.TASK:
            return Settled(denied=True)
        return Settled(ExecutorResponse(step.id, ResponseStatus.BLOCKED, error=refusal(ctx.run, approval)))


def _given_up(step_id: str) -> ExecutorResponse:
    return ExecutorResponse(step_id, ResponseStatus.BLOCKED, error=GIVEN_UP, stops=True)


def refusal(run: Run, approval: Approval) -> str:
    """Return who has said no, in words; nobody, when it has expired."""
    if approval.decision is None:
        return "Nobody approved it in time."
    verb = "rejected" if approval.tool == CHECKPOINT else "denied"
    return f"{'You' if approval.decided_by in {'', run.user_id} else approval.decided_by} {verb} it."


async def comment_on(store: Store, approval: Approval) -> Approval:
    """Return the approval, decided if a person has said what should be different; a crash may have come in between."""
    if approval.decision is not None or REVISE not in approval.choices:
        return approval
    for question in await store.questions_of(approval.run_id):
        mine = question.kind == REVISION and question.step_id == approval.step_id
        if mine and question.asked_at >= approval.asked_at and question.answer not in {None, BACK, SETTLED}:
            comment, by = str(question.answer), question.answered_by
            return await store.decide_approval(approval.id, REVISE, by, comment=comment) or approval
    return approval


async def ask_for_revision(store: Store, run: Run, approval: Approval, user_id: str) -> Question | None:
    """Ask what should be different about what is to be approved; None when that is decided or has expired.

    Asked again, the question that is open already is returned.
    """
    if approval.decision is not None or (approval.expires_at or 0) <= time.time():
        return None
    open_already = await _open_revision(store, approval)
    if open_already is not None:
        return open_already
    question = Question(
        id=secrets.token_urlsafe(6),
        run_id=approval.run_id,
        step_id=approval.step_id,
        session_id=approval.session_id,
        text=WHAT_DIFFERENT,
        kind=REVISION,
        user_id=user_id,
        asked_at=max(time.time(), approval.asked_at),
    )
    await store.ask(question, None, question_message(run.dest, question))
    return question


async def close_revision(store: Store, run: Run, approval: Approval) -> None:
    """Close the question what should be different, once the approval is decided: nothing that is typed answers it."""
    question = await _open_revision(store, approval)
    closed = await store.answer_question(question.id, SETTLED, approval.decided_by) if question is not None else None
    if closed is not None:
        await store.post(question_message(run.dest, closed))


async def replied_to(store: Store, message: InboundMessage) -> Approval | None:
    """Return what may be revised and is shown in the message that this one replies to."""
    for run in await store.unfinished_runs(message.dest.session_id):
        for approval in await store.approvals_of(run.id):
            shown = await store.get_message(f"approval:{approval.id}") if REVISE in approval.choices else None
            if shown is not None and message.reply_to in {shown.message_id, *NUMBERS.findall(shown.message_id)}:
                return approval
    return None


async def _open_revision(store: Store, approval: Approval) -> Question | None:
    asked = await store.questions_of(approval.run_id)
    mine = [q for q in asked if (q.kind, q.step_id, q.answer) == (REVISION, approval.step_id, None)]
    return mine[-1] if mine else None


def too_late(run: Run, question: Question) -> OutboundMessage:
    """Return the words for a comment that came when nothing was to be decided any more."""
    text = "That came too late: it has been decided already."
    key = f"question:{question.id}:late"
    return OutboundMessage(run.dest, MessageKind.NOTICE, key, {"text": text}, session_id=run.session_id, run_id=run.id)


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
    if question.kind == REVISION or (question.kind == CHANGE and dest.chat_type == "private"):
        payload["buttons"] = [[{"label": "↩ Back", "action": f"q/{question.id}/back"}]]
    if question.kind in OWNERS_CHOICE:  # nobody else decides it, and it is not skipped
        names = enumerate(question.options)
        payload["buttons"] = [[{"label": name, "action": f"q/{question.id}/{n}"} for n, name in names]]
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


def approval_message(dest: Any, approval: Approval) -> OutboundMessage:
    """Return the message that shows the exact call; built from the exact values, never by a model."""
    payload: dict[str, Any] = {
        "id": approval.id,
        "title": approval.tool,
        "details": approval.args,
        "because": approval.because,
        "expires": approval.expires_at,
        "choices": list(approval.choices),
    }
    if approval.tool == CHECKPOINT:
        payload |= _at_checkpoint(approval.args)
    if approval.decision is not None:
        payload |= {"decided": approval.decision, "by": approval.decided_by, "at": approval.decided_at}
        payload |= {"comment": approval.comment} if approval.comment else {}
    return OutboundMessage(
        dest,
        MessageKind.APPROVAL,
        f"approval:{approval.id}",
        payload,
        session_id=approval.session_id,
        run_id=approval.run_id,
    )


def _at_checkpoint(args: dict[str, Any]) -> dict[str, Any]:
    """Return how a checkpoint looks: its name, the step that waits, the pipeline's words, what is to be approved."""
    details = {"before": args.get("before", ""), "text": args.get("text", "")}
    shown = args.get("shown") or {}
    details |= {f"{name} (result)" if name in details else name: text for name, text in shown.items()}
    if args.get("files"):
        details["files"] = ", ".join(map(str, args["files"]))
    return {"title": str(args.get("name") or "Checkpoint"), "details": details, "checkpoint": True}
