import asyncio
import json

import pytest

from agent.config import Limits, Model
from agent.domain.plan import PlanStep
from agent.domain.provenance import Provenance
from agent.domain.run import StepRecord
from agent.domain.states import Status
from agent.errors import LimitReached, ModelUnavailable, PlanError
from agent.llm.protocol import TextDelta
from agent.planning import planner as planner_module
from agent.planning.notation import render
from agent.planning.planner import Planner, PlannerConfig, plan_steps
from agent.planning.request import Answering, Direct, Note, Planned, PlanRequest, Refusal, Titled, Used


async def collect(catalogue, script, text="compare laptops", **fields):
    request = PlanRequest(text, tools=tuple(catalogue.tools()), **fields)
    return [event async for event in Planner(script, catalogue).stream(request)]


def planned(events):
    return [event.step for event in events if isinstance(event, Planned)]


async def test_a_plan_is_yielded_step_by_step_with_title_and_usage(catalogue, model):
    script = model(['# Laptops\ns1 search_web("a")\ns2 llm("Sum up {{ s1.text }}")\nend\n'])
    events = await collect(catalogue, script)
    assert events[0] == Titled("Laptops")
    s1, s2 = planned(events)
    assert s1 == PlanStep(id="s1", tool="search_web", args={"query": "a"})
    assert s2.depends_on == ("s1",)
    assert [event.usage.prompt_tokens for event in events if isinstance(event, Used)] == [10]
    assert len(script.requests) == 1
    assert script.closed == 1


async def test_a_step_is_yielded_before_the_next_line_is_written(catalogue, model):
    script = model([['s1 search_web("a")\n', ModelUnavailable("gone")], "end"])
    stream = Planner(script, catalogue).stream(PlanRequest("x", tools=tuple(catalogue.tools())))
    assert (await anext(stream)).step.id == "s1"
    assert script.closed == 0
    await stream.aclose()
    assert script.closed == 1


async def test_a_greeting_costs_one_call_and_no_step(catalogue, model):
    script = model(["answer: Hello! How can I help?"])
    events = await collect(catalogue, script, "hi")
    assert [event for event in events if isinstance(event, Direct)] == [Direct("Hello! How can I help?")]
    assert "".join(event.text for event in events if isinstance(event, Answering)) == "Hello! How can I help?"
    assert planned(events) == []
    assert len(script.requests) == 1


async def test_plain_prose_is_a_direct_answer(catalogue, model):
    events = await collect(catalogue, model(["Sure - 2 and 2 is 4."]))
    assert events[-1] == Direct("Sure - 2 and 2 is 4.")


async def test_an_unknown_tool_is_corrected_in_one_repair_turn_and_good_steps_stay(catalogue, model):
    script = model(
        [
            's1 search_web("a")\ns2 serch_web("b")\ns3 llm("{{ s2.text }}")\nend',
            's1 search_web("other")\ns2 search_web("b")\nend',
        ]
    )
    events = await collect(catalogue, script)
    assert [(step.id, step.args) for step in planned(events)] == [
        ("s1", {"query": "a"}),
        ("s2", {"query": "b"}),
        ("s3", {}),
    ]
    (refusal,) = [event for event in events if isinstance(event, Refusal)]
    assert "serch_web" in refusal.reason
    assert "search_web" in refusal.reason
    repair = script.requests[1].messages[-1].content
    assert "serch_web" in repair
    assert "accepted, do not repeat them: s1" in repair
    assert script.requests[1].messages[:2] == script.requests[0].messages


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("s1 search_web(limit=3)", ["query", "missing"]),
        ('s1 search_web("a", limit="many")', ["limit", "whole number"]),
        ('s1 search_web("a", qery="b")', ["qery", "query"]),
        ('s1 search_web("a", 3, 4)', ["argument 3"]),
        ('s1 chart("a.csv", kind="pie")', ["kind", "auto"]),
        ("s1 chart(x={{ s0.text }})", ["file", "missing"]),
        ('s1 rm_rf("/")', ["rm_rf"]),
        ('s1 task("do", tools=[rm_rf])', ["rm_rf"]),
        ('s1 search_web("{{ s1.text }}")', ["itself"]),
        ('s1 search_web("a") after s7', ["s7", "no line defines"]),
        ('s1 llm("a") after s2\ns2 llm("b") after s1', ["s1 → s2 → s1", "circle"]),
    ],
)
async def test_what_cannot_run_is_repaired_once_and_then_a_plan_error_naming_it(catalogue, model, line, words):
    script = model([line + "\nend", line + "\nend"])
    with pytest.raises(PlanError) as caught:
        await collect(catalogue, script)
    assert len(script.requests) == 2
    assert all(word in str(caught.value) for word in words)
    assert all(word in script.requests[1].messages[-1].content for word in words)


async def test_a_tool_that_the_profile_forbids_is_refused(catalogue, model):
    request = PlanRequest("x", tools=(catalogue.find("fetch"),))
    script = model(['s1 search_web("a")\nend', "end"])
    with pytest.raises(PlanError, match="not allowed"):
        [_ async for _ in Planner(script, catalogue).stream(request)]


async def test_a_forward_dependency_waits_and_comes_after_what_it_needs(catalogue, model):
    script = model(['s1 llm("{{ s2.text }}")\ns2 search_web("{{ s3.text }}")\ns3 fetch("u")\nend'])
    assert [step.id for step in planned(await collect(catalogue, script))] == ["s3", "s2", "s1"]


async def test_loose_references_to_known_steps_are_written_out(catalogue, model):
    script = model(['s1 search_web("a")\ns2 llm("{{ s1 }} {{ s1[0].title }} {{ other }} {{ s1.text }}")\nend'])
    _, s2 = planned(await collect(catalogue, script))
    assert s2.instruction == "{{ s1.output }} {{ s1.output[0].title }} {{ other }} {{ s1.text }}"
    assert s2.depends_on == ("s1",)


async def test_a_second_step_of_the_same_id_is_renamed_and_the_same_step_twice_is_one(catalogue, model):
    script = model(['s1 search_web("a")\ns1 search_web("a")\ns1 search_web("b")\nend'])
    assert [(step.id, step.args["query"]) for step in planned(await collect(catalogue, script))] == [
        ("s1", "a"),
        ("s1_2", "b"),
    ]


async def test_a_reference_to_an_id_that_two_steps_have_is_refused(catalogue, model):
    script = model(
        ['s1 search_web("a")\ns1 search_web("b")\ns2 llm("{{ s1.text }}")\nend', 's2 llm("{{ s1_2.text }}")\nend']
    )
    steps = planned(await collect(catalogue, script))
    assert steps[-1].depends_on == ("s1_2",)
    assert "two steps are called s1" in script.requests[1].messages[-1].content


async def test_a_stream_that_breaks_off_is_continued(catalogue, model):
    script = model(
        [['s1 search_web("a")\ns2 sear', ModelUnavailable("The server went away.")], 's2 search_web("b")\nend']
    )
    events = await collect(catalogue, script)
    assert [step.id for step in planned(events)] == ["s1", "s2"]
    assert Note("The server went away.") in events
    assert "breaks off after s1" in script.requests[1].messages[-1].content


async def test_an_answer_that_is_cut_by_its_length_is_continued(catalogue, model):
    script = model(['s1 search_web("a")\n', 's2 search_web("b")\nend'], reason="length")
    assert [step.id for step in planned(await collect(catalogue, script))] == ["s1", "s2"]


async def test_a_model_that_stops_by_itself_without_end_has_finished(catalogue, model):
    script = model(['s1 search_web("a")'])
    assert len(planned(await collect(catalogue, script))) == 1


async def test_a_model_that_is_unreachable_is_no_plan_error(catalogue, model):
    with pytest.raises(ModelUnavailable):
        await collect(catalogue, model([[ModelUnavailable("busy")]]))


async def test_too_many_steps_is_a_limit_that_names_its_setting(catalogue, model):
    lines = "".join(f's{n} search_web("x")\n' for n in range(1, 10))
    with pytest.raises(LimitReached, match=r"limits\.steps"):
        await collect(catalogue, model([lines]), limits=Limits(steps=5))


async def test_a_timeout_beyond_the_run_is_cut_with_a_note(catalogue, model):
    events = await collect(catalogue, model(['s1 search_web("x") timeout=9000\nend']), limits=Limits(seconds=100))
    assert planned(events)[0].timeout == 100
    assert any(isinstance(event, Note) and "9000" in event.text for event in events)


def record(step_id, status, tool="search_web", **fields):
    step = PlanStep(id=step_id, tool=tool, args={"query": step_id})
    return StepRecord(1, step, status, **fields)


async def test_a_replan_knows_results_and_keeps_pending_steps_that_come_back_unchanged(catalogue, model):
    progress = (
        record("s1", Status.COMPLETED, text="found </data> it"),
        record("s2", Status.FAILED, error="no network"),
        record("s3", Status.PENDING),
    )
    script = model(
        [
            's3 search_web(query="s3")\ns4 llm("{{ s1.text }}")\ns2 search_web("again")\ns5 llm("{{ s2.text }}")\ns1 search_web("s1")\nend'
        ]
    )
    events = await collect(
        catalogue, script, progress=progress, reason="s2 failed", control=Provenance.of("web:x", trusted=False)
    )
    assert [(event.step.id, event.kept) for event in events if isinstance(event, Planned)] == [
        ("s3", True), ("s4", False), ("s2_2", False), ("s5", False),
    ]  # fmt: skip
    assert planned(events)[-1].instruction == "{{ s2_2.text }}"
    assert all(not event.control.trusted for event in events if isinstance(event, Planned))
    asked = script.requests[0].messages[1].content
    assert 's3 search_web(query="s3")' in asked
    assert "no network" in asked
    assert "found </data> it" not in asked


async def test_a_replan_without_steps_means_that_nothing_is_left_to_do(catalogue, model):
    assert planned(await collect(catalogue, model(["end"]), progress=(record("s1", Status.COMPLETED),))) == []


async def test_a_half_streamed_plan_is_continued_from_its_journalled_steps(catalogue, model):
    before = PlanStep(id="s1", tool="search_web", args={"query": "a"})
    script = model(['s1 search_web("a")\ns2 llm("{{ s1.text }}")\nend'])
    events = await collect(catalogue, script, planned=(before,))
    assert [step.id for step in planned(events)] == ["s2"]
    assert script.requests[0].messages[2].content == render("", [before]).removesuffix("\nend")


async def test_json_is_asked_for_by_the_setting_and_read(catalogue, model):
    script = model([json.dumps({"title": "T", "steps": [{"id": "s1", "tool": "fetch", "args": {"url": "u"}}]})])
    request = PlanRequest("x", tools=tuple(catalogue.tools()))
    events = [event async for event in Planner(script, catalogue, Model(notation="json")).stream(request)]
    assert planned(events) == [PlanStep(id="s1", tool="fetch", args={"url": "u"})]
    assert "Write only JSON" in script.requests[0].messages[0].content


async def test_the_prompt_begins_the_same_and_fits_a_small_window(catalogue, model):
    fields = {
        "memory": "m" * 50_000,
        "context": "c" * 50_000,
        "files": tuple(f"file{n}.csv" for n in range(1000)),
        "progress": tuple(record(f"s{n}", Status.COMPLETED, text="t" * 5000) for n in range(1, 100)),
    }
    script = model(["answer: a", "answer: b"], window=4000)
    await collect(catalogue, script, "short", **fields)
    await collect(catalogue, script, "long " * 20_000, **fields)
    for request in script.requests:
        assert sum(script.count(message.content) for message in request.messages) <= 3000
    first, second = (request.messages[0].content for request in script.requests)
    assert first[:1500] == second[:1500]
    assert '"s99"' in script.requests[0].messages[1].content


async def test_the_prompt_for_ten_tools_is_at_most_a_thousand_tokens(catalogue, model):
    script = model(["answer: a"])
    await collect(catalogue, script, "compare two laptops", memory="PREF: short answers", files=("sales.csv",))
    assert sum(script.count(message.content) for message in script.requests[0].messages) <= 1000


async def test_plan_steps_collects_the_stream_and_raises_plan_errors(catalogue, model):
    tools = tuple(catalogue.tools())
    steps = await plan_steps(PlannerConfig(catalogue, tools, model(['s1 fetch("u")\nend'])), "fetch u", "")
    assert steps == [PlanStep(id="s1", tool="fetch", args={"url": "u"})]
    with pytest.raises(PlanError):
        await plan_steps(PlannerConfig(catalogue, tools, model(["end", "end"])), "fetch u", "")


async def test_a_model_that_rambles_on_after_the_end_is_cut_off(catalogue, model):
    script = model(['s1 fetch("u")\nend\n' + "blah " * 10_000])
    events = await collect(catalogue, script)
    assert len(planned(events)) == 1
    assert [event.usage.estimated for event in events if isinstance(event, Used)] == [True]


async def test_a_model_that_never_closes_its_stream_after_the_end_holds_up_no_step(catalogue, monkeypatch):
    monkeypatch.setattr(planner_module, "AFTER_END_SECONDS", 0.01)
    closed = asyncio.Event()

    class NeverClosing:
        name, window = "never-closing", 8_000

        async def stream(self, request):
            try:
                yield TextDelta('s1 fetch("u")\nend\n')
                await asyncio.Event().wait()
            finally:
                closed.set()

        def count(self, text):
            return len(text) // 4

    async with asyncio.timeout(60):
        events = await collect(catalogue, NeverClosing())
    assert [step.id for step in planned(events)] == ["s1"]
    assert [event.usage.estimated for event in events if isinstance(event, Used)] == [True]
    assert closed.is_set()
