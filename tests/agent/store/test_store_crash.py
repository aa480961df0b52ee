"""What was acknowledged is there after `kill -9`; two processes may write at once."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.domain.messages import Destination
from agent.domain.plan import PlanStep
from agent.domain.provenance import USER
from agent.domain.run import Run, StepChange
from agent.domain.states import Status
from agent.errors import StaleLease
from agent.store.sql import SqlStore

STEPS = 2_000
WRITES_UNTIL_KILLED = """
import asyncio, sys
from agent.domain.run import StepChange
from agent.domain.states import Status
from agent.store.sql import SqlStore

async def main(file, run_id, epoch, count):
    store = SqlStore(file)
    await store.open()

    async def live(name):
        store.change_step_soon(StepChange(run_id, name, Status.READY, epoch))
        await store.change_step(StepChange(run_id, name, Status.RUNNING, epoch))
        await store.change_step(StepChange(run_id, name, Status.COMPLETED, epoch, output=name * 50))
        print(name, flush=True)

    for first in range(0, count, 20):
        await asyncio.gather(*(live(f"s{i}") for i in range(first, first + 20)))

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
"""
COUNTS = """
import asyncio, sys
from agent.domain.ledger import Usage
from agent.store.sql import SqlStore

async def main(file, name):
    store = SqlStore(file)
    await store.open()
    for i in range(60):
        await asyncio.gather(*(store.spend("s", None, name, [Usage("x", prompt_tokens=1)]) for _ in range(5)))
    await store.close()

asyncio.run(main(*sys.argv[1:]))
"""


@contextmanager
def child(code: str, *args: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", code, *map(str, args)], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


async def a_run(journal: str, count: int) -> Run:
    store = SqlStore(journal)
    await store.open()
    run = await store.open_run(Run("s", "x", Destination("telegram", "1")))
    run = await store.lease_run(run.id, "child", 60)
    await store.add_steps(run.id, run.epoch, [PlanStep(id=f"s{i}", tool="t") for i in range(count)], USER)
    await store.close()
    return run


@pytest.mark.crash
@pytest.mark.parametrize("killed_after", [1, 100, 701])
async def test_what_was_acknowledged_survives_a_kill(journal: str, killed_after: int):
    run = await a_run(journal, STEPS)
    with child(WRITES_UNTIL_KILLED, journal, run.id, run.epoch, STEPS) as process:
        acknowledged = [process.stdout.readline().strip() for _ in range(killed_after)]
        process.kill()
        acknowledged += process.stdout.read().split()

    store = SqlStore(journal)
    await store.open()
    steps = {record.step.id: record for record in await store.get_steps(run.id)}
    await store.close()
    assert killed_after <= len(acknowledged) < STEPS
    assert {steps[name].status for name in acknowledged} == {Status.COMPLETED}
    assert all(record.output == name * 50 for name, record in steps.items() if record.status is Status.COMPLETED)
    if "://" not in journal:
        connection = sqlite3.connect(journal)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()


@pytest.mark.crash
async def test_two_processes_write_without_losing_anything(journal: str):
    with child(COUNTS, journal, "one") as one, child(COUNTS, journal, "two") as two:
        assert [await asyncio.to_thread(process.wait, 60) for process in (one, two)] == [0, 0]

    store = SqlStore(journal)
    await store.open()
    assert (await store.spent(session_id="s"))["calls"] == 600
    await store.close()


async def test_of_two_stores_only_the_one_with_the_lease_writes(journal: str):
    run = await a_run(journal, 1)
    old, new = SqlStore(journal), SqlStore(journal, clock=lambda: run.lease_until + 1)
    await old.open()
    await new.open()
    owned = await new.lease_run(run.id, "new", 60)
    await new.change_step(StepChange(run.id, "s0", Status.READY, owned.epoch))
    with pytest.raises(StaleLease):
        await old.change_step(StepChange(run.id, "s0", Status.RUNNING, run.epoch))
    [record] = await old.get_steps(run.id)
    assert record.status is Status.READY
    await old.close()
    await new.close()


async def test_only_one_of_many_gets_the_lease(journal: str):
    stores = [SqlStore(journal) for _ in range(4)]
    await asyncio.gather(*(store.open() for store in stores))
    run = await stores[0].open_run(Run("s", "x", Destination("telegram", "1")))
    leases = await asyncio.gather(*(store.lease_run(run.id, f"w{i}", 60) for i, store in enumerate(stores)))

    assert len([lease for lease in leases if lease]) == 1
    await asyncio.gather(*(store.close() for store in stores))


async def test_a_journal_that_another_keeps_locked_is_reported_and_works_again_after(tmp_path: Path):
    file = tmp_path / "journal.db"
    store = SqlStore(file)
    await store.open()
    store._writer._batches._connection.connection.driver_connection.execute("PRAGMA busy_timeout=50")
    blocker = sqlite3.connect(file)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(Exception, match="locked"):
        await store.set_value("a", "b")
    assert await store.get_value("a") is None
    blocker.rollback()
    blocker.close()

    await store.set_value("a", "b")
    assert await store.get_value("a") == "b"
    await store.close()
