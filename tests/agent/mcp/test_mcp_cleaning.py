"""What servers say of their tools, made fit to be shown, and kept."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.mcp import McpServer
from agent.errors import ConfigError
from agent.mcp.accepted import Listing, accept, accepted, forget, note, place, seen
from agent.mcp.cleaning import HIDDEN, MOST_NAME, Unfit, cleaned, cleaned_schema, plain_names
from agent.mcp.labels import spec_of
from plugins.api.declaring import TOOL_NAME

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.text(), st.integers(1, 50))
def test_a_cleaned_text_holds_nothing_that_can_not_be_seen(text: str, most: int):
    made = cleaned(text, most)
    assert len(made) <= most
    assert not [char for char in made if unicodedata.category(char) in HIDDEN and char not in "\n\t"]
    assert cleaned(made, most) == made


@given(st.lists(st.text(), unique=True, max_size=40))
def test_every_tool_gets_a_name_of_its_own(names: list[str]):
    made = plain_names(names)
    assert list(made) == names
    assert len(set(made.values())) == len(names)
    assert all(TOOL_NAME.match(plain) and len(plain) <= MOST_NAME for plain in made.values())


@given(st.dictionaries(st.text(), JSON))
def test_whatever_a_server_says_of_its_arguments_is_a_form_or_refused(schema):
    try:
        made = cleaned_schema(schema)
    except Unfit:
        return
    assert made["type"] == "object"
    json.dumps(made)


def test_a_strangers_expressions_are_left_out_and_an_argument_of_that_name_is_not():
    made = cleaned_schema({"properties": {"pattern": {"type": "string", "pattern": "(a+)+$", "format": "regex"}}})
    assert made["properties"] == {"pattern": {"type": "string"}}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string"},
        {"properties": {"a": {"$ref": "https://evil.example/schema"}}},
        {"properties": {"a b": {}}},
        {"properties": {"a\u200b": {}}},
        {"properties": {f"p{n}": {} for n in range(100)}},
        {"properties": []},
    ],
)
def test_forms_that_are_none_are_refused(schema):
    with pytest.raises(Unfit):
        cleaned_schema(schema)


def listing(about: str = "Does it.") -> Listing:
    return Listing.of([{"name": "do", "description": about, "inputSchema": {"type": "object"}}], "s 1", "id")


def test_what_was_accepted_is_read_as_it_was_written(tmp_path):
    accept(tmp_path, "one", listing())
    known = accepted(tmp_path, "one")
    assert known is not None
    assert known.tools == listing().tools
    assert (
        place(tmp_path, "one").stat().st_mode & 0o077 == 0 or place(tmp_path, "one").parent.stat().st_mode & 0o077 == 0
    )
    forget(tmp_path, "one")
    assert accepted(tmp_path, "one") is None


def test_a_damaged_file_is_named_with_the_way_on(tmp_path):
    accept(tmp_path, "one", listing())
    place(tmp_path, "one").write_text('{"tools": [')
    with pytest.raises(ConfigError, match=r"damaged.*dirigent mcp accept one"):
        accepted(tmp_path, "one")


def test_what_is_seen_is_kept_only_while_it_differs(tmp_path):
    accept(tmp_path, "one", listing())
    note(tmp_path, "one", listing("Does something else."))
    assert seen(tmp_path, "one") is not None
    note(tmp_path, "one", listing())
    assert seen(tmp_path, "one") is None


def test_characters_that_can_not_be_seen_count_for_the_hash(tmp_path):
    assert listing("Does it.").digest != listing("Does\u200b it.").digest


def test_every_plan_is_told_a_short_summary():
    for about in ("word " * 250, "First. " + "word " * 250):
        (tool,) = listing(about).tools
        spec = spec_of("one", McpServer(command=("x",)), tool, "do")
        assert len(spec.summary) <= 250
        assert spec.description.count("word") > 200
