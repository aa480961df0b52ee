"""The journal on SQLite and PostgreSQL: each method prepares its rows on the loop and has the writer carry them out.

What is stored is taken as it is at the moment of the call; changing a record's lists afterwards changes nothing.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from agent.domain.messages import Claim, InboundMessage, OutboundMessage
from agent.errors import IllegalTransition
from agent.store import accounts, audit, consents, inbox, outbox, pruning, records, runs
from agent.store import steps as tasks
from agent.store.automation import Automation
from agent.store.batch import Operation
from agent.store.registry import Registry
from agent.store.rows import dump, plain
from agent.store.transitions import change as change_one
from agent.store.transitions import transition
from agent.store.versions import VersionRecords

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sqlalchemy import Connection

    from agent.domain.artifacts import Artifact
    from agent.domain.audit import AuditEntry
    from agent.domain.ledger import Balance, Cap, Reservation, Usage
    from agent.domain.plan import PlanStep
    from agent.domain.provenance import Provenance
    from agent.domain.run import Approval, Question, Run, StepChange, StepRecord
    from agent.domain.states import Status
    from agent.store.protocol import Store


class SqlStore(Automation, Registry, VersionRecords):
    """The journal in an SQLite file (`path`) or a database (`url`). `clock` gives seconds since 1970.

    It belongs to the event loop that called `open()`.
    """

    # --- sessions -----------------------------------------------------------------------------------------------
    async def touch_session(self, session_id: str, folder: Path, dest: dict[str, str]) -> None:
        await self._do(records.touch_session, session_id, str(folder), dump(dest), self._clock())

    async def sessions(self) -> list[dict[str, Any]]:
        return await self._read(records.all_sessions)

    # --- inbox --------------------------------------------------------------------------------------------------
    async def receive(self, messages: Sequence[InboundMessage]) -> list[InboundMessage]:
        return await self._do(inbox.receive, self._new(messages))

    def _new(self, messages: Sequence[InboundMessage]) -> list[inbox.NewMessage]:
        now = self._clock()
        return [inbox.new_message(message, now) for message in messages]

    async def receive_and_set(self, messages: Sequence[InboundMessage], key: str, value: str) -> list[InboundMessage]:
        return await self._do(inbox.receive_and_set, self._new(messages), key, plain(value))

    async def receive_and_claim(
        self, messages: Sequence[InboundMessage], key: str, value: str, claim: Claim
    ) -> tuple[list[InboundMessage], list[InboundMessage]]:
        setting = (key, plain(value))
        return await self._do(inbox.receive_and_claim, self._new(messages), setting, claim, self._clock())

    async def unheard(self, channel: str) -> list[InboundMessage]:
        return await self._read(inbox.unheard, channel)

    async def heard(self, inbox_id: int) -> None:
        await self._do(inbox.heard, inbox_id, self._clock())

    async def edit_message(self, inbox_id: int, text: str) -> bool:
        return await self._do(inbox.edit, inbox_id, plain(text))

    async def text_of(self, inbox_id: int) -> str:
        return await self._read(inbox.text_of, inbox_id)

    # --- runs ---------------------------------------------------------------------------------------------------
    async def open_run(self, run: Run) -> Run:
        return await self._do(runs.open_, run, self._clock())

    async def get_run(self, run_id: int) -> Run:
        return await self._read(runs.get, run_id)

    async def find_run(self, ref: str) -> Run | None:
        return await self._read(runs.find, ref)

    async def unfinished_runs(self, session_id: str | None = None) -> list[Run]:
        return await self._read(runs.unfinished, session_id)

    async def recent_runs(
        self, session_id: str | None = None, limit: int = 20, *, before: int = 0, status: str = ""
    ) -> list[Run]:
        return await self._read(runs.recent, session_id, limit, before, status)

    async def runs_of(self, source: str, limit: int = 20) -> list[Run]:
        return await self._read(runs.of_source, source, limit)

    async def outcomes(self, source: str) -> dict[str, int]:
        return await self._read(runs.outcomes, source)

    async def lease_run(self, run_id: int, owner: str, seconds: float) -> Run | None:
        return await self._do(runs.lease, run_id, owner, seconds, self._clock())

    async def renew_lease(self, run_id: int, epoch: int, seconds: float) -> bool:
        return await self._do(runs.renew, run_id, epoch, self._clock() + seconds)

    async def release_run(self, run_id: int, epoch: int) -> None:
        await self._do(runs.release, run_id, epoch)

    async def take_away(self, run_id: int) -> None:
        await self._do(runs.take_away, run_id)

    async def change_run(self, run_id: int, epoch: int, *, status: Status | None = None, **fields: Any) -> None:
        stored = runs.run_fields(fields)
        await self._do(runs.change, (run_id, epoch), status, stored, self._clock(), owner=(run_id, epoch))

    async def finish_run(
        self,
        run_id: int,
        epoch: int,
        *,
        status: Status,
        answer: str = "",
        error: str = "",
        messages: Sequence[OutboundMessage] = (),
    ) -> None:
        rows = [outbox.posted(message) for message in messages]
        fields = {"answer": plain(answer), "error": plain(error)}
        now = self._clock()

        def finish(connection: Connection) -> bool:
            runs.finish(connection, (run_id, epoch), status, fields, now)
            return sum(outbox.post(connection, row, now) for row in rows) > 0

        await self._do(finish, rings=True, owner=(run_id, epoch))

    # --- steps --------------------------------------------------------------------------------------------------
    async def add_steps(self, run_id: int, epoch: int, steps: Sequence[PlanStep], control: Provenance) -> None:
        rows = tasks.new_steps(steps)
        await self._do(tasks.add, (run_id, epoch), rows, control, self._clock(), owner=(run_id, epoch))

    async def get_steps(self, run_id: int) -> list[StepRecord]:
        return await self._read(tasks.of_run, run_id)

    async def change_step(self, change: StepChange) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writer.submit(self._transition(change, future))
        await future

    def change_step_soon(self, change: StepChange) -> None:
        self._writer.submit_lazily(self._transition(change, None))

    def _transition(self, change: StepChange, future: asyncio.Future[None] | None) -> Operation:
        return Operation(
            transition=transition(change, self._clock()),
            future=future,
            owner=(change.run_id, change.epoch),
        )

    # --- questions and approvals --------------------------------------------------------------------------------
    async def ask(self, question: Question, change: StepChange | None, message: OutboundMessage) -> None:
        await self._wait_for_person(consents.ask, consents.question_row(question, self._clock()), change, message)

    async def request_approval(self, approval: Approval, change: StepChange, message: OutboundMessage | None) -> None:
        row = consents.approval_row(approval, self._clock())
        await self._wait_for_person(consents.request, row, change, message)

    async def _wait_for_person(
        self,
        insert: Callable[[Connection, dict[str, Any]], None],
        row: dict[str, Any],
        change: StepChange | None,
        message: OutboundMessage | None,
    ) -> None:
        now = self._clock()
        posted = None if message is None else outbox.posted(message)
        one = None if change is None else transition(change, now)

        def carry_out(connection: Connection) -> bool:
            if one is not None:
                change_one(connection, one)
            insert(connection, row)
            return posted is not None and outbox.post(connection, posted, now)

        await self._do(carry_out, rings=True, owner=None if change is None else (change.run_id, change.epoch))

    async def answer_question(
        self, question_id: str, answer: str, by: str, *, inbox_id: int | None = None, budget: float | None = None
    ) -> Question | None:
        now = self._clock()

        def answered(connection: Connection) -> Question | None:
            question = consents.answer(connection, question_id, plain(answer), by, now)
            if question is not None and inbox_id is not None:
                inbox.heard(connection, inbox_id, now)
            if question is not None and budget is not None:
                runs.grant(connection, question.run_id, budget)
                raised = {"run_id": question.run_id, "may_spend": budget, "by": by}
                audit.note(connection, "budget", question.session_id, raised, now)
            return question

        return await self._do(answered)

    async def get_question(self, question_id: str) -> Question | None:
        return await self._read(consents.question, question_id)

    async def open_questions(self, session_id: str) -> list[Question]:
        return await self._read(consents.open_questions, session_id)

    async def questions_of(self, run_id: int) -> list[Question]:
        return await self._read(consents.questions_of, run_id)

    async def decide_approval(self, approval_id: str, decision: str, by: str, *, comment: str = "") -> Approval | None:
        return await self._do(consents.decide, approval_id, (decision, plain(comment)), by, self._clock())

    async def edit_approval(
        self,
        approval_id: str,
        edited: Approval,
        by: str,
        *,
        question_id: str,
        answer: str,
        inbox_id: int | None = None,
        messages: Sequence[OutboundMessage] = (),
    ) -> bool:
        now = self._clock()
        row, rows = consents.approval_row(edited, now), [outbox.posted(message) for message in messages]

        def carry_out(connection: Connection) -> bool:
            if consents.edit(connection, approval_id, row, by, now) is None:
                return False
            if consents.answer(connection, question_id, plain(answer), by, now) is None:
                raise IllegalTransition(f"The question {question_id} has been answered already.")
            if inbox_id is not None:
                inbox.heard(connection, inbox_id, now)
            for each in rows:
                outbox.post(connection, each, now)
            return True

        try:
            return await self._do(carry_out, rings=True)
        except IllegalTransition:  # nothing of it was kept
            return False

    async def get_approval(self, approval_id: str) -> Approval | None:
        return await self._read(consents.approval, approval_id)

    async def approvals_of(self, run_id: int) -> list[Approval]:
        return await self._read(consents.approvals_of, run_id)

    # --- artifacts and labels -----------------------------------------------------------------------------------
    async def add_artifacts(self, session_id: str, run_id: int | None, step_id: str, files: Sequence[Artifact]) -> None:
        rows = records.artifact_rows(session_id, run_id, step_id, files, self._clock())
        await self._do(records.add_artifacts, rows)

    async def artifacts_of(self, run_id: int) -> list[Artifact]:
        return await self._read(records.artifacts_of, run_id)

    async def labels(self, session_id: str) -> dict[str, Provenance]:
        return await self._read(records.labels, session_id)

    # --- outbox -------------------------------------------------------------------------------------------------
    async def post(self, message: OutboundMessage) -> None:
        await self._do(outbox.post, outbox.posted(message), self._clock(), rings=True)

    async def due_messages(self, channel: str, limit: int = 100) -> list[OutboundMessage]:
        return await self._read(outbox.due, channel, limit, self._clock())

    async def sent_lately(self, channel: str, seconds: float) -> list[tuple[OutboundMessage, float]]:
        return await self._read(outbox.lately, channel, self._clock() - seconds)

    async def delayed_messages(self, channel: str) -> dict[int, float]:
        return await self._read(outbox.delayed, channel, self._clock())

    async def mark_sending(self, message_ids: Sequence[int]) -> None:
        await self._do(outbox.sending, tuple(message_ids))

    async def mark_sent(self, outbox_id: int, version: int, message_id: str) -> None:
        await self._do(outbox.sent, outbox_id, version, message_id, self._clock())

    async def mark_failed(self, outbox_id: int, error: str, *, retry_at: float | None) -> None:
        await self._do(outbox.failed, outbox_id, plain(error), retry_at)

    async def get_message(self, key: str) -> OutboundMessage | None:
        return await self._read(outbox.get, key)

    async def messages_of(self, session_id: str, limit: int = 100) -> list[OutboundMessage]:
        return await self._read(outbox.of_session, session_id, limit)

    # --- ledger, audit, small values ----------------------------------------------------------------------------
    async def spend(self, session_id: str, run_id: int | None, step_id: str, usage: Sequence[Usage]) -> None:
        await self._do(records.spend, records.usage_rows(session_id, run_id, step_id, usage, self._clock()))

    async def spent(
        self,
        *,
        run_id: int | None = None,
        session_id: str | None = None,
        since: float = 0.0,
    ) -> dict[str, float]:
        return await self._read(records.spent, run_id, session_id, since)

    async def reserve(
        self, caps: Sequence[Cap], *, money: float, tokens: int, run_id: int | None = None
    ) -> Reservation:
        amount = (accounts.billionths(money), tokens)
        return await self._do(accounts.reserve, tuple(caps), amount, run_id, self._clock())

    async def settle(
        self, reservation_id: int, session_id: str, run_id: int | None, step_id: str, usage: Sequence[Usage]
    ) -> tuple[Balance, ...]:
        rows = records.usage_rows(session_id, run_id, step_id, usage, self._clock())
        return await self._do(partial(accounts.settle, spent=accounts.used(usage)), reservation_id, rows)

    async def settle_lost(self, run_id: int) -> int:
        return await self._do(accounts.settle_lost, run_id, self._clock())

    async def balance(self, account: str) -> Balance:
        return await self._read(accounts.balance, account)

    async def prune(self, older_than: float) -> int:
        now = self._clock()
        return await self._do(pruning.prune, now - older_than, now)

    async def audit(self, kind: str, session_id: str, detail: dict[str, Any]) -> None:
        await self._do(audit.note, kind, session_id, detail, self._clock())

    def audit_soon(self, kind: str, session_id: str, detail: dict[str, Any]) -> None:
        noted = partial(audit.note, kind=kind, session_id=session_id, detail=detail, now=self._clock())
        self._writer.submit_lazily(Operation(work=noted))

    async def audit_entries(
        self,
        *,
        session_id: str | None = None,
        kind: str | None = None,
        since: float = 0.0,
        limit: int = 100,
        before: int = 0,
    ) -> list[AuditEntry]:
        return await self._read(audit.newest, session_id, kind, since, (limit, before))

    async def audit_after(self, entry_id: int, limit: int = 1_000) -> list[AuditEntry]:
        return await self._read(audit.after, entry_id, limit)

    async def get_value(self, key: str) -> str | None:
        return await self._read(records.get_value, key)

    async def first_value(self, key: str, value: str) -> str:
        return await self._do(records.first_value, key, plain(value))

    async def set_value(self, key: str, value: str) -> None:
        await self._do(records.set_value, key, plain(value))


if TYPE_CHECKING:
    _is_a_store: type[Store] = SqlStore
