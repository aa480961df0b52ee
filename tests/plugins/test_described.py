"""A plugin's description says the same as its module, and whatever strangers write into one hurts nobody else."""

from __future__ import annotations

import copy
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.catalogue.signatures import signature
from plugins.api import Form, Menu, PluginError
from plugins.api.schemas import fits
from plugins.described import plugin_of
from plugins.describing import PLAIN_FIELDS, describe
from plugins.loader import LoadedPlugin, discover

PLUGIN = '''"""Chart things. And more."""
import datetime as dt
from enum import Enum
from typing import Annotated, Literal
from pydantic import BaseModel
from plugins.api import Button, Context, Field, File, Form, Menu, Pattern, Plugin, ServiceName, command, service, tool

plugin = Plugin(
    version="2", settings={"house": "Who wins."},
    ui=(Menu("M", (Button("Go", "/chart"),)), Form("F", "chart", (Field("kind", "?", "choice", ("a", "b")),)),
        Form("G", "outside", (Field("x", "?"),))),
)

class Colour(Enum):
    RED = "red"
    BLUE = "blue"

class Place(BaseModel):
    x: int
    label: str | None = None

@command("chart", effect="pure", examples=["chart {table}"], produces=[".png"])
def draw(ctx: Context, table: Annotated[str, File(".csv", ".xlsx")], kind: Literal["a", "b"] = "a",
         colour: Colour = Colour.RED, at: list[Place] | None = None, since: dt.date | None = None,
         sum: Annotated[str, Pattern(r"[0-9+ ]+")] = "", desk: Annotated[str, ServiceName("tickets")] = "") -> str:
    """Draw a chart. Slowly."""
    return table

@tool(effect="read", network=["far.example"], egress=["q"], secrets=["KEY"], timeout=5, cost=0.25, untrusted=True)
def ask(q: str, many: dict[str, int] | None = None) -> str:
    """Ask."""
    return q

@tool(host=True, secrets=["KEY"])
async def outside(x: int) -> int:
    """Run outside."""
    return x

@tool(cost=lambda settings, arguments: 1.0)
def dear(x: int) -> int:
    """Cost something."""
    return x

@service(secrets=["KEY"], settings=["house"])
async def shop(ctx):
    """A shop."""
    yield 1
'''


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "charts.py"
    path.write_text(PLUGIN)
    return path


def read(source: Path) -> LoadedPlugin:
    return plugin_of(describe(str(source), source.stem), source=str(source), sha256="0")


def test_a_description_says_what_the_module_says(source: Path):
    (mine,) = discover([source.parent], builtin=False, entry_points=False)
    told = read(source)
    assert (told.name, told.summary, told.version, told.settings) == (mine.name, mine.summary, "2", mine.settings)
    own = {spec.name: spec for spec in mine.tools}
    assert [spec.name for spec in told.tools] == ["chart", "ask"]
    for spec in told.tools:
        real = own[spec.name]
        # Enumerations are told by their values.
        assert signature(spec) == signature(real).replace("Colour = <Colour.RED: 'red'>", 'red|blue = "red"')
        assert spec.parameters["properties"].keys() == real.parameters["properties"].keys()
        assert (spec.file_parameters, spec.text_patterns) == (real.file_parameters, real.text_patterns)
        assert spec.service_parameters == real.service_parameters
        assert (spec.function_name, spec.wants_context) == (real.function_name, real.wants_context)
        assert spec.full_name == real.full_name
        for name in set(PLAIN_FIELDS) - {"effect", "reads_all"}:
            assert getattr(spec, name) == getattr(real, name), name
    assert told.tools[1].cost == own["ask"].cost
    assert [type(part) for part in told.ui] == [Menu, Form]
    assert told.commands[0].command == "chart"


def test_what_would_run_outside_is_held_back_with_the_reason(source: Path):
    assert read(source).held_back == {
        "outside": "runs outside the sandbox (host=True) and would see the secrets KEY",
        "dear": "works out its cost by a function",
        "shop": "is a service and would see the secrets KEY",
    }


def test_a_claim_to_touch_nothing_is_judged_by_what_the_walls_allow(source: Path):
    chart, ask = read(source).tools
    assert (chart.effect, chart.reads_all) == ("write_inside", True)
    assert (ask.effect, ask.reads_all, ask.network) == ("read", False, ("far.example",))


def test_every_plugin_that_comes_with_us_could_be_described():
    for mine in discover(entry_points=False):
        data = describe(mine.source, mine.name)
        for tool in data["tools"] if mine.name == "calculate" else ():
            del tool["schema"]["properties"]["expression"]["x-dirigent"]  # a pattern that only we may have
        told = plugin_of(data, source=mine.source, sha256="")
        inside = {spec.name: spec for spec in mine.tools if not spec.host and not callable(spec.cost)}
        assert {spec.name for spec in told.tools} == inside.keys()
        for spec in told.tools:
            assert signature(spec) == signature(inside[spec.name]).replace("list[any]", "list")
            assert spec.parameters == inside[spec.name].parameters


def test_a_pattern_of_strangers_takes_no_time_whatever_it_says():
    begun = time.process_time()
    assert not fits("(a+)+b", "a" * 5_000)
    assert fits("[0-9+]+|sum of .*", "SUM of 3")
    assert not fits("[0-9+]+", "1+A")
    assert time.process_time() - begun < 10


# --- hostile descriptions -------------------------------------------------------------------------------------------
@pytest.fixture
def said(source: Path) -> dict[str, Any]:
    return describe(str(source), source.stem)


def with_value(said: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return the description with another value at a path such as `tools.0.name`; `…` removes it."""
    changed: Any = copy.deepcopy(said)
    *way, last = [int(part) if part.isdecimal() else part for part in path.split(".")]
    at = changed
    for part in way:
        at = at[part]
    if value is ...:
        del at[last]
    elif isinstance(at, list) and last >= len(at):
        at.append(value)
    else:
        at[last] = value
    return dict(changed)


DEEP: dict[str, Any] = {}
for _ in range(40):
    DEEP = {"type": "array", "items": DEEP}


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("format", 2, "another version"),
        ("name", "../x", "which it may not be"),
        ("name", "mcp:time", "which it may not be"),
        ("name", "a" * 65, "65 characters"),
        ("name", ..., "is no text"),
        ("summary", "\x1b[2J", "U+001B, which can't be seen"),
        ("summary", "abc\u202ecba", "U+202E"),
        ("summary", "a\u200bb", "U+200B"),
        ("summary", "\ud800", "U+D800"),
        ("summary", "x" * 301, "301 characters"),
        ("settings", {"a b": "x"}, "which it may not be"),
        ("settings", [], "no object"),
        ("tools", {}, "no list"),
        ("tools", [{}] * 129, "no list of up to 128"),
        ("tools.0", 7, "a tool is no object"),
        ("tools.0.name", "x; rm -rf", "which it may not be"),
        ("tools.1.name", "chart", "used by two of its tools"),
        ("tools.0.description", "", "0 characters"),
        ("tools.0.description", "x" * 8001, "8001 characters"),
        ("tools.0.effect", "nothing", "none of pure"),
        ("tools.0.effect", {"a": 1}, "none of pure"),
        ("tools.0.network", ["evil.example"], "do not go together"),
        ("tools.0.network", "evil.example", "no list"),
        ("tools.1.network", ["evil.example/path"], "which it may not be"),
        ("tools.1.network", ["a@evil.example"], "which it may not be"),
        ("tools.1.secrets", ["K" * 400], "400 characters"),
        ("tools.1.egress", ["nothing"], "no parameter"),
        ("tools.1.content_args", ["nothing"], "no parameter"),
        ("tools.1.examples", ["ask {nobody}"], "no parameter"),
        ("tools.0.host", "no", "neither true nor false"),
        ("tools.0.once", 0, "neither true nor false"),
        ("tools.0.timeout", 0, "no number"),
        ("tools.0.timeout", 1e9, "no number"),
        ("tools.0.timeout", True, "no number"),
        ("tools.0.cost", -1, "no number"),
        ("tools.0.cost", "free", "no number"),
        ("tools.0.function", "os.system", "which it may not be"),
        ("tools.0.function", "", "which it may not be"),
        ("tools.0.command", "Stop it", "which it may not be"),
        ("tools.0.reaches", [], "unknown field 'reaches'"),
        ("tools.0.schema", None, "no object"),
        ("tools.0.schema.type", "array", "no object"),
        ("tools.0.schema.properties", [], "no object"),
        ("tools.0.schema.properties.kind", True, "no object"),
        ("tools.0.schema.properties.x y", {}, "which it may not be"),
        ("tools.0.schema.properties.kind", {"description": "a\x07"}, "U+0007"),
        ("tools.0.schema.properties.kind", DEEP, "nested too deeply"),
        ("tools.0.schema.x", ["y" * 7_000] * 10, "more than 64,000"),
        ("tools.0.schema.properties.sum.x-dirigent", 7, "no object"),
        ("tools.0.schema.properties.sum.x-dirigent", {"pattern": "(?=a)b"}, "matched safely"),
        ("tools.0.schema.properties.sum.x-dirigent", {"pattern": r"(a)\1"}, "matched safely"),
        ("tools.0.schema.properties.sum.x-dirigent", {"pattern": "(a{1000}){1000}"}, "matched safely"),
        ("tools.0.schema.properties.sum.x-dirigent", {"pattern": "[b-a]"}, "matched safely"),
        ("tools.0.schema.properties.sum.x-dirigent", {"file": ["/etc"]}, "which it may not be"),
        ("services.0", "x", "a service is no object"),
        ("services.1", {"name": "shop", "description": "", "secrets": [], "settings": []}, ""),
        ("ui.0", {"type": "window"}, "neither a menu nor a form"),
        ("ui.0.buttons.0.label", "a\x00", "U+0000"),
        ("ui.1.fields.0.kind", "password", "unknown kind"),
        ("ui.1.fields.0.name", "colours", "no parameter of 'chart'"),
        ("error", "broken \x1b[31mred", "broken \ufffd[31mred"),
        ("error", {"a": 1}, "{'a': 1}"),
    ],
)
def test_what_a_description_may_not_say_is_refused(said: dict[str, Any], path: str, value: Any, reason: str):
    changed = with_value(said, path, value)
    if not reason:
        plugin_of(changed, source="/p.py", sha256="")
        return
    with pytest.raises(PluginError) as caught:
        plugin_of(changed, source="/p.py", sha256="")
    assert reason in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("said", [None, 7, "x", [], {}, {"format": 1}, {"format": 1, "name": "x"}, float("nan"), b"x"])
def test_what_is_no_description_is_refused(said: Any):
    with pytest.raises(PluginError):
        plugin_of(said, source="/p.py", sha256="")


def test_a_description_without_end_is_refused(said: dict[str, Any]):
    with pytest.raises(PluginError, match="are the most"):
        plugin_of({**said, "more": ["x" * 1000] * 1200}, source="/p.py", sha256="")


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.just([]) | st.just({})


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_put_anywhere_is_a_plugin_or_a_plugin_error(said: dict[str, Any], data: st.DataObject):
    changed = copy.deepcopy(said)
    at: Any = changed
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not keys:
            break
        key = data.draw(st.sampled_from(keys))
        if not isinstance(at[key], (dict, list)) or data.draw(st.booleans()):
            at[key] = data.draw(VALUES)
            break
        at = at[key]
    try:
        made = plugin_of(changed, source="/p.py", sha256="")
    except PluginError:
        return
    for spec in made.tools:
        assert not spec.host
        assert json.dumps(spec.parameters)
        assert signature(spec) is not None
        assert spec.arguments
