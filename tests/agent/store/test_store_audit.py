"""Contract: the audit log is a chain that any process may lengthen and nobody may change unnoticed."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from agent.domain.audit import GENESIS, Chain, seal
from agent.domain.event import Event
from agent.domain.plan import PlanStep
from agent.domain.provenance import USER
from agent.domain.run import Approval, Question, StepChange, StepNote
from agent.domain.states import Status
from agent.errors import IllegalTransition
from agent.logs import redact
from agent.store import schema
from agent.store.dialect import engine_of, url_of
from agent.store.sql import SqlStore

WRITE_MANY = """
import asyncio, sys
from agent.store.sql import SqlStore

async def main():
    store = SqlStore(sys.argv[1])
    await store.open()
    for number in range(40):
        await asyncio.gather(*(store.audit(sys.argv[2], "s", {"n": [number, one]}) for one in range(3)))
    await store.close()

asyncio.run(main())
"""


async def checked(store: SqlStore) -> Chain:
    chain = Chain()
    while entries := await store.audit_after(chain.last_id, 7):
        if not chain.take(entries):
            break
    return chain


async def kinds(store: SqlStore) -> list[str]:
    return [entry.kind for entry in await store.audit_entries()]


def change(file: Path, *statements: str) -> None:
    connection = sqlite3.connect(file)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


async def test_every_entry_is_sealed_with_the_one_before_it(store):
    for number in range(20):
        await store.audit("k", "s", {"n": number})

    entries = await store.audit_after(0)

    previous = GENESIS
    for number, entry in enumerate(entries):
        assert entry.facts == {"n": number}
        assert entry.seal == seal(previous, "k", "s", entry.detail, entry.at)
        previous = entry.seal
    chain = await checked(store)
    assert (chain.broken, chain.count, chain.head) == (None, 20, previous)


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE audit SET detail = '{\"n\":99}' WHERE id = 5",
        "UPDATE audit SET at = at + 1 WHERE id = 5",
        "UPDATE audit SET session_id = 'other' WHERE id = 5",
        "UPDATE audit SET kind = 'other' WHERE id = 5",
        "DELETE FROM audit WHERE id = 4",
        "UPDATE audit SET hash = '' WHERE id = 5",
        "UPDATE audit SET id = CASE id WHEN 5 THEN -6 WHEN 6 THEN 5 ELSE id END WHERE id IN (5, 6)",
    ],
)
async def test_the_first_entry_that_does_not_fit_is_named(store, execute, tampering):
    for number in range(10):
        await store.audit("k", "s", {"n": number})
    execute(tampering)

    chain = await checked(store)

    assert chain.broken is not None
    assert chain.broken.id in {5, -6}


async def test_entries_that_are_cut_off_are_missed_by_whoever_noted_the_head(store, execute):
    for number in range(3):
        await store.audit("k", "s", {"n": number})
    head = (await checked(store)).head
    execute("DELETE FROM audit WHERE id = 3")
    await store.audit("k", "s", {"n": 4})

    chain = Chain(met=head)
    chain.take(await store.audit_after(0))

    assert chain.broken is None
    assert not chain.found


async def test_two_processes_write_one_chain(journal):
    store = SqlStore(journal)
    await store.open()
    processes = [subprocess.Popen([sys.executable, "-c", WRITE_MANY, journal, name]) for name in ("a", "b")]
    for number in range(40):
        await store.audit("own", "s", {"n": number})
    assert [await asyncio.to_thread(process.wait, 60) for process in processes] == [0, 0]

    chain = await checked(store)

    assert (chain.broken, chain.count) == (None, 280)
    await store.close()


async def test_a_refused_write_leaves_nothing_in_the_log_and_its_neighbours_stay(store, new_run, notice):
    run = await new_run("a")
    before = len(await store.audit_entries())
    noted = StepNote("effect begun", run.session_id, {"step": "a"})
    wrong = StepChange(run.id, "a", Status.COMPLETED, run.epoch, note=noted)

    first, refused, last = await asyncio.gather(
        store.audit("first", "s", {}),
        store.change_step(wrong),
        store.audit("last", "s", {}),
        return_exceptions=True,
    )

    assert (first, last) == (None, None)
    assert isinstance(refused, IllegalTransition)
    assert (await kinds(store))[before:] == ["first", "last"]
    assert (await checked(store)).broken is None


async def test_what_a_transition_notes_is_written_with_it_also_when_two_become_one(store, new_run):
    run = await new_run("a")
    begun = StepNote("effect begun", run.session_id, {"step": "a"})
    ended = StepNote("effect ended", run.session_id, {"step": "a", "status": "ok"})
    store.change_step_soon(StepChange(run.id, "a", Status.READY, run.epoch))
    store.change_step_soon(StepChange(run.id, "a", Status.RUNNING, run.epoch, note=begun))
    await store.change_step(StepChange(run.id, "a", Status.COMPLETED, run.epoch, note=ended))

    assert (await kinds(store))[-2:] == ["effect begun", "effect ended"]


async def test_the_journal_notes_what_people_and_plans_do(store, new_run, message, notice):
    [heard] = await store.receive([message("1", "my private words")])
    await store.receive([message("2", action="a/x/allow")])
    run = await new_run("a", inbox_id=heard.id)
    for name, state in (("a", Status.READY), ("a", Status.WAITING_APPROVAL)):
        await store.change_step(StepChange(run.id, name, state, run.epoch))
    approval = Approval("a1", run.id, "a", run.session_id, tool="mail.send", digest="d", because="your message")
    await store.request_approval(approval, StepChange(run.id, "a", Status.RUNNING, run.epoch), notice("approval:a1"))
    await store.decide_approval("a1", "allow", "7")
    await store.ask(Question("q1", run.id, "a", run.session_id, text="Which?"), None, notice("question:q1"))
    await store.answer_question("q1", "the red one", "7")
    await store.publish(Event("order.created", "cli", "k1", payload={"total": 1}))

    entries = await store.audit_entries()

    told = ["message", "message", "run", "plan", "asked", "approval", "answer", "event"]
    assert [entry.kind for entry in entries] == told
    assert entries[3].facts["steps"] == {"a": "noop"}
    assert entries[4].facts["tool"] == "mail.send"
    assert entries[5].facts["decision"] == "allow"
    said = json.dumps([entry.facts for entry in entries])
    assert "private words" not in said
    assert "the red one" not in said


async def test_a_message_that_comes_twice_is_noted_once(store, message):
    await store.receive([message("1")])
    await store.receive([message("1")])

    assert await kinds(store) == ["message"]


async def test_secrets_are_hidden_before_anything_is_sealed(store, tmp_path, execute):
    redact.add(["canary-4711-secret"])
    await store.audit("k", "s", {"args": {"key": "canary-4711-secret", "token": "sk-abcdefghijklmnop1234"}})

    [entry] = await store.audit_entries()

    assert entry.facts == {"args": {"key": "[hidden]", "token": "[hidden]"}}
    assert (await checked(store)).broken is None
    assert "canary-4711" not in str(execute("SELECT * FROM audit"))
    await store.close()
    assert b"canary-4711" not in b"".join(path.read_bytes() for path in tmp_path.glob("journal.db*"))


async def test_entries_are_found_by_session_kind_and_time(store, clock):
    await store.audit("old", "s", {})
    clock.now += 100
    await store.audit("k", "s", {"n": 1})
    await store.audit("k", "t", {"n": 2})
    await store.audit("other", "s", {"n": 3})

    async def found(**wanted: object) -> list[str]:
        return [entry.detail for entry in await store.audit_entries(**wanted)]

    assert await found(session_id="s", kind="k") == ['{"n":1}']
    assert await found(since=clock.now) == ['{"n":1}', '{"n":2}', '{"n":3}']
    assert await found(limit=2) == ['{"n":2}', '{"n":3}']


async def test_forgetting_leaves_the_chain_whole(store, new_run, clock):
    run = await new_run("a")
    await store.finish_run(run.id, run.epoch, status=Status.COMPLETED)
    before = len(await store.audit_after(0))
    clock.now += 400 * 24 * 3600.0
    assert await store.prune(90 * 24 * 3600.0) > 0

    chain = await checked(store)

    assert (chain.broken, chain.count) == (None, before)


async def test_a_log_of_before_is_chained_by_the_migration(tmp_path):
    from alembic import command

    file = tmp_path / "journal.db"
    engine = engine_of(url_of(file))
    with engine.connect() as connection, connection.begin():
        command.upgrade(schema.migrations(connection), "0004")
    engine.dispose()
    insert = "INSERT INTO audit (kind, session_id, detail, at) VALUES ('old', 's', '{\"n\":%d}', %r)"
    change(file, *(insert % (number, 1e9 + number / 7) for number in range(5)))
    store = SqlStore(file)
    await store.open()
    await store.audit("new", "s", {})

    chain = await checked(store)

    assert (chain.broken, chain.count) == (None, 6)
    await store.close()


async def test_steps_that_were_known_already_are_not_noted_again(store, new_run):
    run = await new_run("a")
    await store.add_steps(run.id, run.epoch, [PlanStep(id="a", tool="noop")], USER)

    assert (await kinds(store)).count("plan") == 1


async def test_what_is_noted_soon_shares_the_next_commit_in_its_place(store):
    before = store.commits
    for number in range(50):
        store.audit_soon("network", "s", {"n": number})
    await store.audit("step", "s", {})

    assert await kinds(store) == ["network"] * 50 + ["step"]
    assert store.commits == before + 1
    assert (await checked(store)).broken is None


async def test_what_is_noted_soon_is_written_when_nothing_follows(store):
    store.audit_soon("network", "s", {"n": 1})
    await store.close()

    await store.open()

    assert await kinds(store) == ["network"]
