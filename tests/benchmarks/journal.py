"""What the journal costs per step: `python tests/benchmarks/journal.py [--rounds 5] [--postgresql]`.

A step of 0 ms is made READY, RUNNING and COMPLETED in the journal, in parallel (all at once) and in sequence (one after
the other), and compared in the same run with the least that could be done: `sqlite3` with the same pragmas and one row
updated per step, in one commit (parallel) or in one commit each (sequence). Then calls that cost money are set aside
and settled. Medians over the rounds; ratios count. With `--postgresql` our journal is in a server of its own on this
machine, which waits for the disk; the targets are those of the file.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

from agent.domain.ledger import Cap, Usage
from agent.domain.messages import Destination
from agent.domain.plan import PlanStep
from agent.domain.provenance import USER
from agent.domain.run import Run, StepChange
from agent.domain.states import Status
from agent.store.dialect import PRAGMAS
from agent.store.sql import SqlStore
from agent.testing.postgres import PostgresServer

SIZES = (50, 1_000, 10_000)
MOST_IN_SEQUENCE = 1_000  # steps that are measured one after the other; the journal holds all of them
MICRO = 1_000_000
TARGETS = {"parallel": 400, "sequence": 800}
GUARDED = "UPDATE tasks SET status = ?, output = ?, completed_at = ? WHERE run_id = 1 AND step_id = ? AND status = ?"


class Work:
    """A run in a journal, with steps to live through."""

    def __init__(self, store: SqlStore, run: Run) -> None:
        self.store = store
        self.run = run

    async def live(self, name: str) -> None:
        """Lead one step through its states as the executor does."""
        self.store.change_step_soon(StepChange(self.run.id, name, Status.READY, self.run.epoch))
        self.store.change_step_soon(StepChange(self.run.id, name, Status.RUNNING, self.run.epoch, attempt=1))
        await asyncio.sleep(0)
        done = StepChange(
            self.run.id,
            name,
            Status.COMPLETED,
            self.run.epoch,
            output={"n": 1},
            text="done",
            response_status="ok",
            provenance=USER,
        )
        await self.store.change_step(done)


async def journal(place: Path | str, count: int) -> dict[str, float]:
    """Return µs per step of our journal: adding, in parallel, in sequence, and reading back."""
    store = SqlStore(place)
    await store.open()
    run = await store.open_run(Run("s", "x", Destination("terminal", "1")))
    work = Work(store, await store.lease_run(run.id, "benchmark", 3600) or run)
    parallel = [PlanStep(id=f"p{i}", tool="noop") for i in range(count)]
    sequence = [PlanStep(id=f"s{i}", tool="noop") for i in range(min(count, MOST_IN_SEQUENCE))]
    measured: dict[str, float] = {}

    began = time.perf_counter()
    await store.add_steps(run.id, work.run.epoch, parallel, USER)
    measured["add"] = (time.perf_counter() - began) / count * MICRO

    began = time.perf_counter()
    await asyncio.gather(*(work.live(step.id) for step in parallel))
    measured["parallel"] = (time.perf_counter() - began) / count * MICRO

    await store.add_steps(run.id, work.run.epoch, sequence, USER)
    began = time.perf_counter()
    for step in sequence:
        await work.live(step.id)
    measured["sequence"] = (time.perf_counter() - began) / len(sequence) * MICRO

    began = time.perf_counter()
    records = await store.get_steps(run.id)
    measured["read"] = (time.perf_counter() - began) / len(records) * MICRO
    assert {record.status for record in records} == {Status.COMPLETED}
    measured |= await money(store, run.id, min(count, MOST_IN_SEQUENCE))
    await store.close()
    return measured


async def money(store: SqlStore, run_id: int, count: int) -> dict[str, float]:
    """Return µs per call that is set aside on six accounts and settled, with a ledger that grows, in both ways."""
    caps = [Cap(f"{kind}:{run_id}", money=1e6) for kind in ("run", "project", "session", "user", "day", "month")]

    async def pay() -> None:
        held = await store.reserve(caps, money=0.01, tokens=1_000, run_id=run_id)
        await store.settle(held.id, "s", run_id, "", [Usage("step", "m", 500, 100, 0.005)])

    began = time.perf_counter()
    await asyncio.gather(*(pay() for _ in range(count)))
    parallel = (time.perf_counter() - began) / count * MICRO
    began = time.perf_counter()
    for _ in range(count // 5):
        await pay()
    return {"pay at once": parallel, "pay in turn": (time.perf_counter() - began) / (count // 5) * MICRO}


def plain(folder: Path, count: int) -> dict[str, float]:
    """Return µs per step of plain `sqlite3`."""
    connection = sqlite3.connect(folder / "plain.db", isolation_level=None)
    for pragma in PRAGMAS:
        connection.execute(pragma)
    connection.execute(
        "CREATE TABLE tasks (run_id INTEGER, step_id TEXT, status TEXT, output TEXT, completed_at REAL, "
        "PRIMARY KEY (run_id, step_id))",
    )
    kinds = {"parallel": [f"p{i}" for i in range(count)], "sequence": [f"s{i}" for i in range(min(count, 1000))]}
    for names in kinds.values():
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO tasks VALUES (1, ?, 'RUNNING', NULL, NULL)", [(name,) for name in names])
        connection.execute("COMMIT")
    rows = {kind: [("COMPLETED", '{"n":1}', 1.0, name, "RUNNING") for name in names] for kind, names in kinds.items()}

    began = time.perf_counter()
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(GUARDED, rows["parallel"])
    connection.execute("COMMIT")
    measured = {"parallel": (time.perf_counter() - began) / count * MICRO}

    began = time.perf_counter()
    for row in rows["sequence"]:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(GUARDED, row)
        connection.execute("COMMIT")
    measured["sequence"] = (time.perf_counter() - began) / len(rows["sequence"]) * MICRO
    connection.close()
    return measured


def one_round(count: int, server: PostgresServer | None) -> tuple[dict[str, float], dict[str, float]]:
    """Measure both once, in fresh files (or a fresh database) on the same disk."""
    with tempfile.TemporaryDirectory() as folder:
        ours = asyncio.run(journal(server.new_database() if server else Path(folder, "journal.db"), count))
        return ours, plain(Path(folder), count)


def report(count: int, rounds: int, server: PostgresServer | None) -> str:
    """Print one size's medians and return the verdict."""
    results = [one_round(count, server) for _ in range(rounds)]
    ours = {name: statistics.median(result[0][name] for result in results) for name in results[0][0]}
    bare = {name: statistics.median(result[1][name] for result in results) for name in results[0][1]}
    for name, value in ours.items():
        line = f"{count:>6} steps  {name:<11} {value:8.1f} µs"
        if name in bare:
            line += (
                f"   plain sqlite3 {bare[name]:8.1f} µs   ratio {value / bare[name]:5.2f}   target {TARGETS[name]} µs"
            )
        print(line)
    if all(ours[name] <= target for name, target in TARGETS.items()):
        return "met"
    return "too busy a machine" if bare["sequence"] > TARGETS["sequence"] / 2 else "MISSED"


def main() -> None:
    """Measure all sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--postgresql", action="store_true")
    given = parser.parse_args()
    with PostgresServer.start(durable=True) if given.postgresql else contextlib.nullcontext() as server:
        one_round(10, server)  # imports and compiled statements
        verdicts = {count: report(count, given.rounds, server) for count in SIZES}
    print("targets:", ", ".join(f"{count} steps {verdict}" for count, verdict in verdicts.items()))


if __name__ == "__main__":
    main()
