"""Whatever the model's server sends, the chat gets a result or a clear sentence with a way on, soon; then it goes on."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from agent.domain.plan import OnFailure, PlanStep
from agent.planning.notation import render
from agent.testing import step
from agent.testing.openai_script import Answer, Rule
from tests.journeys.conftest import OWNER, PURPOSES, Stage

GOOD = render("Time", [step("s1", "now")])
NEVER = re.compile(r"Traceback|Something in Dirigent|\w+Error\b|\bNone\b|<html|\{\{|object at 0x")
WAY_ON = re.compile(
    r"Try again|Raise `|Say it in other words|stronger|Check|Set |Add credit|usually ends in|Choose|It has:",
    re.IGNORECASE,
)
HTML = "<html><body><h1>502 Bad Gateway</h1>" + "<p>nginx</p>" * 50 + "</body></html>"


@dataclass(frozen=True)
class Case:
    """What the model answers when asked to plan: the first time, then (if given) every other time."""

    first: Answer | str
    then: Answer | str | None = None


def many(count: int) -> str:
    """Return a plan of that many steps."""
    return "".join(f's{n} read_file("a{n}.txt")\n' for n in range(1, count + 1)) + "end\n"


MENDED = {
    "broken json": Case('{"title": "x", "steps": [{"id": "s1", "tool": "now", "args": {', GOOD),
    "unknown tool": Case("s1 launch_rocket(speed=7)\nend\n", GOOD),
    "cycle": Case('s1 read_file("a") after s2\ns2 read_file("b") after s1\nend\n', GOOD),
    "wrong types": Case('s1 read_file(path=["a", 7], lines={"x": 1})\nend\n', GOOD),
    "empty": Case("", GOOD),
    "reasoning only": Case(Answer("", reasoning="Hmm. Let me think about this. " * 40), GOOD),
    "control characters": Case("\x01\x02\x03\x04\x05\x06 \x1b[31m\x07", GOOD),
    "null bytes": Case("\x00" * 300, GOOD),
    "html as text": Case(Answer(HTML), GOOD),
    "plan with prose around": Case(f"Sure! Here is the plan you asked for:\n\n```\n{GOOD}```\nI hope this helps!"),
    "thoughts before the plan": Case(f'<think>The person wants the time.\ns1 read_file("x")</think>\n{GOOD}'),
    "no end": Case(GOOD.replace("end\n", "")),
    "busy once": Case(Answer(status=429, error="slow down", retry_after=0), GOOD),
    "a fault once": Case(Answer(status=500), GOOD),
    "dropped once before an answer": Case(Answer(GOOD, drop_after=-1), GOOD),
    "broken chunk once": Case(Answer("# Ti", bad_chunk_after=1), GOOD),
    "one document instead of a stream": Case(Answer(GOOD, whole=True)),
    "no done mark": Case(Answer(GOOD, done=False)),
    "packets of three bytes": Case(Answer(GOOD, split_bytes=3)),
    "json plan": Case('{"title": "Time", "steps": [{"id": "s1", "tool": "now", "args": {}}]}'),
}


@pytest.mark.parametrize("name", MENDED)
async def test_what_can_be_mended_ends_in_the_answer(stage: Stage, name: str):
    case = MENDED[name]
    answers = (case.first, case.then) if case.then is not None else (case.first,)
    stage.model.book.rules.append(Rule(answers, purpose=PURPOSES["plan"]))
    stage.will("answer", "It is noon.")
    async with stage.up():
        stage.says("Tell me the time")
        await stage.sees("It is noon.")
        plan = await stage.sees("✅ 1 now")
    assert not plan.buttons
    assert not any(text.startswith("⚠️") for text in stage.texts())
    assert stage.refused() == []


HOPELESS = {
    "broken json": Case('{"title": "x", "steps": [{"id": "s1", "tool": "now", "args": {'),
    "unknown tools": Case("s1 launch_rocket(speed=7)\ns2 fly(to='Mars')\nend\n"),
    "cycle": Case('s1 read_file("a") after s2\ns2 read_file("b") after s1\nend\n'),
    "ten thousand steps": Case(many(10_000)),
    "wrong types": Case('s1 read_file(path=["a", 7], lines={"x": 1})\nend\n'),
    "empty": Case(""),
    "reasoning only": Case(Answer("", reasoning="Hmm. Let me think about this. " * 40)),
    "endless repetition of a line": Case("s1 launch()\n" * 5_000),
    "a huge line": Case("s1 read_file(" + "x" * 300_000),
    "control characters": Case("\x01\x02\x03\x04\x05\x06 \x1b[31m\x07"),
    "null bytes": Case("\x00" * 300),
    "html as text": Case(Answer(HTML)),
    "dropped midway": Case(Answer(f"# Time\n{many(3)}", drop_after=9)),
    "stalled midway": Case(Answer("# Time\ns1 no", stall_after=2)),
    "stalled from the start": Case(Answer("x", stall_after=0)),
    "never begins": Case(Answer("x", first_token_seconds=60)),
    "html": Case(Answer(status=502, error=HTML)),
    "html instead of the protocol": Case(Answer(status=404, error=HTML)),
    "wrong key": Case(
        Answer(status=401, error="Incorrect API key provided: sk-journey-key-0123456789.", code="invalid_api_key")
    ),
    "unknown model": Case(Answer(status=404, error="The model `fake-model` does not exist", code="model_not_found")),
    "no credit": Case(Answer(status=429, error="You exceeded your current quota", code="insufficient_quota")),
    "busy for an hour": Case(Answer(status=429, error="slow down", retry_after=3600)),
    "always a fault": Case(Answer(status=500)),
    "an error in the stream": Case(Answer("# Ti", stream_error={"error": {"message": "out of memory", "code": 500}})),
    "too long": Case(Answer(status=400, error="maximum context length is 4096", code="context_length_exceeded")),
}


SILENT = {"stalled midway", "stalled from the start", "never begins"}
WAYS_ON = {"🔄 Retry", "Use another model"}


def hasten(stage: Stage) -> None:
    """Wait for the model only shortly."""
    quick = stage.config.llm.model_copy(update={"first_token_seconds": 3.0, "stall_seconds": 1.0})
    stage.config = stage.config.model_copy(update={"llm": quick})


@pytest.mark.parametrize("name", HOPELESS)
async def test_what_cannot_be_mended_is_told_with_the_way_on_and_the_next_request_works(stage: Stage, name: str):
    there = Rule(("answer: I am here.",), anywhere="are you there")
    stage.model.book.rules += [there, Rule((HOPELESS[name].first,), purpose=PURPOSES["plan"])]
    stage.will("answer", Answer(status=500), times=0)
    if name in SILENT:
        hasten(stage)
    async with stage.up():
        stage.says("Tell me the time")
        told = await stage.sees("⚠️")
        stage.says("Hello, are you there?")
        await stage.sees("I am here.")
        await stage.until(lambda: all(set(m.labels) <= WAYS_ON for m in stage.telegram.bot_messages(OWNER)))
        shown = stage.telegram.bot_messages(OWNER)
    assert WAY_ON.search(told.text), told.text
    for message in shown:
        assert not NEVER.search(message.text), message.text
        assert "sk-journey" not in message.text
        assert len(message.text) < 2_500
    assert stage.refused() == []


async def test_when_a_new_plan_cannot_be_had_the_results_so_far_are_the_answer(stage: Stage):
    stage.will_plan(
        step("s1", "write_file", path="kept.txt", text="forty-two", outputs=("kept.txt",)),
        step("s2", "read_file", path="nowhere.txt", after=("s1",)),
        title="Number",
    )
    stage.will("plan", Answer(status=500, error="out of memory"), times=0)
    async with stage.up():
        stage.says("What is the number?")
        answer = await stage.sees("out of memory")
        await stage.until(lambda: [m for m in stage.telegram.bot_messages(OWNER) if m.files])
        plan = await stage.sees("· failed")
    assert "nowhere.txt" in answer.text
    assert not plan.buttons
    assert not NEVER.search(answer.text)


# --- after the plan -----------------------------------------------------------------------------------------------
BAD_ANSWERS = {
    "empty": Answer(""),
    "reasoning only": Answer("", reasoning="Let me think. " * 50),
    "a fault": Answer(status=500),
    "dropped midway": Answer("It is " * 20, drop_after=5),
    "stalled midway": Answer("It is " * 20, stall_after=5),
    "control characters": Answer("\x00\x07"),
    "wrong key": Answer(status=401, error="no"),
    "a tool call": Answer("", tool_calls=(("now", {}),)),
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
async def test_without_a_final_answer_of_the_model_the_results_are_the_answer(stage: Stage, name: str):
    stage.will_plan(step("s1", "python", code="print('forty-two')"), title="Number")
    stage.will("answer", BAD_ANSWERS[name], times=0)
    if name in SILENT:
        hasten(stage)
    async with stage.up():
        stage.says("What is the number?")
        answer = await stage.sees("forty-two")
    assert not NEVER.search(answer.text)
    assert stage.refused() == []


def _task() -> PlanStep:
    return step("s1", task="Find out the number", tools=("read_file", "now"), on_failure=OnFailure.CONTINUE)


BAD_CALLS = {
    "not json": (("read_file", "{'path': nowhere"),),
    "a list": (("read_file", '["a"]'),),
    "unknown tool": (("launch_rocket", {"speed": 7}),),
    "wrong types": (("read_file", {"path": {"a": 1}, "lines": "many"}),),
    "no name": (("", {}),),
}


@pytest.mark.parametrize("name", BAD_CALLS)
async def test_a_task_is_told_what_is_wrong_with_its_call_and_goes_on(stage: Stage, name: str):
    stage.will_plan(_task(), title="Number")
    stage.will("task", Answer("", tool_calls=BAD_CALLS[name]), "The number is forty-two.")
    stage.will("answer", "It is forty-two.")
    async with stage.up():
        stage.says("What is the number?")
        await stage.sees("It is forty-two.")
    assert re.search(r"no tool|not JSON|JSON object|path|lines", stage.asked("task")[-1])
    assert stage.refused() == []


async def test_a_task_that_repeats_one_call_for_ever_is_ended(stage: Stage):
    stage.will_plan(_task(), title="Number")
    stage.will("task", Answer("", tool_calls=(("now", {}),)), times=0)
    stage.will("answer", "I could not find it.")
    async with stage.up():
        stage.says("What is the number?")
        await stage.sees("I could not find it.", seconds=30)
    assert "It kept calling now with the same arguments." in stage.asked("answer")[0]


async def test_a_task_that_calls_tools_for_ever_is_ended_by_its_limit(stage: Stage):
    stage.will_plan(_task(), title="Number")
    for number in range(12 * 6):
        stage.will("task", Answer("", tool_calls=(("read_file", {"path": f"{number}.txt"}),)))
    stage.will("answer", "I could not find it: all rounds were used.")
    async with stage.up():
        stage.says("What is the number?")
        await stage.sees("all rounds were used", seconds=30)
    assert "limits.task_rounds" in stage.asked("answer")[0]
    assert len(stage.asked("task")) <= 12 * 6
