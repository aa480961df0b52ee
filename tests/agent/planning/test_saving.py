"""A run becomes a pipeline that does the same: property over what the built-in tools say they understand."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.catalogue import Catalogue
from agent.domain.execution import ExecutorResponse, ResponseStatus
from agent.domain.inputs import InputType, typed
from agent.domain.messages import Destination
from agent.domain.plan import PlanStep, StepType
from agent.domain.provenance import USER, Provenance
from agent.domain.references import REFERENCE, resolve
from agent.domain.run import Run, StepRecord
from agent.domain.states import Status
from agent.errors import NotFound, PlanError
from agent.execution.templates import Scope, render
from agent.pipelines import Pipelines
from agent.planning.lifting import literals
from agent.planning.offline import OfflinePlanner
from agent.planning.request import Planned, PlanRequest
from agent.planning.saving import can_be_saved, draft_of, name_for
from agent.planning.suggestions import examples_for
from plugins.api import tool
from plugins.loader import discover, from_functions

FILES = ("sales.csv", "notes.md", "report.pdf", "photo.png", "book.docx", "data.json")


@pytest.fixture(scope="module")
def built_in() -> Catalogue:
    return Catalogue(discover(entry_points=False))


@tool
def say(text: str) -> str:
    """Return the text."""
    return text


@tool(effect="effect")
def send(to: str, text: str, copies: int = 1) -> str:
    """Send a text."""
    return to


@pytest.fixture(scope="module")
def small() -> Catalogue:
    return Catalogue([from_functions("test", [say, send])])


def planned(catalogue: Catalogue, text: str) -> list[PlanStep]:
    request = PlanRequest(text, tools=tuple(catalogue.tools()), files=FILES)
    return [event.step for event in OfflinePlanner(catalogue).plan(request) if isinstance(event, Planned)]


def a_run(text: str, **fields) -> Run:
    return Run("test:1", text, Destination("test", "1"), ref="ab12", **fields)


def records(steps: list[PlanStep], **fields) -> list[StepRecord]:
    return [StepRecord(1, step, Status.COMPLETED, response_status="ok", control=USER, **fields) for step in steps]


def saved(catalogue: Catalogue, tmp_path: Path, run: Run, done: list[StepRecord], **more):
    draft = draft_of(run, done, catalogue.find, **more)
    file = tmp_path / f"{draft.name}.yaml"
    file.write_text(draft.yaml(), encoding="utf-8")
    return draft, Pipelines(tmp_path, catalogue).load(file)


EXAMPLES = [
    "chart the revenue by month from sales.csv and tell me the best month",
    "top 5 products by revenue in sales.csv",
    "average revenue by region in sales.csv where year = 2024",
    "convert sales.csv to sales.xlsx and chart revenue by month",
    'write "hello" to hello.txt, then read hello.txt',
    "how many days until 2026-12-24",
    "fetch https://example.org/page and save it as page.md",
    'line chart of revenue by month from sales.csv titled "Revenue 2026"',
    "run sql select * from sales on sales.csv",
    "zeichne Umsatz nach Monat aus sales.csv",
    "rename notes.md to report2.pdf",
    "calculate 12 * 1234",
]


def everything(catalogue: Catalogue) -> list[str]:
    """Return requests made of every tool's own examples, with likely words for their parameters."""
    words = {"file": "sales.csv", "files": "sales.csv and data.json", "url": "https://example.org/a", "top": "5"}
    found = list(EXAMPLES)
    for spec in catalogue.tools():
        for example in spec.examples:
            text = example
            for name in spec.hints:
                text = text.replace("{" + name + "}", words.get(name, "revenue"))
            found.append(text)
    return found + examples_for(PlanRequest("", tools=tuple(catalogue.tools()), files=FILES))


def test_what_the_tools_understand_is_saved_and_does_the_same(built_in, tmp_path):
    tried = 0
    for text in everything(built_in):
        steps = planned(built_in, text)
        if not any(step.step_type is not StepType.ASK for step in steps):
            continue
        tried += 1
        _, ready = saved(built_in, tmp_path, a_run(text), records(steps))
        inputs = typed(ready.pipeline.inputs, {})
        assert [step.tool for step in ready.steps] == [step.tool for step in steps], text
        for made, step in zip(ready.steps, steps, strict=True):
            results = {one.id: {"output": "OUT", "text": "TEXT", "files": ["FILE"], "status": "ok"} for one in steps}
            filled = render(made.args, Scope(inputs=inputs, results=results)).value
            plain = {"output": "OUT", "text": "TEXT", "files": "FILE"}
            wanted = with_results(step.args, plain)
            assert filled == wanted, text
            assert set(made.depends_on) == set(step.depends_on), text
    assert tried > 100


def with_results(value, plain):
    if isinstance(value, dict):
        return {key: with_results(part, plain) for key, part in value.items()}
    if isinstance(value, list):
        return [with_results(part, plain) for part in value]
    return REFERENCE.sub(lambda found: plain[found[2]], value) if isinstance(value, str) else value


def test_a_chart_takes_its_file_and_columns(built_in, tmp_path):
    text = EXAMPLES[0]
    draft, ready = saved(built_in, tmp_path, a_run(text), records(planned(built_in, text)))

    assert draft.name == "revenue-by-month"
    assert draft.takes == "file (sales.csv), value (revenue), by (month)"
    assert ready.pipeline.inputs["file"].type is InputType.FILE
    assert ready.steps[1].args["y"] == ready.steps[0].args["y"] == "{{ inputs.value }}"


def test_a_year_within_a_condition_becomes_an_input(built_in, tmp_path):
    text = "average revenue by region in sales.csv where year = 2024"
    draft, ready = saved(built_in, tmp_path, a_run(text), records(planned(built_in, text)))

    assert draft.inputs["year"].default == 2024
    assert draft.inputs["year"].type is InputType.INTEGER
    assert ready.steps[0].args["where"] == "year = {{ inputs.year }}"


def test_what_the_plan_makes_itself_is_no_file_that_must_be_there(built_in, tmp_path):
    text = 'write "hello" to hello.txt, then read hello.txt'
    draft, _ = saved(built_in, tmp_path, a_run(text), records(planned(built_in, text)))

    assert draft.inputs["file"].type is InputType.TEXT


def test_an_input_may_stay_fixed(built_in, tmp_path):
    text = EXAMPLES[0]
    draft, ready = saved(built_in, tmp_path, a_run(text), records(planned(built_in, text)), fixed={"by"})

    assert list(draft.inputs) == ["file", "value"]
    assert ready.steps[0].args["x"] == "month"


def test_instructions_have_inputs_and_references_too(small, tmp_path):
    steps = [
        PlanStep(id="s1", tool="say", args={"text": "x"}),
        PlanStep(
            id="sum-up",
            step_type=StepType.LLM,
            instruction="Sum up {{ s1.text }} for ada@example.org",
            args={"prompt": "{{ s1.output.rows[0].unit-price }}"},
            depends_on=("s1",),
        ),
    ]
    draft, ready = saved(small, tmp_path, a_run("sum it up for ada@example.org"), records(steps, output={}))

    assert ready.steps[1].id == "sum_up"
    assert ready.steps[1].instruction == "Sum up {{ steps.s1.text }} for {{ inputs.email }}"
    assert ready.steps[1].args == {"prompt_": "{{ steps.s1.output.rows[0]['unit-price'] }}"}
    assert draft.inputs["email"].default == "ada@example.org"


def test_within_a_text_what_is_no_text_is_json_as_it_was_in_the_run(small, tmp_path):
    first = PlanStep(id="s1", tool="say", args={"text": "x"})
    second = PlanStep(id="s2", tool="say", args={"text": "rows: {{ s1.output.rows }}"}, depends_on=("s1",))
    _, ready = saved(small, tmp_path, a_run("go"), records([first, second], output={"rows": [1, True]}))

    results = {"s1": {"output": {"rows": [1, True]}}}
    assert render(ready.steps[1].args, Scope(results=results)).value == {"text": "rows: [1, true]"}


def test_a_model_that_wrote_the_answer_writes_it_again(small, tmp_path):
    steps = [PlanStep(id="s1", tool="say", args={"text": "Vienna"})]
    draft, ready = saved(small, tmp_path, a_run('say "Vienna"'), records(steps), composed=True)

    assert [step.step_type for step in ready.steps] == [StepType.TOOL, StepType.LLM, StepType.VALUE]
    assert "{{ inputs.text }}" in ready.steps[1].instruction
    assert draft.outputs == {"answer": "{{ steps.answer.text }}"}


def test_effects_and_what_the_planner_had_read_are_named(small):
    step = PlanStep(id="s1", tool="send", args={"to": "ada@example.org", "text": "hi", "copies": 3})
    record = records([step])[0]
    tainted = StepRecord(
        **{**{n: getattr(record, n) for n in record.__slots__}, "control": Provenance.of("web:x", trusted=False)}
    )

    assert draft_of(a_run("send 3 to ada@example.org"), [record], small.find).doubts == ()
    draft = draft_of(a_run("send three to ada@example.org"), [tainted], small.find)
    assert (draft.effects, draft.doubts) == (("send",), ("web:x",))
    assert draft.takes == "to (ada@example.org), copies (3)"


def test_a_step_that_failed_is_left_out_and_one_that_needs_it_is_an_error(small):
    good = PlanStep(id="s2", tool="say", args={"text": "b"}, depends_on=("s1",))
    failed = StepRecord(1, PlanStep(id="s1", tool="say", args={"text": "a"}), Status.FAILED, response_status="error")

    assert [step["id"] for step in draft_of(a_run("x"), [failed, *records([good])], small.find).steps] == ["s2"]
    needs = PlanStep(id="s2", tool="say", args={"text": "{{ s1.text }}"}, depends_on=("s1",))
    with pytest.raises(PlanError, match="'s1', which did not succeed"):
        draft_of(a_run("x"), [failed, *records([needs])], small.find)


def test_only_what_did_something_can_be_saved(small):
    asked = records([PlanStep(id="s1", step_type=StepType.ASK, question="Which?")])
    done = records([PlanStep(id="s1", tool="say", args={"text": "a"})])

    assert can_be_saved(a_run("x"), done)
    assert not can_be_saved(a_run("x"), asked)
    assert not can_be_saved(a_run("/run x", given={"pipeline": "x", "steps": []}), done)
    with pytest.raises(NotFound, match="nothing to save"):
        draft_of(a_run("x"), [], small.find)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Chart the revenue by month from sales.csv and tell me the best month", "revenue-by-month"),
        ("Zeichne mir die Verkäufe nach Größe", "verkaeufe-nach-groesse"),
        ("покажи отчёт", "describe"),
        ("fetch https://example.org/x", "fetch"),
        ("What's in sales.csv?", "describe"),
        ("", "describe"),
        ("a" * 300, "a" * 40),
    ],
)
def test_names(text, name):
    assert name_for(text, "describe") == name


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("from sales.csv and 'my file.csv'", [("my file.csv", "quoted"), ("sales.csv", "file")]),
        (
            "send 1,200.50 to ada@example.org by 2026-12-24",
            [("ada@example.org", "email"), ("2026-12-24", "date"), ("1,200.50", "number")],
        ),
        ("see https://example.org/a.csv?x=1.", [("https://example.org/a.csv?x=1", "url")]),
        ("don't use Ada's 2024 list", [("2024", "number")]),
    ],
)
def test_what_a_request_names(text, found):
    assert [(one.text, one.kind) for one in literals(text)] == found


WORDS = st.lists(
    st.sampled_from(
        [
            "{{",
            "}}",
            "{%",
            "{#",
            "{",
            "2024",
            "sales.csv",
            "ä\r\n",
            "\n",
            "'",
            '"',
            "\\",
            "{{ s1.text }}",
            "#",
            "- a: b",
            "yes",
            " ",
        ]
    ),
    max_size=12,
).map("".join)


@given(text=st.one_of(WORDS, st.text(max_size=40)), request=WORDS)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_comes_out_of_the_file_as_it_was(small, tmp_path, text, request):
    steps = [PlanStep(id="s1", tool="say", args={"text": "x"}), PlanStep(id="s2", tool="say", args={"text": text})]
    _, ready = saved(small, tmp_path, a_run(request or "x"), records(steps, text="TEXT"))

    inputs = typed(ready.pipeline.inputs, {})
    filled = render(ready.steps[1].args, Scope(inputs=inputs, results={"s1": {"text": "TEXT"}})).value
    wanted, _ = resolve(text, {"s1": ExecutorResponse("s1", ResponseStatus.OK, text="TEXT")})
    assert filled == {"text": wanted}
