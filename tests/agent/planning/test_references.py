from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.artifacts import Artifact
from agent.domain.plan import PlanStep
from agent.errors import ToolArguments
from agent.planning.references import find_references, resolve, with_reference_dependencies


@dataclass
class Result:
    output: Any = None
    text: str = ""
    files: list[Any] = field(default_factory=list)


RESULTS = {
    "s1": Result(
        output={"rows": [{"unit price": 3.5, "y": {"z": None}}], "n": 7},
        text="seven rows",
        files=[Artifact("out/chart.png"), {"path": "b.csv"}, "c.txt"],
    ),
    "s2": Result(text="just words"),
    "list": Result(output=[1, 2, 3]),
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ s1.output.n }}", 7),
        ("{{s1.output.rows[0]['unit price']}}", 3.5),
        ('  {{ s1.output.rows[0]["unit price"] }} ', 3.5),
        ("{{ s1.output.rows[-1].y.z }}", None),
        ("{{ s1.files[0] }}", "out/chart.png"),
        ("{{ s1.files }}", ["out/chart.png", "b.csv", "c.txt"]),
        ("{{ s1.text }}", "seven rows"),
        ("{{ list.output }}", [1, 2, 3]),
        ("{{ s2.output }}", "just words"),
    ],
)
def test_a_whole_reference_keeps_the_type_of_its_value(text, value):
    assert resolve(text, RESULTS) == (value, {text.strip(" {}").split(".")[0]})


def test_text_around_a_reference_interpolates_strings_plainly_and_the_rest_as_json():
    text = "n={{ s1.output.n }} list={{ list.output }} text={{ s1.text }} none={{ s1.output.rows[0].y.z }}"
    assert resolve(text, RESULTS)[0] == "n=7 list=[1, 2, 3] text=seven rows none=null"


def test_references_are_found_and_resolved_in_nested_values():
    value = {"a": ["{{ s1.output.n }}", {"b": "x {{ s2.text }}"}], "c": 5}
    assert find_references(value) == {"s1", "s2"}
    assert resolve(value, RESULTS) == ({"a": [7, {"b": "x just words"}], "c": 5}, {"s1", "s2"})


@pytest.mark.parametrize(
    "text", ["{{ name }}", "{{", "}}", "{ s1.output }", "{{ s1.rows }}", "{{ 1.output }}", "{{ s1.output..x }}"]
)
def test_other_braces_are_literal_text(text):
    assert resolve(text, RESULTS) == (text, frozenset())
    assert find_references(text) == frozenset()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("{{ s9.output }}", ["'s9' has no result", "'s1'", "'s2'"]),
        ("{{ s1.output.missing }}", ["s1.output has no 'missing'", "'rows'", "'n'"]),
        ("{{ list.output[3] }}", ["list.output has no 3", "a list of 3"]),
        ("{{ s1.files[7] }}", ["s1.files has no 7", "a list of 3"]),
        ("{{ s1.output.rows[0].y.z.deep }}", ["s1.output.rows[0].y.z has no 'deep'", "empty"]),
        ("{{ s1.output.n.x }}", ["s1.output.n has no 'x'", "the int '7'"]),
    ],
)
def test_a_path_that_leads_nowhere_is_named_with_what_is_there(text, parts):
    with pytest.raises(ToolArguments) as caught:
        resolve({"deep": [text]}, RESULTS)
    assert all(part in caught.value.message for part in parts)


def test_references_add_their_steps_to_the_dependencies_once():
    step = PlanStep(id="s3", tool="t", args={"a": "{{ s1.text }} {{ s2.text }}"}, depends_on=("s2",))
    assert with_reference_dependencies(step).depends_on == ("s2", "s1")
    assert with_reference_dependencies(with_reference_dependencies(step)).depends_on == ("s2", "s1")


def test_too_deep_nesting_is_a_clear_error():
    value: Any = "{{ s1.text }}"
    for _ in range(500):
        value = [value]
    with pytest.raises(ToolArguments, match="nested"):
        resolve(value, RESULTS)


@given(st.text(alphabet="{} s1.outpxfile[]\"'0\n", max_size=200))
def test_any_text_resolves_or_is_a_tool_arguments_error(text):
    try:
        resolve(text, RESULTS)
    except ToolArguments:
        assert "{{" in text


def test_finding_references_is_linear_for_hostile_text():
    hostile = '{{ a.output["' * 100_000
    assert find_references(hostile) == frozenset()
