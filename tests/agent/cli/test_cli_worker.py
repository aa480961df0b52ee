"""`dirigent worker` and what else speaks of workers, where they can't be and where none runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.cli import checks
from agent.cli.serve import in_words
from agent.config import load_config
from agent.testing.postgres import PostgresServer, binaries
from sandbox.api import Rung

Dirigent = Callable[..., tuple[int, str, str]]


def test_a_worker_has_nothing_to_do_where_one_process_does_everything(dirigent: Dirigent):
    code, _, said = dirigent("worker")
    assert code == 1
    assert 'engine is "local"' in said
    assert 'engine = "workers"' in said


@pytest.mark.parametrize("words", [("worker",), ("chat", "hello"), ("doctor",)])
def test_workers_need_a_journal_that_they_can_share(
    dirigent: Dirigent, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
):
    monkeypatch.setenv("DIRIGENT_ENGINE", "workers")
    monkeypatch.setenv("DIRIGENT_MODEL", "offline")
    code, out, err = dirigent(*words)
    assert code == 1
    assert "the journal is a file" in out + err
    assert "postgresql://" in out + err


@pytest.mark.parametrize("runs", ["0", "many", "-1"])
def test_a_number_of_runs_that_can_not_be_is_refused(dirigent: Dirigent, runs: str):
    code, _, said = dirigent("worker", f"--runs={runs}")
    assert code == 2
    assert runs in said


async def test_doctor_says_that_no_worker_runs(home: Path, monkeypatch: pytest.MonkeyPatch):
    if binaries() is None:
        pytest.skip("there is no PostgreSQL on this machine")
    with PostgresServer.start() as server:
        monkeypatch.setenv("DIRIGENT_ENGINE", "workers")
        monkeypatch.setenv("DIRIGENT_STORE", server.new_database())
        found = await checks.check_workers(load_config())
        assert (found.state, found.remedy) == ("fail", "dirigent worker")

        from agent.parts import make_engine

        async def nothing(_run_id: int) -> None:
            """Do nothing."""

        worker = make_engine(load_config(), works=True, runs=3)
        await worker.start(nothing)
        while not (await worker.load()).workers:
            pass
        found = await checks.check_workers(load_config())
        await worker.stop()
    assert found.state == "ok"
    assert "1 alive" in found.text
    assert "(0 of 3)" in found.text


def test_what_is_said_of_the_walls_is_whole_sentences():
    assert in_words(Rung("A", "bubblewrap")) == "Sandbox A: bubblewrap"
    assert in_words(Rung("C", "Landlock", "Install bubblewrap.")) == "Sandbox C: Landlock. Install bubblewrap."
