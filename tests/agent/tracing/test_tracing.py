"""Traces as a collector gets them: one trace a request, the conventions' names, no content and no secret unasked."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from loguru import logger
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

from agent import tracing
from agent.config.tracing import Tracing
from agent.domain.messages import OutboundMessage
from agent.errors import ConfigError
from agent.testing import Bot, step
from plugins.api import tool

SECRET = "a-key-that-nobody-may-see"
KNOWN = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")}


@tool
def say(text: str) -> str:
    """Return the text."""
    return text


@tool
def broken(text: str) -> str:
    """Fail."""
    raise ValueError(text)


class Wire:
    """A channel that takes everything."""

    name = "test"

    async def deliver(self, message: OutboundMessage) -> str:
        return f"m{message.id}"

    def busy(self, *_: Any, **__: Any) -> None:
        """Show nothing."""


async def a_request(home: Path, collector: Any, **settings: Any) -> None:
    """Have one request planned, carried out, answered and delivered, and what is traced brought to the collector."""
    config = {"tracing": {"endpoint": collector.address, **settings}}
    async with Bot(home, [say], **config) as bot:
        bot.llm.will_plan(step("first", "say", text="private words"), step("second", "say", text="more"))
        bot.llm.will_answer("a private answer")
        async with bot.sending(Wire()):
            await bot.hears("a private wish")


async def test_one_request_is_one_trace_from_its_message_to_its_delivered_answer(tmp_path: Path, collector: Any):
    await a_request(tmp_path, collector)
    assert len({span.trace_id for span in collector.spans}) == 1
    (whole,) = collector.named("invoke_agent")
    (work,) = collector.named("work on run")
    (received,) = collector.named("receive message")
    (plan,) = collector.named("plan")
    assert not whole.parent_span_id
    for span in (work, received, *collector.named("deliver answer")):
        assert collector.parent(span) is whole
    assert collector.named("deliver answer")
    assert collector.parent(plan) is work
    steps = collector.named("step ")
    assert {span.name for span in steps} == {"step first", "step second"}
    assert all(collector.parent(span) is work for span in steps)
    tools = collector.named("execute_tool")
    assert [collector.parent(span).name for span in tools] == [
        f"step {collector.told(collector.parent(span))['dirigent.step.id']}" for span in tools
    ]
    calls = {collector.told(span)["dirigent.purpose"]: span for span in collector.named("chat ")}
    assert collector.parent(calls["plan"]) is plan
    told = collector.told(whole)
    assert (told["dirigent.run.status"], told["gen_ai.conversation.id"]) == ("completed", "test:1")
    assert whole.start_time_unix_nano <= work.start_time_unix_nano < whole.end_time_unix_nano


async def test_a_call_of_a_model_is_told_by_the_conventions(tmp_path: Path, collector: Any):
    await a_request(tmp_path, collector)
    for span in collector.spans:
        told = collector.told(span)
        assert {name for name in told if name.startswith("gen_ai.")} <= KNOWN
    told = collector.told(collector.named("chat ")[0])
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.provider.name"]
    assert told["gen_ai.request.model"] == told["gen_ai.response.model"]
    assert told["gen_ai.usage.input_tokens"] > 0
    assert told["gen_ai.usage.output_tokens"] > 0
    assert told["gen_ai.response.finish_reasons"] == ["stop"]
    (service, *_) = collector.services
    assert service["service.name"] == "dirigent"


async def test_what_was_written_is_not_recorded_unless_the_owner_says_so(tmp_path: Path, collector: Any):
    await a_request(tmp_path / "a", collector)
    assert not any(b"private" in body for body in collector.bodies)
    await a_request(tmp_path / "b", collector, content=True)
    sent = b"".join(collector.bodies)
    for words in (b"private wish", b"private words", b"private answer"):
        assert words in sent


async def test_secrets_are_recorded_never(tmp_path: Path, collector: Any):
    from agent.logs import redact

    redact.add([SECRET])
    tracing.start(Tracing(endpoint=collector.address, content=True, headers={"authorization": "Bearer what-it-wants"}))
    span = tracing.begin(f"call {SECRET}", {"at": SECRET}, of="E-1")
    span.content("gen_ai.prompt.name", lambda: f"the key is {SECRET}")
    span.fail("ValueError", f"wrong key {SECRET}")
    span.end()
    await tracing.stop()
    assert SECRET.encode() not in collector.bodies[0]
    assert collector.headers[0]["authorization"] == "Bearer what-it-wants"
    assert "what-it-wants" not in redact("Bearer what-it-wants")


async def test_what_fails_says_of_what_kind(tmp_path: Path, collector: Any):
    async with Bot(tmp_path, [broken], tracing={"endpoint": collector.address}, limits={"replans": 0}) as bot:
        bot.llm.will_plan(step("first", "broken", text="words of a stranger"))
        bot.llm.will_answer("it failed")
        await bot.hears("try it")
    for name in ("step first", "execute_tool"):
        (span,) = collector.named(name)
        assert span.status.code == 2
        assert collector.told(span)["error.type"] == "error"
    assert not any(b"stranger" in body for body in collector.bodies)


async def test_the_next_process_goes_on_with_the_trace(tmp_path: Path, collector: Any):
    settings = {"tracing": {"endpoint": collector.address}}
    async with Bot(tmp_path, [say], **settings) as bot:
        bot.llm.will_plan(step("s1", ask="Which?", options=("a", "b")), step("s2", "say", text="x", after=("s1",)))
        await bot.hears("ask me")
        (question,) = await bot.app.store.open_questions("test:1")
    assert collector.named("work on run")
    assert not collector.named("invoke_agent"), "it has not ended"
    async with Bot(tmp_path, [say], **settings) as bot:
        bot.llm.will_answer("done")
        await bot.app.orchestrator.answer_question(question.id, "a", "1")
        await bot.answer()
    (whole,) = collector.named("invoke_agent")
    works = collector.named("work on run")
    assert len(works) >= 2
    assert all(collector.parent(span) is whole for span in works)


async def test_a_run_that_goes_on_from_another_links_to_it(tmp_path: Path, collector: Any):
    async with Bot(tmp_path, [say], tracing={"endpoint": collector.address}) as bot:
        bot.llm.will_plan(step("s1", "say", text="x"))
        bot.llm.will_answer("one")
        await bot.hears("do it")
        (run,) = await bot.app.store.recent_runs()
        bot.llm.will_answer("two")
        assert await bot.app.orchestrator.go_on(run) is not None
        await bot.answer()
    first, second = sorted(collector.named("invoke_agent"), key=lambda span: span.start_time_unix_nano)
    (link,) = second.links
    assert (link.trace_id, link.span_id) == (first.trace_id, first.span_id)
    assert first.trace_id != second.trace_id


async def test_a_request_is_sampled_whole_or_not_at_all(tmp_path: Path, collector: Any):
    await a_request(tmp_path / "none", collector, sample=0.0)
    assert collector.spans == []
    tracing.start(Tracing(endpoint=collector.address, sample=0.5))
    names = [f"E-{number}" for number in range(60)]
    for name in names:
        for _ in range(3):
            tracing.begin("work", of=name).end()
    await tracing.stop()
    kept = {span.trace_id for span in collector.spans}
    assert 5 < len(kept) < 55
    assert len(collector.spans) == 3 * len(kept)


async def test_a_collector_that_is_down_is_said_once_and_holds_nobody_up(tmp_path: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    said: list[str] = []
    sink = logger.add(lambda message: said.append(message.record["message"]), level="INFO")
    try:
        tracing.start(Tracing(endpoint=address))
        for number in range(3):
            began = time.perf_counter()
            for _ in range(2_000):
                tracing.begin("work", of=f"E-{number}").end()
            assert time.perf_counter() - began < 20
        await tracing.stop()
    finally:
        logger.remove(sink)
    assert len([line for line in said if "cannot be delivered" in line]) == 1
    assert not [line for line in said if "Transient" in line or "Queue full" in line]


async def test_a_slow_collector_does_not_hold_up_the_end(
    tmp_path: Path, collector: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tracing, "STOP_SECONDS", 0.2)
    monkeypatch.setattr("agent.tracing.otlp.SEND_SECONDS", 60)
    collector.holding = threading.Event()
    tracing.start(Tracing(endpoint=collector.address))
    tracing.begin("work", of="E-1").end()
    began = time.perf_counter()
    await tracing.stop()
    assert time.perf_counter() - began < 30, "less than one delivery may take"
    collector.holding.set()


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_the_usual_variables_are_respected(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], wanted: bool):
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert tracing.wanted(Tracing()) is wanted


def test_without_traces_their_library_is_not_loaded():
    code = (
        "import sys, agent.app, agent.tracing as t; t.begin('x').end(); assert 'opentelemetry.sdk' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_the_library_the_way_on_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "agent.tracing.otlp", None)
    with pytest.raises(ConfigError) as caught:
        tracing.start(Tracing(endpoint="http://127.0.0.1:4318"))
    assert "dirigent[tracing]" in caught.value.hint
    assert not tracing.is_on()


def test_off_costs_next_to_nothing():
    rounds, told = 20_000, {"dirigent.step.id": "s1"}

    def traced() -> None:
        for _ in range(rounds):
            with tracing.begin("step s1", told) as span:
                span.set(told)

    def hashed() -> None:
        for _ in range(rounds):
            hashlib.sha256(b"x" * 5_000).digest()

    def best(work: Any) -> float:
        times = []
        for _ in range(5):
            began = time.process_time()
            work()
            times.append(time.process_time() - began)
        return min(times)

    assert best(traced) < best(hashed) * 2, "less than reading a page twice"
