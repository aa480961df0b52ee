"""Leases that are lost, sessions that are broken, disks that are full: work stops, nothing hangs, nobody is left alone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agent.domain.messages import Destination, MessageKind
from agent.domain.plan import OnFailure
from agent.errors import DirigentError
from agent.testing import Bot, step
from plugins.api import tool
from tests.conftest import boom, echo, note, send


class Slow:
    """A tool that works until it is stopped, says when, and does not work any more after that."""

    def __init__(self) -> None:
        began, ended = self.began, self.ended = asyncio.Event(), asyncio.Event()

        @tool
        async def slow() -> str:
            """Work for ever."""
            if ended.is_set():
                return ""
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            return ""

        self.tool = slow


@pytest.mark.parametrize("fault", ["lost", "the journal fails"])
async def test_work_stops_when_its_lease_is_lost_and_begins_anew_when_it_can(
    tmp_path: Path, monkeypatch: Any, fault: str
):
    monkeypatch.setattr("agent.leases.LEASE_SECONDS", 2.0)
    slow = Slow()
    async with asyncio.timeout(100), Bot(tmp_path, [slow.tool]) as bot:
        kept = bot.app.store.renew_lease

        async def renew(*args: Any) -> bool:
            if slow.ended.is_set():
                return await kept(*args)
            if fault == "lost":
                return False
            raise DirigentError("The journal is locked.")

        monkeypatch.setattr(bot.app.store, "renew_lease", renew)
        for _ in range(3):  # on a stalled machine the lease is lost before there is a plan
            bot.llm.will_plan(step("s1", "slow"))
        bot.llm.will_answer("done")
        answer = await bot.hears("go")
        assert slow.ended.is_set()
        assert (answer.text, answer.status) == ("done", "COMPLETED")
        assert (await bot.last_run()).epoch > 1


async def test_work_goes_on_while_its_lease_is_renewed(tmp_path: Path, monkeypatch: Any):
    monkeypatch.setattr("agent.leases.LEASE_SECONDS", 2.4)
    slow = Slow()
    async with asyncio.timeout(100), Bot(tmp_path, [slow.tool]) as bot:
        renewed, kept = asyncio.Event(), bot.app.store.renew_lease
        times: list[bool] = []

        async def renew(*args: Any) -> bool:
            times.append(await kept(*args))
            if len(times) == 4:
                renewed.set()
            return times[-1]

        monkeypatch.setattr(bot.app.store, "renew_lease", renew)
        bot.llm.will_plan(step("s1", "slow"))
        await bot.receives("go")
        await renewed.wait()
        assert all(times)
        assert not slow.ended.is_set()


async def test_an_answer_stands_when_the_history_cannot_be_written(tmp_path: Path, monkeypatch: Any):
    async with asyncio.timeout(100), Bot(tmp_path, [echo]) as bot:

        async def full(*_: Any, **__: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(bot.app.orchestrator.sessions, "add_history", full)
        bot.llm.will_plan(step("s1", "echo", text="hi"))
        bot.llm.will_answer("It said hi.")
        said = await bot.app.orchestrator.run("s", "say hi", None, None, {"chat_id": 1})
        assert said == "It said hi."
        (run,) = await bot.app.store.recent_runs("s")
        assert run.status == "COMPLETED"


async def test_a_run_whose_session_file_is_broken_ends_with_the_file_named(tmp_path: Path):
    async with asyncio.timeout(100), Bot(tmp_path, [echo]) as bot:
        bot.llm.will_plan(step("s1", ask="Which?", options=("a", "b")))
        await bot.hears("go")
        question = await bot.question()
        assert question is not None
        (bot.workspace.parent / "SESSION.json").write_bytes(b"\xff\xfe broken")
        bot.app.orchestrator.clear_session_cache("test:1")
        await bot.app.orchestrator.answer_question(question.id, "a", "1")
        answer = await bot.answer()
        assert answer.status == "FAILED"
        (error,) = await bot.shown(MessageKind.ERROR)
        assert "SESSION.json" in error.payload["text"]


async def test_stopping_a_run_that_has_just_ended_releases_whoever_waits_for_it(tmp_path: Path):
    slow = Slow()
    async with asyncio.timeout(100), Bot(tmp_path, [slow.tool]) as bot:
        bot.llm.will_plan(step("s1", "slow"))
        place = Destination("direct", "1")
        waiting = asyncio.create_task(bot.app.orchestrator.run("direct:1", "go", None, None, place))
        await slow.began.wait()
        (run,) = await bot.app.store.recent_runs("direct:1")
        await bot.app.orchestrator.stop_run(run)
        assert "Stopped" in await waiting


async def test_a_failure_that_stops_the_plan_stops_it_also_after_a_question(tmp_path: Path):
    async with asyncio.timeout(100), Bot(tmp_path, [boom, note, echo]) as bot:
        bot.llm.will_plan(
            step("q", ask="Go on?", options=("yes", "no")),
            step("s1", "boom", on_failure=OnFailure.STOP),
            step("s2", "note", name="never.txt", after=("q",)),
        )
        bot.llm.will_answer("It broke.")
        answer = await bot.hears("go")
        assert answer.status == "FAILED"
        assert await bot.question() is None
        assert not (bot.workspace / "never.txt").exists()


async def test_a_plan_that_was_stopped_by_a_failure_before_a_crash_does_not_go_on(tmp_path: Path, monkeypatch: Any):
    async with Bot(tmp_path, [boom, send]) as bot:

        async def killed(*_: Any, **__: Any) -> None:
            await bot.app.store.close()

        monkeypatch.setattr(bot.app.store, "finish_run", killed)
        bot.llm.will_plan(step("s1", "boom", on_failure=OnFailure.STOP), step("s2", "send", to="ada", text="hi"))
        bot.llm.will_answer("It broke.")
        await bot.receives("go")
        await bot.app.engine.idle()
    async with asyncio.timeout(100), Bot(tmp_path, [boom, send]) as bot:
        bot.llm.will_answer("It broke.")
        answer = await bot.answer()
        assert answer.status == "FAILED"
        assert bot.statuses["s1"] == "FAILED"
        assert await bot.shown(MessageKind.APPROVAL) == [] or bot.statuses["s2"] == "CANCELLED"


async def test_a_plan_with_endless_titles_is_shown_in_short(tmp_path: Path):
    async with Bot(tmp_path, [echo]) as bot:
        bot.llm.will_plan(step("s1", "echo", title="x" * 50_000, text="hi"), title="y" * 50_000)
        bot.llm.will_answer("hi")
        await bot.hears("go")
        (plan,) = await bot.shown(MessageKind.PLAN)
        assert len(str(plan.payload)) < 1_000


async def test_a_run_waits_while_another_process_works_on_its_project(tmp_path: Path, monkeypatch: Any):
    monkeypatch.setattr("agent.sharing.PROJECT_SECONDS", 0.05)
    async with asyncio.timeout(100), Bot(tmp_path, [note]) as bot:
        store, runner = bot.app.store, bot.app.orchestrator
        elsewhere = await runner.open_run(bot.dest.session_id, "first", bot.dest, project="film")
        theirs = await store.lease_run(elsewhere.id, "elsewhere:1:1", 60.0)
        bot.llm.will_plan(step("s1", "note", name="mine.txt"))
        mine = await runner.open_run(bot.dest.session_id, "second", bot.dest, project="film")
        runner.submit(mine)
        await bot.app.engine.idle()
        assert (await store.get_run(mine.id)).status == "PENDING"

        finished = asyncio.Event()
        runner.when_finished.append(lambda run_id: finished.set() if run_id == mine.id else None)
        await store.release_run(theirs.id, theirs.epoch)
        await finished.wait()
        assert (await store.get_run(mine.id)).status == "COMPLETED"
