"""Metrics: what happened is counted once, what waits is shown as it is, and no label is a person's word."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from agent.channels.outbox import OutboxSender
from agent.cli.door import metrics_of
from agent.domain.chain import Chain
from agent.domain.messages import Destination, OutboundMessage
from agent.domain.run import Run
from agent.domain.states import Status
from agent.domain.trigger import Fire, Trigger, TriggerKind
from agent.metrics import MOST_NAMES, OTHERS, Metrics
from agent.metrics.tally import FAMILIES, Tally, tally
from agent.sharing import ENDED
from agent.testing import Bot, step
from plugins.api import tool

DEST = Destination("test", "1")
LABELS = {"le", "status", "origin", "type", "kind", "purpose", "outcome", "where", "network", "direction", "channel"}
LABELS |= {"rung", "trigger_type", "workflow_id", "chain_id"}


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


class Wire:
    """A channel that takes everything."""

    name = "test"

    async def deliver(self, message: OutboundMessage) -> str:
        return f"m{message.id}"

    def busy(self, *_: object, **__: object) -> None:
        """Show nothing."""


async def test_what_is_done_is_counted_where_it_is_done(bot: Bot, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tally, "counts", {})
    monkeypatch.setattr(tally, "times", {})
    sender = OutboxSender(bot.app.store, [Wire()])
    sending = asyncio.create_task(sender.run())
    bot.llm.will_plan(step("first", "say", text="x"), step("second", llm="sum up {{ first.text }}"))
    bot.llm.will_say("step", "short")
    bot.llm.will_answer("done")
    await bot.hears("do it")
    while (await bot.app.store.backlog()).outbox:
        await asyncio.sleep(0.01)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)

    page = await Metrics(bot.app.store).page()
    for purpose in ("plan", "step"):
        assert value_of(page, f'dirigent_model_calls_total{{outcome="ok",purpose="{purpose}"}}') == 1
        assert value_of(page, f'dirigent_model_seconds_count{{purpose="{purpose}"}}') == 1
        assert value_of(page, f'dirigent_model_tokens_total{{kind="prompt",purpose="{purpose}"}}') > 0
    assert value_of(page, 'dirigent_tool_calls_total{outcome="ok",where="sandbox"}') == 1
    assert value_of(page, 'dirigent_messages_received_total{channel="test",kind="message"}') == 1
    assert value_of(page, 'dirigent_deliveries_total{kind="answer",outcome="sent"}') >= 1
    assert value_of(page, "dirigent_delivery_seconds_count") >= 1


async def test_jobs_and_connections_of_sandboxes_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tally, "counts", {})
    monkeypatch.setattr(tally, "times", {})
    async with Bot(tmp_path / "home", builtin=True) as bot:
        bot.llm.will_plan(
            step("good", "shell", command="true"),
            step("bad", "python", code="import urllib.request as u; u.urlopen('http://192.0.2.1/', timeout=5)"),
        )
        bot.llm.will_plan()
        bot.llm.will_answer("done")
        await bot.hears("run it")
        page = await Metrics(bot.app.store).page()
    lines = [line for line in page.decode().splitlines() if line.startswith("dirigent_sandbox_jobs_total{")]
    assert sum(float(line.split()[-1]) for line in lines) >= 2
    assert value_of(page, 'dirigent_sandbox_job_seconds_count{kind="tool"}') >= 2


async def test_a_worker_shows_only_what_is_its_own(bot: Bot):
    own = await Metrics(bot.app.store, whole=False, load=bot.app.engine.load).page()
    whole = await Metrics(bot.app.store, load=bot.app.engine.load).page()
    shared = {"dirigent_outbox_messages", "dirigent_money_dollars_total", "dirigent_workers_alive"}
    for name in shared:
        assert name.encode() in whole
        assert name.encode() not in own
    assert b"dirigent_model_calls_total" in own


async def test_the_page_is_as_prometheus_wants_it(bot: Bot, monkeypatch: pytest.MonkeyPatch):
    from prometheus_client.parser import text_string_to_metric_families

    full = Tally()
    for name, family in FAMILIES.items():
        full.count(name, *("x" for _ in family.labels)) if not family.buckets else full.time(
            name, 1.5, *("x" for _ in family.labels)
        )
    page = (await Metrics(bot.app.store, rung="A", load=bot.app.engine.load, counted=full).page()).decode()
    families = list(text_string_to_metric_families(page))
    assert len({family.name for family in families}) == len(families)
    for family in families:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", family.name), family.name
        assert family.documentation.endswith("."), family.name
        assert family.type in {"counter", "gauge", "histogram"}
        assert not family.name.endswith(("_total", "_count", "_sum", "_bucket")), family.name
        assert not re.search(r"_(ms|milliseconds|minutes|kb|mb)$", family.name), "base units"
        for sample in family.samples:
            assert set(sample.labels) <= LABELS, sample
            if family.type == "counter":
                assert sample.name.endswith("_total")
        if family.type == "histogram" and family.samples:
            buckets = [sample.value for sample in family.samples if sample.name.endswith("_bucket")]
            assert buckets == sorted(buckets), "they are cumulative"


async def test_how_long_something_took_is_in_the_bucket_that_holds_it():
    counted = Tally()
    for seconds in (0.05, 0.1, 0.11, 1_000):
        counted.time("model_seconds", seconds, "plan")
    seen = counted.times["model_seconds"]["plan",]
    assert (seen.buckets[0], seen.buckets[1], seen.buckets[-1], sum(seen.buckets)) == (2, 1, 1, 4)
    assert seen.total == pytest.approx(1_000.26)


async def test_a_run_that_ended_in_another_process_is_not_counted_here(bot: Bot):
    metrics = metrics_of(bot.app)
    orchestrator, elsewhere = bot.app.orchestrator, asyncio.Event()
    bot.llm.will_plan(step("first", "say", text="hi"))
    bot.llm.will_answer("done")
    await bot.hears("say hi")
    counted = 'dirigent_runs_total{origin="message",status="completed"}'
    assert value_of(await metrics.page(), counted) == 1

    theirs = await bot.app.store.open_run(Run("test:2", "theirs", DEST))
    leased = await bot.app.store.lease_run(theirs.id, "another process", 60)
    await bot.app.store.finish_run(theirs.id, leased.epoch, status=Status.CANCELLED)
    orchestrator.when_finished.append(lambda _run: elsewhere.set())
    orchestrator._heard(ENDED, theirs.id)
    assert elsewhere.is_set(), "this process was told"
    page = await metrics.page()
    assert value_of(page, counted) == 1
    assert b'status="cancelled"' not in page
