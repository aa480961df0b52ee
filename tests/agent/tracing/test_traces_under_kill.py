"""A real `dirigent serve`, killed in the middle of a request: the next process goes on with the same trace."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agent.planning.notation import render
from agent.testing import step
from agent.testing.engines import on_workers
from agent.testing.openai_script import Answer
from agent.testing.openai_server import FakeOpenAI
from agent.testing.served import OWNER, serving
from agent.testing.telegram_server import FakeTelegram

PLAN = [step("s1", ask="Which colour?", options=("red", "blue")), step("s2", llm="Name it: {{ s1.output }}")]


def answer(request: dict[str, Any]) -> Answer:
    said = str(request["messages"][0]["content"])
    if said.startswith("You are the planner"):
        return Answer(render("Colours", PLAN))
    return Answer("It is red.")


@pytest.mark.crash
@pytest.mark.timeout(300)
async def test_a_trace_goes_on_after_kill_9(tmp_path: Path, collector: Any):
    settings = {"DIRIGENT_TRACING__ENDPOINT": collector.address}
    async with FakeTelegram() as telegram, FakeOpenAI(answer, models=["fake-model"]) as model:
        telegram.user_says(OWNER, "Choose a colour")
        async with serving(tmp_path, telegram, model, **settings):
            asked = await telegram.wait_for(
                lambda: [m for m in telegram.bot_messages(OWNER) if "Which colour" in m.text and "red" in m.labels], 90
            )
            await asyncio.to_thread(  # what is not sent yet when a process is killed, is lost
                collector.wait,
                lambda: all(map(collector.named, ("receive message", "work on run", "deliver question"))),
            )
        before = list(collector.spans)
        async with serving(tmp_path, telegram, model, **settings):
            telegram.user_presses(OWNER, asked[-1].id, "red")
            await asyncio.to_thread(
                collector.wait, lambda: collector.named("invoke_agent") and collector.named("deliver answer")
            )
    (whole,) = collector.named("invoke_agent")
    works = collector.named("work on run")
    assert len(works) >= 2
    assert {span.trace_id for span in works} == {whole.trace_id}
    assert all(span.parent_span_id == whole.span_id for span in works)
    lives = {service["service.instance.id"] for service in collector.services}
    assert len(lives) == 2 or (on_workers() and 2 < len(lives) <= 4)  # there a life is two processes
    assert {span.trace_id for span in before if not span.name.startswith("deliver")} == {whole.trace_id}
    names = {span.name for span in collector.spans if span.trace_id == whole.trace_id}
    assert {"receive message", "plan", "step s1", "step s2", "deliver question", "deliver answer"} <= names
