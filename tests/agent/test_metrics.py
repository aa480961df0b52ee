"""Metrics: what happened is counted once, what waits is shown as it is, and no label is a person's word."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from agent.domain.chain import Chain
from agent.domain.messages import Destination
from agent.domain.run import Run
from agent.domain.states import Status
from agent.domain.trigger import Fire, Trigger, TriggerKind
from agent.metrics import MOST_NAMES, OTHERS, Metrics
from agent.testing import Bot, step
from plugins.api import tool

DEST = Destination("test", "1")


@tool
def say(text: str) -> str:
    """Return the text."""
    return text


@pytest.fixture
async def bot(tmp_path: Path):
    async with Bot(tmp_path / "home", [say]) as made:
        yield made


def value_of(page: bytes, name: str) -> float:
    return next(float(line.split()[-1]) for line in page.decode().splitlines() if line.startswith(name + " "))


async def test_a_run_is_counted_once_with_its_steps_calls_and_tokens(bot: Bot):
    metrics = Metrics(bot.app.store, rung="A", boxes=lambda: 2, running=lambda: True)
    bot.app.orchestrator.when_finished.append(metrics.run_ended)
    bot.llm.will_plan(step("first", "say", text="a secret wish"))
    bot.llm.will_answer("done")
    await bot.hears("say a secret wish")
    (run,) = await bot.app.store.recent_runs()
    metrics.run_ended(run.id)

    page = await metrics.page()
    assert value_of(page, 'dirigent_runs_total{origin="message",status="completed"}') == 1
    assert value_of(page, 'dirigent_steps_total{status="completed",type="tool"}') == 1
    assert value_of(page, 'dirigent_step_seconds_count{type="tool"}') == 1
    assert value_of(page, 'dirigent_sandbox_rung{rung="A"}') == 1
    assert value_of(page, "dirigent_sandbox_boxes") == 2
    assert value_of(page, "dirigent_automation_running") == 1
    assert value_of(page, "dirigent_calls_total") == (await bot.app.store.spent())["calls"]
    assert b"wish" not in page


async def test_fires_and_chains_have_the_names_of_the_specification(bot: Bot):
    store = bot.app.store
    await store.create_chain(Chain("c1", "My chain", ("a", "b")))
    metrics = Metrics(store)
    trigger = Trigger("t1", "my words", TriggerKind.SCHEDULE, {"chain": "My chain"}, DEST.session_id, DEST)
    metrics.fired(trigger, Fire("t1", "k", 0.0))
    metrics.fired(replace(trigger, target={"request": "my words"}), Fire("t1", "k2", 0.0))
    run = await store.open_run(Run("test:1", "my words", DEST, source="chain:c1"))
    leased = await store.lease_run(run.id, "me", 60)
    await store.change_run(run.id, leased.epoch, status=Status.READY)
    await store.change_run(run.id, leased.epoch, status=Status.RUNNING)
    metrics.run_ended(run.id)
    assert b"chain_executions_total{" not in await metrics.page(), "it has not ended"
    await store.finish_run(run.id, leased.epoch, status=Status.COMPLETED)
    metrics.run_ended(run.id)

    page = await metrics.page()
    assert value_of(page, 'trigger_fires_total{trigger_type="schedule",workflow_id="c1"}') == 1
    assert value_of(page, 'trigger_fires_total{trigger_type="schedule",workflow_id="t1"}') == 1
    assert value_of(page, 'chain_executions_total{chain_id="c1",status="success"}') == 1
    assert value_of(page, 'workflow_duration_seconds_count{workflow_id="c1"}') == 1
    assert b"words" not in page


async def test_a_fire_of_the_automation_is_counted_as_it_happens(bot: Bot):
    metrics = Metrics(bot.app.store)
    bot.app.automation.launcher.when_fired.append(metrics.fired)
    counting = asyncio.create_task(metrics.run())
    trigger = Trigger("t9", "n", TriggerKind.MANUAL, {"notice": "hello"}, DEST.session_id, DEST)
    await bot.app.automation.create(trigger)
    await bot.app.automation.fire("t9")

    page = await metrics.page()
    assert value_of(page, 'trigger_fires_total{trigger_type="manual",workflow_id="t9"}') == 1
    assert value_of(page, "dirigent_outbox_messages") == 1
    counting.cancel()
    await asyncio.gather(counting, return_exceptions=True)


async def test_there_is_a_bound_on_names(bot: Bot):
    metrics = Metrics(bot.app.store)
    names = {metrics._bounded(f"p{number}") for number in range(MOST_NAMES + 5)}
    assert len(names) == MOST_NAMES + 1
    assert OTHERS in names


def test_without_metrics_their_library_is_not_loaded():
    code = "import sys, agent.app, agent.metrics; assert 'prometheus_client' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
