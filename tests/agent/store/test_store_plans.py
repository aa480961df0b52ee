"""How the database goes about it: nothing that people wait for scans the history; PostgreSQL takes the statements too."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy.dialects import postgresql

from agent.domain.artifacts import Artifact
from agent.domain.ledger import Usage
from agent.domain.messages import Destination, InboundMessage, MessageKind, OutboundMessage
from agent.domain.plan import PlanStep
from agent.domain.provenance import USER
from agent.domain.run import Approval, Question, Run, StepChange
from agent.domain.states import Status
from agent.store import steps, transitions
from agent.store.sql import SqlStore
from agent.store.tables import metadata

DEST = Destination("telegram", "1")
OUT = OutboundMessage(DEST, MessageKind.NOTICE, "k", {"text": "x"})


async def everything_people_wait_for(store: SqlStore) -> None:
    [message] = await store.receive_and_set([InboundMessage("telegram", "1", DEST, "7")], "offset", "2")
    await store.touch_session(DEST.session_id, Path("/x"), {})
    await store.unheard("telegram")
    await store.edit_message(message.id, "x")
    run = await store.open_run(Run(DEST.session_id, "x", DEST, inbox_id=message.id))
    run = await store.lease_run(run.id, "me", 60)
    await store.renew_lease(run.id, run.epoch, 60)
    await store.change_run(run.id, run.epoch, status=Status.READY)
    await store.change_run(run.id, run.epoch, status=Status.RUNNING)
    for name in ("a", "b"):
        await store.add_steps(run.id, run.epoch, [PlanStep(id=name, tool="t")], USER)
        await store.change_step(StepChange(run.id, name, Status.READY, run.epoch))
    waits = [StepChange(run.id, name, Status.WAITING_APPROVAL, run.epoch) for name in ("a", "b")]
    await store.ask(Question("q", run.id, "a", run.session_id, "?"), waits[0], OUT)
    await store.request_approval(Approval("p", run.id, "b", run.session_id, "t"), waits[1], OUT)
    await store.open_questions(run.session_id)
    await store.answer_question("q", "x", "7")
    await store.decide_approval("p", "allow", "7")
    await store.questions_of(run.id)
    await store.approvals_of(run.id)
    await store.get_steps(run.id)
    await store.add_artifacts(run.session_id, run.id, "a", [Artifact("x")])
    await store.artifacts_of(run.id)
    await store.labels(run.session_id)
    [out] = await store.due_messages("telegram")
    await store.mark_sending([out.id])
    await store.mark_failed(out.id, "e", retry_at=1)
    await store.mark_sent(out.id, 1, "m")
    await store.messages_of(run.session_id)
    await store.spend(run.session_id, run.id, "a", [Usage("model")])
    await store.spent(run_id=run.id)
    await store.spent(session_id=run.session_id, since=1)
    await store.audit("k", run.session_id, {})
    await store.find_run(run.ref)
    await store.unfinished_runs()
    await store.unfinished_runs(run.session_id)
    await store.recent_runs(run.session_id)
    await store.recent_runs()
    await store.finish_run(run.id, run.epoch, status=Status.COMPLETED, messages=[OUT])


async def test_nothing_that_people_wait_for_scans_the_history(tmp_path: Path):
    file = tmp_path / "journal.db"
    store = SqlStore(file)
    await store.open()
    said: list[str] = []
    driver = store._writer._batches._connection.connection.driver_connection
    driver.set_trace_callback(said.append)
    await everything_people_wait_for(store)
    await store.close()

    connection = sqlite3.connect(file)
    scans = [
        (statement, row[3])
        for statement in said
        if statement.startswith(("SELECT", "UPDATE", "INSERT"))
        for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")
        if row[3].startswith("SCAN") and row[3] != "SCAN CONSTANT ROW"
    ]
    connection.close()
    assert len(said) > 100
    assert [plan for _, plan in scans if "SCAN runs" not in plan] == []
    assert all("ORDER BY runs.id DESC" in statement for statement, _ in scans), "the newest runs, up to a limit"


@pytest.mark.parametrize("prepared", [transitions._UPDATE, steps._INSERT])
def test_the_hot_statements_compile_for_postgresql(prepared):
    sql, arrange = prepared._compile(postgresql.psycopg.dialect())
    row = arrange(tuple(range(len(prepared._names))))

    assert set(row) == set(prepared._names)
    assert all(f"%({name})s" in sql for name in prepared._names)


def test_postgresql_locks_the_run_while_its_steps_change():
    sql, _ = transitions._UPDATE._compile(postgresql.psycopg.dialect())
    assert "FOR SHARE" in sql


def test_every_reference_between_tables_can_be_followed_by_an_index_or_is_never_followed():
    followed = {"tasks", "questions", "approvals", "artifacts", "ledger"}
    for table in followed:
        columns = [next(iter(index.columns)).name for index in metadata.tables[table].indexes]
        columns += [next(iter(constraint.columns)).name for constraint in metadata.tables[table].constraints]
        assert "run_id" in columns
