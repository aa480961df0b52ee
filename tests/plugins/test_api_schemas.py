"""A tool known by a JSON Schema alone is checked, mended and shown like one whose function is here."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Annotated, Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.catalogue import Catalogue
from agent.catalogue.signatures import signature
from agent.errors import ToolArguments
from agent.policy.consent import whole
from plugins.api import File, PluginError, ToolSpec, spec_of, tool, tool_from_schema
from plugins.api.schemas import MARKS
from plugins.loader import LoadedPlugin

ORDER = {
    "type": "object",
    "title": "Order",
    "properties": {
        "to": {"type": "string", "description": "Whom.", "minLength": 2},
        "count": {"type": "integer", "default": 1, "minimum": 1, "maximum": 9},
        "size": {"enum": ["small", "large"], "default": "small"},
        "when": {"type": "string", "format": "date"},
        "tags": {"type": "array", "items": {"type": "string"}, "x-unknown": {"deep": [1]}},
        "note": {"type": ["string", "null"]},
        "either": {"oneOf": [{"type": "integer"}, {"type": "boolean"}]},
        "address": {"$ref": "#/$defs/Address"},
        "_odd-name": {"type": "number"},
        "model_config": {},
    },
    "required": ["to"],
    "$defs": {
        "Address": {
            "type": "object",
            "title": "Address",
            "properties": {"street": {"type": "string"}, "number": {"type": "integer"}},
            "required": ["street"],
            "additionalProperties": False,
        }
    },
    "x-more": True,
}


def spec_for(schema: dict[str, Any], **more: Any) -> ToolSpec:
    return tool_from_schema("order", "Order things. At once.", schema, plugin="shop", **more)


def catalogue_of(*specs: ToolSpec) -> Catalogue:
    return Catalogue([LoadedPlugin("shop", "/nowhere/shop.py", tools=specs)])


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({"to": "ada", "count": "3"}, {"to": "ada", "count": 3}),
        ({"to": 47, "size": "Large"}, {"to": "47", "size": "large"}),
        ({"to": "ada", "tags": "one", "note": None}, {"to": "ada", "tags": ["one"], "note": None}),
        ({"to": "ada", "tags": '["a", "b"]', "count": None}, {"to": "ada", "tags": ["a", "b"]}),
        ({"to": "ada", "when": "2026-12-24", "either": True}, {"to": "ada", "when": "2026-12-24", "either": True}),
        (
            {"to": "ada", "address": {"street": "Q", "number": "4"}},
            {"to": "ada", "address": {"street": "Q", "number": 4}},
        ),
        (
            {"to": "ada", "_odd-name": 1.5, "model_config": {"a": 1}},
            {"to": "ada", "_odd-name": 1.5, "model_config": {"a": 1}},
        ),
    ],
)
def test_arguments_are_checked_and_mended_by_the_schema(given: dict[str, Any], made: dict[str, Any]):
    spec = spec_for(ORDER)
    assert catalogue_of(spec).validate(spec, given) == made


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "'to' is missing"),
        ({"to": "ada", "count": "many"}, "'count' must be a whole number, not \"many\""),
        ({"to": "ada", "count": 10}, "'count': input should be less than or equal to 9"),
        ({"to": "a"}, "at least 2 characters"),
        ({"to": "ada", "size": "huge"}, "'size' must be one of 'small', 'large'"),
        ({"to": "ada", "when": "tomorrow"}, "'when' must be a date"),
        ({"to": "ada", "address": {"street": "Q", "plz": 1}}, "'address'"),
        ({"to": "ada", "address": {}}, "'address' is missing"),
        ({"to": "ada", "cuont": 1}, "did you mean 'count'"),
    ],
)
def test_what_does_not_fit_the_schema_is_named(given: dict[str, Any], said: str):
    spec = spec_for(ORDER)
    with pytest.raises(ToolArguments, match=re.escape(said)):
        catalogue_of(spec).validate(spec, given)


def test_an_argument_that_is_still_to_come_is_checked_for_its_name_alone():
    spec = spec_for(ORDER)
    given = {"to": "{{ a.output }}", "count": 2}
    assert catalogue_of(spec).validate(spec, given, unresolved={"to"}) == {"to": "{{ a.output }}", "count": 2}


def test_the_schema_is_shown_as_it_came_and_in_a_line():
    spec = spec_for(ORDER)
    shown = {key: value for key, value in ORDER.items() if key != "title"}
    assert spec.parameters == shown
    assert signature(spec) == (
        'to: str, count: int = 1, size: small|large = "small", when: date = None, tags: list[str] = None, '
        "note: str = None, either: int | bool = None, address: Address = None, _odd-name: float = None, "
        "model_config: any = None"
    )


def test_consent_shows_the_defaults_too_in_the_order_of_the_schema():
    assert list(whole(spec_for(ORDER), {"to": "ada"}).items()) == [("to", "ada"), ("count", 1), ("size", "small")]


def test_marks_say_what_a_parameter_is_for_and_are_not_shown():
    marked = {
        "type": "object",
        "properties": {
            "table": {"anyOf": [{"type": "string"}, {"type": "null"}], MARKS: {"file": [".csv"]}},
            "sum": {"type": "string", MARKS: {"pattern": "[0-9+]+"}},
            "desk": {"type": "string", MARKS: {"service": "tickets"}},
        },
    }
    spec = spec_for(marked)
    assert spec.file_parameters == {"table": (".csv",)}
    assert spec.text_patterns == {"sum": "[0-9+]+"}
    assert spec.service_parameters == {"desk": "tickets"}
    assert MARKS not in str(spec.parameters)


def test_the_function_is_elsewhere_and_says_so():
    spec = spec_for(ORDER, function_name="order_v2", wants_context=True, network=("shop.example",))
    assert (spec.function_name, spec.wants_context, spec.network) == ("order_v2", True, ("shop.example",))
    with pytest.raises(PluginError, match="'order_v2' is not in this process"):
        spec.function(to="ada")
    assert hash(replace(spec, once=True)) != hash(spec)
    assert replace(spec, name="other").function_name == "order_v2"


def test_a_function_names_itself():
    @tool(name="other")
    def mine(number: int = 3) -> int:
        """Count."""
        return number

    spec = spec_of(mine)
    assert spec is not None
    assert (spec.function_name, spec.defaults) == ("mine", {"number": 3})


def test_what_is_no_object_s_schema_is_refused():
    with pytest.raises(PluginError, match="JSON Schema of an object"):
        spec_for({"type": "string"})
    with pytest.raises(PluginError, match="no field 'colour'"):
        spec_for({}, colour="red")


def test_a_schema_that_holds_itself_or_grows_without_end_is_cut():
    tree = {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}}}
    defs: dict[str, Any] = {"Tree": tree}
    defs |= {
        f"L{n}": {"type": "object", "properties": {f"p{k}": {"$ref": f"#/$defs/L{n + 1}"} for k in range(10)}}
        for n in range(12)
    }
    both = {"type": "object", "properties": {"root": tree, "laughs": {"$ref": "#/$defs/L0"}}, "$defs": defs}
    spec = spec_for(both)
    value = {"root": {"kids": [{"kids": [{"kids": []}]}]}, "laughs": {"p0": {"p1": {}}}}
    assert catalogue_of(spec).validate(spec, value) == value


@pytest.mark.parametrize(
    "part",
    [
        {"allOf": [{"$ref": "#/properties/x"}]},
        {"allOf": [{"$ref": "#"}]},
        {"allOf": [{"allOf": [{"$ref": "#/$defs/A"}]}]},
        {"type": "object", "properties": {"deeper": {"allOf": [{"$ref": "#/properties/x"}]}}},
    ],
)
def test_a_schema_that_is_all_of_itself_is_anything_from_there_on(part: dict[str, Any]):
    a_and_b = {"A": {"anyOf": [{"allOf": [{"$ref": "#/$defs/B"}]}]}, "B": {"allOf": [{"$ref": "#/$defs/A"}]}}
    spec = spec_for({"type": "object", "properties": {"x": part}, "$defs": a_and_b})
    assert signature(spec).startswith("x: ")
    assert catalogue_of(spec).validate(spec, {"x": {"deeper": {"deeper": {}}}}) == {"x": {"deeper": {"deeper": {}}}}


def test_a_type_that_is_said_again_and_again_is_read_once():
    part = {"type": ["object"] * 2_000, "properties": {f"p{n}": {"type": "string"} for n in range(500)}}
    spec = spec_for({"type": "object", "properties": {"x": part}})
    assert signature(spec) == "x: dict = None"
    assert catalogue_of(spec).validate(spec, {"x": {"p0": 1}}) == {"x": {"p0": "1"}}


@pytest.mark.parametrize(
    "part",
    [
        {"type": "string", "pattern": "(?=a)b"},
        {"type": "string", "pattern": "(", "minLength": "two"},
        {"type": "integer", "multipleOf": 0, "minimum": "low"},
        {"type": "integer", "multipleOf": 0.5, "minimum": 0.5, "maximum": 1e308},
        {"type": "number", "maximum": 10**400, "minimum": -math.inf, "exclusiveMinimum": math.nan},
        {"type": "string", "minLength": -1, "maxLength": 2**64},
        {"type": "array", "items": [{"type": "string"}, {}], "maxItems": -1},
        {"type": "nonsense"},
        {"type": {"deep": 1}},
        {"$ref": "https://far.example/schema"},
        {"$ref": "#/nowhere"},
        {"enum": []},
        {"enum": [1.5, {"a": 1}]},
        {"not": {}, "if": {}, "then": 3},
        {"anyOf": [{"type": "string", "minLength": 1}, {"type": "integer", "minimum": 1}, True]},
        {"allOf": [{"type": "object", "properties": {"a": {}}}, {"$ref": "#/nowhere"}]},
        {"properties": 4},
        True,
        7,
    ],
)
def test_what_is_not_understood_does_no_harm(part: Any):
    spec = spec_for({"type": "object", "properties": {"x": part}})
    catalogue = catalogue_of(spec)
    assert catalogue.describe([spec])
    assert spec.parameters["properties"]["x"] == part
    fits = [value for value in ("text", 3, {"a": 1}, ["a"]) if _fits(catalogue, spec, value)]
    assert fits


def _fits(catalogue: Catalogue, spec: ToolSpec, value: Any) -> bool:
    try:
        catalogue.validate(spec, {"x": value})
    except ToolArguments:
        return False
    return True


WORDS = st.sampled_from(
    [
        "type",
        "properties",
        "items",
        "anyOf",
        "allOf",
        "enum",
        "const",
        "$ref",
        "required",
        "format",
        "pattern",
        "default",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["string", "object", "#", "array"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(schema=st.dictionaries(st.text(max_size=8), JSON, max_size=3), value=JSON)
def test_no_schema_breaks_anything(schema: dict[str, Any], value: Any):
    spec = spec_for({"type": "object", "properties": schema})
    catalogue = catalogue_of(spec)
    assert catalogue.describe([spec])
    for name in schema:
        try:
            catalogue.validate(spec, {name: value})
        except ToolArguments as error:
            assert error.message  # noqa: PT017 - either is right


@tool
def draw(
    file: Annotated[str, File(".csv")],
    kind: Literal["bar", "line"] = "bar",
    sizes: list[int] | None = None,
    labels: dict[str, str] | None = None,
    scale: float = 1.0,
) -> str:
    """Draw a chart."""
    return f"{file}{kind}{sizes}{labels}{scale}"


def test_the_schema_of_a_function_is_shown_and_checked_like_the_function():
    mine = spec_of(draw)
    assert mine is not None
    marked = {**mine.parameters}
    marked["properties"] = {**marked["properties"], "file": {"type": "string", MARKS: {"file": [".csv"]}}}
    theirs = tool_from_schema("draw", mine.description, marked, plugin=mine.plugin)
    assert signature(theirs) == signature(mine)
    assert theirs.parameters == mine.parameters
    assert theirs.file_parameters == mine.file_parameters
    catalogue = catalogue_of(mine, theirs)
    given = {"file": "a.csv", "sizes": "4", "labels": {"a": 1}, "kind": "Lines"}
    assert catalogue.validate(theirs, given) == catalogue.validate(mine, given)
