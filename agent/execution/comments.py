"""What people say about a call that waits for them: what should be different, or what an argument should be instead.

Each is a question of its own, which ends with the call that it is about.
"""

from __future__ import annotations

import re
import secrets
import time
from typing import TYPE_CHECKING

from agent.domain.messages import InboundMessage, MessageKind, OutboundMessage
from agent.domain.run import Approval, Question, Run
from agent.execution.people import BACK, REVISION, SETTLED, WHAT_DIFFERENT, question_message
from agent.execution.together import EDIT, REVISE
from agent.texts import mark

if TYPE_CHECKING:
    from agent.store.protocol import Store

INSTEAD = mark("What should “{name}” be instead?")
NUMBERS = re.compile(r"\d+")  # a message of several parts has their ids in one text


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
    """Close what was asked about a call, once it is decided: nothing that is typed answers it."""
    asked = await store.questions_of(approval.run_id)
    about_it = [q for q in asked if q.answer is None and q.step_id == approval.step_id]
    for question in about_it:
        if question.kind != REVISION and edits(question) != approval.id:
            continue
        closed = await store.answer_question(question.id, SETTLED, approval.decided_by)
        if closed is not None:
            await store.post(question_message(run.dest, closed))


def edits(question: Question) -> str:
    """Return the id of the approval of which a question changes an argument; "" for any other question."""
    return question.id.partition(":")[0] if question.kind == EDIT else ""


def argument_of(question: Question, approval: Approval) -> str:
    """Return the name of the argument that a question is about."""
    return list(approval.args)[int(question.id.split(":")[1])]


async def ask_for_value(  # noqa: PLR0917
    store: Store, run: Run, approval: Approval, at: int, options: tuple[str, ...], user_id: str
) -> Question | None:
    """Ask what an argument (the one at a place) should be instead; None when nothing is to be decided any more.

    Asked again, the question that is open already is returned; one about another argument is closed.
    """
    if approval.decision is not None or (approval.expires_at or 0) <= time.time():
        return None
    mine = f"{approval.id}:{at}:"
    for question in await store.questions_of(approval.run_id):
        if question.answer is None and edits(question) == approval.id:
            if question.id.startswith(mine):
                return question
            closed = await store.answer_question(question.id, SETTLED, user_id)
            if closed is not None:
                await store.post(question_message(run.dest, closed))
    question = Question(
        id=f"{mine}{secrets.token_urlsafe(3)}",
        run_id=approval.run_id,
        step_id=approval.step_id,
        session_id=approval.session_id,
        text=INSTEAD.format(name=list(approval.args)[at]),
        options=options,
        kind=EDIT,
        user_id=user_id,
        asked_at=max(time.time(), approval.asked_at),
    )
    await store.ask(question, None, question_message(run.dest, question))
    return question


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
