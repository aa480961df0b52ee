"""Whatever a model writes ends in a plan, a direct answer, a PlanError or a limit; and it costs linear time."""

import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.config import Limits
from agent.errors import LimitReached, PlanError
from agent.planning.notation import PlanReader
from agent.planning.planner import Planner
from agent.planning.request import Direct, Planned, PlanRequest

DEEP = "[" * 5000 + "]" * 5000
RUBBISH = [
    "",
    " \n\n ",
    "end",
    "```\n```",
    "```json\n",
    "{",
    "}",
    "[]",
    "{}",
    "[{}]",
    '{"steps": []}',
    '{"steps": {}}',
    '{"steps": [1, null, "x", []]}',
    '{"steps": [{"id": "s1", "tool": "fetch", "args": {"url": "u"}',
    '{"steps": [{"id": "s1", "tool": "fetch", "args": ["u"]}]}',
    '{"steps": [{"id": 7, "tool": {}, "args": "x", "depends_on": {"a": 1}}]}',
    '{"steps": [{"id": "s1", "type": "explode"}]}',
    '{"id": "' + "\\" * 3001,
    '{"steps": [' + '{"id": "s1", "tool": "fetch", "args": {"url": ' + DEEP + "}}]}",
    "[" * 100_000,
    "{" * 100_000,
    '{"a":' * 20_000,
    "}]" * 20_000,
    's1 rm_rf("/")\nend',
    "s1 fetch(" + DEEP + ")\nend",
    's1 fetch("u"',
    's1 fetch("u',
    's1 fetch("""u\n' * 50,
    "s1 fetch(1e999999)\ns2 fetch(" + "9" * 5000 + ")",
    's1 fetch("u") after s2\ns2 fetch("u") after s1\nend',
    's1 fetch("u") after s1\nend',
    's1 fetch("u") after nobody\nend',
    's1 fetch("\x00\x1b[31m\ud800") timeout=0\nend',
    "\x00\x01\x02\x03\x04",
    "\ufffd" * 500,
    "s1 fetch(" * 2000,
    "s1 s2 s3 s4 s5",
    "s1 fetch(url=)\ns2 fetch(,)\ns3 fetch(=)\ns4 fetch(url==1)\ns5 fetch)(",
    "s1 ask()\ns2 llm()\ns3 task()\ns4 ask(1, 2)\ns5 ask([], {})\ns6 llm({})",
    "s1 task(\"x\", tools=fetch)\ns2 task('x', tools=[1, {}])",
    "# " + "t" * 100_000,
    "answer:",
    'answer: ""',
    "{{ s1.output }}",
    "%" * 1000,
]


async def read(stream, events):
    async for event in stream:
        events.append(event)


@pytest.mark.parametrize("text", RUBBISH, ids=range(len(RUBBISH)))
@pytest.mark.parametrize("piece", [1000, 13])
async def test_rubbish_ends_in_a_plan_error_that_says_why_after_one_repair(catalogue, model, text, piece):
    script = model([text, text], piece=piece)
    events = []
    with pytest.raises(PlanError) as caught:
        await read(Planner(script, catalogue).stream(PlanRequest("x", tools=tuple(catalogue.tools()))), events)
    assert len(script.requests) == 2
    assert not any(isinstance(event, Direct) for event in events)
    assert 10 < len(str(caught.value)) < 4000
    repair = script.requests[1].messages[-1].content
    assert len(repair) < 8000
    repair.encode()


FRAGMENTS = st.sampled_from(
    [
        *[
            "s1 ",
            "s2 ",
            "fetch(",
            "search_web(",
            "chart(",
            ")",
            '"',
            "'",
            '"""',
            "{{ s1.text }}",
            "{{",
            "}}",
            "{",
            "}",
            "[",
        ],
        *[
            "]",
            ",",
            "\n",
            "end",
            "\nend\n",
            "after ",
            "as ",
            ">",
            "timeout=",
            "1e9",
            "-",
            "\\",
            "\\u",
            "\\ud83d",
            "answer: ",
        ],
        *[
            "```",
            "# ",
            "ask(",
            '"id": "s1"',
            '"steps": ',
            '"args": ',
            "null",
            "True",
            "\x00",
            "é",
            "url=",
            "=",
            " ",
            "llm(",
        ],
        *["task(", "tools=["],
    ],
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(FRAGMENTS | st.text(max_size=5), max_size=40).map("".join), st.integers(1, 30))
async def test_no_mixture_of_fragments_raises_anything_else(catalogue, model, text, piece):
    script = model([text, text], piece=piece)
    try:
        async for event in Planner(script, catalogue).stream(PlanRequest("x", tools=tuple(catalogue.tools()))):
            if isinstance(event, Planned):
                json.dumps(event.step.model_dump(mode="json")).encode()
    except PlanError:
        assert len(script.requests) == 2


async def test_ten_thousand_steps_reach_the_limit_with_a_clear_message(catalogue, model):
    text = "".join(f's{n} fetch("u{n}")\n' for n in range(10_000)) + "end"
    request = PlanRequest("x", tools=tuple(catalogue.tools()))
    events = []
    with pytest.raises(LimitReached, match=r"limits\.steps"):
        await read(Planner(model([text], piece=1000), catalogue).stream(request), events)
    assert sum(isinstance(event, Planned) for event in events) == Limits().steps


def flat(count):
    return "".join(f's{n} fetch("u{n}")\n' for n in range(count))


def backwards(count):
    return "".join(f's{n} fetch("{{{{ s{n + 1}.text }}}}")\n' for n in range(count)) + f's{count} fetch("u")\n'


def as_json(count):
    return json.dumps({"steps": [{"id": f"s{n}", "tool": "fetch", "args": {"url": f"u{n}"}} for n in range(count)]})


@pytest.mark.parametrize("make", [flat, backwards, as_json])
async def test_the_time_for_a_plan_is_linear_in_its_steps(catalogue, model, make):
    async def seconds(count):
        script = model([make(count) + ("end" if make is not as_json else "")], piece=40)
        request = PlanRequest("x", tools=tuple(catalogue.tools()), limits=Limits(steps=100_000))
        begin = time.thread_time()
        found = [event async for event in Planner(script, catalogue).stream(request) if isinstance(event, Planned)]
        assert len(found) >= count
        return time.thread_time() - begin

    await seconds(100)
    few = min([await seconds(500), await seconds(500)])
    many = await seconds(5000)
    assert many / few < 30


@pytest.mark.parametrize(
    "unit", ["x", 's1 fetch("', "(", '"', "{{ s1.output[", "\n", "a(b ", '{"steps": [', "'", "\\", "```\n", '"""\n']
)
def test_the_time_for_reading_any_repetition_is_linear(unit):
    def seconds(size):
        text = unit * (size // len(unit))
        reader = PlanReader({"fetch": ("url",)})
        begin = time.thread_time()
        for at in range(0, len(text), 50):
            reader.feed(text[at : at + 50])
        reader.close()
        return time.thread_time() - begin

    few = min(seconds(30_000) for _ in range(3))
    assert seconds(300_000) < 40 * few + 0.5
