import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.plan import OnFailure, PlanStep, StepType
from agent.planning.notation import AnswerText, End, PlanReader, Prose, ReadStep, Refused, Title, render

SIGNATURES = {"search_web": ("query", "limit"), "chart": ("file", "x", "y"), "python": ("code",), "t": ("a",)}


def read(text, *, piece=None):
    reader = PlanReader(SIGNATURES)
    reads = []
    size = piece or len(text) or 1
    for at in range(0, len(text), size):
        reads += reader.feed(text[at : at + size])
    return reads + reader.close()


def steps_of(reads):
    return [item.step for item in reads if isinstance(item, ReadStep)]


PLAN = '''# Compare laptops
s1 search_web("laptop A", 3)
s2 search_web(query='laptop "B"')
s3 ask("Which budget?", ["≤ 800 €", "No limit"])
s4 llm("Compare {{ s1.text }} for {{ s3.output }}", data={{ s2.output.rows[0] }})
s5 chart(file={{ s1.files[0] }}, x="month", y=None) after s2, s4 as "Draw the chart" > chart.png, "my file.csv"
s6 task("Find reviews", tools=[search_web, python]) after s4 on_failure=continue timeout=60 retries=2
s7 python("""
import re
print("end", re.sub(r'\\d', "", text))
""") alone="writes the same file"
end
'''


@pytest.mark.parametrize("piece", [None, 1, 3, 7, 50])
def test_a_plan_is_read_the_same_however_it_is_cut_into_pieces(piece):
    reads = read(PLAN, piece=piece)
    assert reads[0] == Title("Compare laptops")
    assert isinstance(reads[-1], End)
    s1, s2, s3, s4, s5, s6, s7 = steps_of(reads)
    assert len(reads) == 9
    assert s1 == PlanStep(id="s1", tool="search_web", args={"query": "laptop A", "limit": 3})
    assert s2.args == {"query": 'laptop "B"'}
    assert (s3.step_type, s3.question, s3.options) == (StepType.ASK, "Which budget?", ("≤ 800 €", "No limit"))
    assert s4.instruction == "Compare {{ s1.text }} for {{ s3.output }}"
    assert s4.args == {"data": "{{ s2.output.rows[0] }}"}
    assert s5.args == {"file": "{{ s1.files[0] }}", "x": "month", "y": None}
    assert (s5.depends_on, s5.title, s5.outputs) == (("s2", "s4"), "Draw the chart", ("chart.png", "my file.csv"))
    assert s6.allowed_tools == ("search_web", "python")
    assert (s6.on_failure, s6.timeout, s6.retries) == (OnFailure.CONTINUE, 60, 2)
    assert s7.args == {"code": '\nimport re\nprint("end", re.sub(r\'\\d\', "", text))\n'}
    assert (s7.parallelizable, s7.parallel_reason) == (False, "writes the same file")


def test_a_step_is_there_the_moment_its_line_is_complete():
    reader = PlanReader(SIGNATURES)
    assert reader.feed('s1 search_web("x")') == []
    assert len(steps_of(reader.feed("\n"))) == 1


@pytest.mark.parametrize(
    "line",
    [
        '1. search_web("x")',
        '1) s1 search_web("x")',
        '- s1: search_web("x")',
        's1 = search_web("x")',
        '```\ns1 search_web("x")\n```',
        '  s1 search_web( "x" , )  # because',
        "Sure! Here is the plan:\n\ns1 search_web('x');",
        's1 search_web("x")\r',
    ],
)
def test_usual_habits_of_models_are_read(line):
    assert steps_of(read(line + "\nend")) == [PlanStep(id="s1", tool="search_web", args={"query": "x"})]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("s1 search_web(laptop)", "put 'laptop' in quotes"),
        ('s1 search_web("x"', "never closed"),
        ('s1 search_web("x', "never closed"),
        ('s1 search_web("x") whatever', "after the call"),
        ('s1 search_web(query="x", query="y")', "given twice"),
        ('search_web("x")', "has no id"),
        ('s1 ask("Which?", ["only one"])', "2 to 4"),
        ('s1 ask("Which?", ["a","b","c","d","e"])', "2 to 4"),
        ("s1 ask()", "no question"),
        ("s1 llm()", "no instruction"),
        ('s1 search_web("x") timeout=-1', "timeout"),
        ('s1 search_web("x") retries=99', "retries"),
        ('s1 search_web("x") on_failure=explode', "continue, stop or replan"),
        ('s1 search_web("x") after', "id after"),
        ("s1 chart(file={{ nonsense }})", "no reference"),
        ("s1 t(1e999)", "too large"),
        ("s1 t(" + "[" * 50 + "]" * 50 + ")", "nested"),
        ("s1 t(nan)", "in quotes"),
        ('s1 t({"a": word})', "in quotes"),
    ],
)
def test_a_wrong_line_is_refused_with_what_to_change(line, reason):
    refused = [item for item in read(line + "\nend\n") if isinstance(item, Refused)]
    assert len(refused) == 1
    assert reason in refused[0].reason


def test_a_line_that_is_never_closed_costs_only_itself():
    reads = read('s1 search_web("x)\ns2 search_web("y")\nend')
    assert [type(item) for item in reads] == [Refused, ReadStep, End]
    assert reads[0].step_id == "s1"


def test_values_are_json_or_python_and_bare_references_get_their_braces():
    (step,) = steps_of(
        read(
            's1 t(a={\'k\': [1, -2.5, True, null, s0.output.rows[0]], "n": {}, }, b="\\u00e9\\d\\ud83d\\ude00\\ud800")\n'
        )
    )
    assert step.args == {"a": {"k": [1, -2.5, True, None, "{{ s0.output.rows[0] }}"], "n": {}}, "b": "é\\d😀\ufffd"}


@pytest.mark.parametrize("piece", [None, 1, 4])
@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("answer: Hello!\nHow are you?\nend", "Hello!\nHow are you?"),
        ('answer "Hello!"', "Hello!"),
        ("Answer: \n\nIt ends.\n", "It ends."),
        ("**answer:** 4", "4"),
    ],
)
def test_a_direct_answer_comes_as_text(text, answer, piece):
    reads = read(text, piece=piece)
    assert all(isinstance(item, AnswerText) for item in reads)
    assert "".join(item.text for item in reads) == answer


def test_prose_is_reported_and_is_no_step():
    reads = read("Hello world(s)!\nI can't do that (sorry).")
    assert reads
    assert all(isinstance(item, Prose) for item in reads)


STEP = {"id": "s1", "tool": "chart", "args": {"file": "a.csv", "note": 'brace } quote \\" {'}, "after": ["s0"]}
EXPECTED = PlanStep(id="s1", tool="chart", args=STEP["args"], depends_on=("s0",))


@pytest.mark.parametrize("piece", [None, 1, 5])
@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"title": "A {title}", "steps": [STEP]}),
        json.dumps({"title": "A {title}", "steps": [STEP]}, indent=1),
        "Here is the plan:\n```json\n" + json.dumps({"steps": [STEP], "title": "A {title}"}) + "\n```\nBye {",
        json.dumps([STEP]),
        json.dumps(STEP) + "\n",
    ],
)
def test_json_is_recognised_and_read_step_by_step(text, piece):
    reads = [item for item in read(text, piece=piece) if not isinstance(item, Prose)]
    assert steps_of(reads) == [EXPECTED]
    assert isinstance(reads[-1], End)
    assert [item for item in reads if isinstance(item, Title)] == ([Title("A {title}")] if "title" in text else [])


def test_a_json_step_is_there_the_moment_its_object_closes():
    reader = PlanReader()
    text = json.dumps({"title": "x", "steps": [STEP, {**STEP, "id": "s2"}]})
    first = text.index("}, {") + 1
    assert steps_of(reader.feed(text[:first])) == [EXPECTED]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"steps": [{"id": "s1", "tool": "t", "argz": {}}]}', "did you mean 'args'"),
        ('{"steps": [{"id": "s1", "tool": 7}]}', "tool"),
        ('{"steps": [{"id": "s1"}]}', "names no tool"),
        ('{"steps": [{"id": "s1", "tool": "t", "args": {"a": 1e999}}]}', "too large"),
        ('{"steps": [{"id": "s1", "to', "breaks off"),
        ('{"steps": [{"id": "s1" "tool": "t"}]}', "no JSON"),
        ('{"steps": [{"id": "s1", "args": ' + "[" * 200 + "]" * 200 + "}]}", "nested"),
        ('{"steps": [{"id": "s1", "args": "' + "x" * 70_000 + '"}]}', "longer than"),
    ],
)
def test_wrong_json_is_refused_with_a_reason(text, reason):
    refused = [item for item in read(text) if isinstance(item, Refused)]
    assert len(refused) == 1
    assert reason in refused[0].reason


def test_pythons_spelling_of_json_is_read():
    text = '{"title": "x", "steps": [{"id": "s1", "tool": "t", "args": {"a": True, "b": None,},}]}'
    assert steps_of(read(text)) == [PlanStep(id="s1", tool="t", args={"a": True, "b": None})]


def test_json_can_answer_directly():
    assert read('{"answer": "Hi {you}"}')[0] == AnswerText("Hi {you}")


@pytest.mark.parametrize("text", ["x" * 300_000, 's1 t("' + "x" * 300_000, '{"steps": [{"id": "' + "x" * 300_000])
def test_an_endless_line_is_refused_and_skipped(text):
    reads = read(text + '\ns2 t("x")\nend' if text[0] != "{" else text, piece=1000)
    assert [item for item in reads if isinstance(item, Refused)]
    if text[0] != "{":
        assert len(steps_of(reads)) == 1


names = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,8}", fullmatch=True)
words = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
texts = st.text(alphabet=st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"), max_size=30)
references = st.sampled_from(["{{ s1.output }}", "{{ s1.files[0] }}", '{{ s2.output.rows[0]["unit price"] }}'])
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
    | references,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
arguments = st.dictionaries(
    words | st.sampled_from(["instruction", "options", "tools", "odd name", "a-b"]), values, max_size=3
)
common = {
    "id": names,
    "title": texts,
    "args": arguments,
    "depends_on": st.lists(names.filter(lambda name: name != "as"), max_size=3, unique=True).map(tuple),
    "outputs": st.lists(texts.filter(bool) | st.just("out/*.csv"), max_size=2).map(tuple),
    "on_failure": st.sampled_from(OnFailure),
    "timeout": st.none() | st.floats(0.001, 86_400) | st.integers(1, 86_400).map(float),
    "retries": st.integers(0, 10),
    "parallelizable": st.booleans(),
    "parallel_reason": texts,
}
filled = texts.filter(bool)
plan_steps = st.one_of(
    st.builds(
        PlanStep, tool=words | st.sampled_from(["ask", "end", "data.chart", "odd tool"]), instruction=texts, **common
    ),
    st.builds(PlanStep, step_type=st.just(StepType.LLM), instruction=filled, **common),
    st.builds(
        PlanStep,
        step_type=st.just(StepType.TASK),
        instruction=filled,
        allowed_tools=st.lists(words | st.just("odd tool"), max_size=3).map(tuple),
        **common,
    ),
    st.builds(
        PlanStep,
        step_type=st.just(StepType.ASK),
        question=filled,
        instruction=texts,
        options=st.just(()) | st.lists(texts, min_size=2, max_size=4).map(tuple),
        **common,
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(plan_steps, max_size=4), st.integers(1, 40))
def test_reading_is_the_inverse_of_rendering(steps, piece):
    reads = read(render("A title", steps), piece=piece)
    assert [item for item in reads if isinstance(item, Refused | Prose)] == []
    assert steps_of(reads) == steps
    assert reads[0] == Title("A title")
    assert reads[-1] == End()
