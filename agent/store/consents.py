"""Questions and approvals: whatever waits for a person. The first answer wins."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import or_, select, update

from agent.domain.states import FINAL, Status
from agent.store import audit
from agent.store.dialect import insert
from agent.store.rows import approval as read_approval
from agent.store.rows import dump, dump_origins, plain
from agent.store.rows import question as read_question
from agent.store.tables import approvals, questions, runs

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Select

    from agent.domain.run import Approval, Question

TOLD = 2_000
UNFINISHED = sorted(set(Status) - FINAL)


def question_row(question: Question, now: float) -> dict[str, Any]:
    """Return the question as a row. Raises ValueError without an id: its buttons could not carry one."""
    if not question.id:
        raise ValueError("a question needs its id (agent.store.rows.short_id) before it is asked")
    return {
        "id": question.id,
        "run_id": question.run_id,
        "step_id": question.step_id,
        "session_id": question.session_id,
        "kind": question.kind,
        "text": plain(question.text),
        "options": dump(question.options),
        "user_id": question.user_id,
        "asked_at": question.asked_at or now,
    }


def approval_row(approval: Approval, now: float) -> dict[str, Any]:
    """Return the approval as a row. Raises ValueError without an id: its buttons could not carry one."""
    if not approval.id:
        raise ValueError("an approval needs its id (agent.store.rows.short_id) before it is requested")
    return {
        "id": approval.id,
        "run_id": approval.run_id,
        "step_id": approval.step_id,
        "session_id": approval.session_id,
        "tool": approval.tool,
        "args": dump(approval.args),
        "digest": approval.digest,
        "because": plain(approval.because),
        "asked_at": approval.asked_at or now,
        "expires_at": approval.expires_at,
        "choices": dump(approval.choices),
        "origins": dump_origins(approval.origins, approval.labels),
    }


def ask(connection: Connection, row: dict[str, Any]) -> None:
    """Insert a question."""
    connection.execute(insert(connection, questions).values(**row))


def answer(connection: Connection, question_id: str, words: str, by: str, now: float) -> Question | None:
    """Record the first answer; None when the question is unknown, has one, or its run has ended."""
    row = connection.execute(
        update(questions)
        .where(
            questions.c.id == question_id,
            questions.c.answered_at.is_(None),
            questions.c.run_id.in_(_unfinished()),
        )
        .values(answer=words, answered_by=by, answered_at=now)
        .returning(*questions.c),
    ).first()
    if row is None:
        return None
    detail = {"id": row.id, "run_id": row.run_id, "kind": row.kind, "by": by}
    audit.note(connection, "answer", row.session_id, detail, now, digests={"said": audit.digest(words)})
    return read_question(row)


def _unfinished() -> Select[int]:
    return select(runs.c.id).where(runs.c.status.in_(UNFINISHED))


def question(connection: Connection, question_id: str) -> Question | None:
    """Return a question."""
    row = connection.execute(select(questions).where(questions.c.id == question_id)).first()
    return None if row is None else read_question(row)


def open_questions(connection: Connection, session_id: str) -> list[Question]:
    """Return unanswered questions of unfinished runs, oldest first."""
    query = (
        select(questions)
        .join(runs, runs.c.id == questions.c.run_id)
        .where(
            questions.c.session_id == session_id,
            questions.c.answered_at.is_(None),
            runs.c.status.in_(UNFINISHED),
        )
        .order_by(questions.c.asked_at, questions.c.id)
    )
    return [read_question(row) for row in connection.execute(query)]


def questions_of(connection: Connection, run_id: int) -> list[Question]:
    """Return a run's questions, oldest first."""
    query = select(questions).where(questions.c.run_id == run_id).order_by(questions.c.asked_at, questions.c.id)
    return [read_question(row) for row in connection.execute(query)]


def request(connection: Connection, row: dict[str, Any]) -> None:
    """Insert an approval."""
    connection.execute(insert(connection, approvals).values(**row))
    detail = {name: row[name] for name in ("id", "run_id", "step_id", "tool", "because")}
    audit.note(connection, "asked", row["session_id"], detail, row["asked_at"], digests={"digest": row["digest"]})


def decide(connection: Connection, approval_id: str, said: tuple[str, str], by: str, now: float) -> Approval | None:
    """Record the first decision, `said` with its comment, and note it in the audit log.

    None when the approval is unknown, decided or expired, its run has ended, or the decision is none of its choices.
    """
    decision, comment = said
    known = approval(connection, approval_id)
    if known is None or decision not in known.choices:
        return None
    row = connection.execute(
        update(approvals)
        .where(approvals.c.id == approval_id, *_open(now))
        .values(decision=decision, decided_by=by, decided_at=now, comment=comment)
        .returning(*approvals.c),
    ).first()
    if row is None:
        return None
    detail = {"id": approval_id, "decision": decision, "by": by, "tool": row.tool}
    told = detail | ({"comment": comment} if comment else {})
    audit.note(connection, "approval", row.session_id, told, now, digests={"digest": row.digest})
    return read_approval(row)


def edit(connection: Connection, approval_id: str, row: dict[str, Any], by: str, now: float) -> Approval | None:
    """Put the approval of a changed call (a row) in the place of an open one, and return the old one; else None.

    The audit log has which arguments were what before and are what now.
    """
    found = connection.execute(
        update(approvals)
        .where(approvals.c.id == approval_id, *_open(now))
        .values(decision="edit", decided_by=by, decided_at=now)
        .returning(*approvals.c),
    ).first()
    if found is None:
        return None
    old, new = json.loads(found.args), json.loads(row["args"])
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    detail = {"id": approval_id, "now": row["id"], "by": by, "tool": found.tool}
    detail |= {"old": _told(old, changed), "new": _told(new, changed)}
    digests = {"digest": found.digest, "digest_now": row["digest"]}
    audit.note(connection, "edited", found.session_id, detail, now, digests=digests)
    request(connection, row)
    return read_approval(found)


def _told(args: dict[str, Any], names: list[str]) -> dict[str, str]:
    """Return these arguments as the log keeps them: as JSON, a long one cut; the digests prove the whole."""
    return {name: dump(args.get(name))[:TOLD] for name in names}


def _open(now: float) -> tuple[ColumnElement[bool], ...]:
    """Return what holds of approvals that may be decided now."""
    in_time = or_(approvals.c.expires_at.is_(None), approvals.c.expires_at > now)
    return approvals.c.decision.is_(None), approvals.c.run_id.in_(_unfinished()), in_time


def approval(connection: Connection, approval_id: str) -> Approval | None:
    """Return an approval."""
    row = connection.execute(select(approvals).where(approvals.c.id == approval_id)).first()
    return None if row is None else read_approval(row)


def approvals_of(connection: Connection, run_id: int) -> list[Approval]:
    """Return a run's approvals, oldest first."""
    query = select(approvals).where(approvals.c.run_id == run_id).order_by(approvals.c.asked_at, approvals.c.id)
    return [read_approval(row) for row in connection.execute(query)]
