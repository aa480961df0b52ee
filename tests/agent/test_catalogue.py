"""What a profile may use, what a name means, which arguments fit, and what models are shown."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.catalogue import Catalogue
from agent.config import AppConfig
from agent.domain.session import Profile
from agent.errors import ConfigError, ToolArguments, ToolUnknown
from plugins.api import Button, Context, Field, File, Form, Menu, Output, command, tool
from plugins.loader import LoadedPlugin, discover, from_functions


@tool(effect="read", host=True, egress=["url"])
async def fetch(ctx: Context, url: str, max_chars: int = 20_000) -> Output:
    """Fetch a page as readable text. It can be long."""


@tool
def chart(
    file: Annotated[str, File(".csv")],
    y: str,
    kind: Literal["auto", "line"] = "auto",
    series: str | None = None,
    files: list[str] = [],  # noqa: B006
    since: date | None = None,
    scale: float = 1.0,
) -> Output:
    """Draw a chart."""


@command("roll", effect="pure")
def roll(sides: int = 6, *, twice: bool = False) -> int:
    """Roll a die."""
    return sides


@tool(name="fetch")
def fetch_parcel(number: str) -> str:
    """Fetch a parcel's state."""
    return number


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
UI = (
    Menu("Games", (Button("Roll", "/roll"),)),
    Form("Roll", "roll", (Field("sides", "Sides", "number"),)),
    Form("Secret", "hidden", ()),
)


def builtin(name: str, *functions: Any) -> LoadedPlugin:
    made = from_functions(name, functions)
    return LoadedPlugin(made.name, f"plugins.{name}", tools=made.tools, commands=made.commands, builtin=True)


@pytest.fixture
def catalogue() -> Catalogue:
    parcels = from_functions("parcels", [fetch_parcel], source="/home/me/parcels.py")
    dice = from_functions("dice", [roll])
    dice = LoadedPlugin(dice.name, dice.source, summary="Dice.", tools=dice.tools, commands=dice.commands, ui=UI)
    return Catalogue([parcels, builtin("web", fetch), builtin("data", chart), dice])


@pytest.fixture(scope="module")
def real() -> Catalogue:
    return Catalogue(discover(entry_points=False))


# --- names ----------------------------------------------------------------------------------------------------------


def test_a_bare_name_belongs_to_the_builtin_and_the_other_keeps_its_full_name(catalogue: Catalogue):
    assert catalogue.find("fetch").plugin == "web"
    assert catalogue.find("parcels.fetch").function is fetch_parcel
    assert catalogue.find("parcels__fetch").function is fetch_parcel
    assert catalogue.name_of(catalogue.find("parcels.fetch")) == "parcels.fetch"
    assert catalogue.source(catalogue.find("parcels.fetch")) == "/home/me/parcels.py"
    assert catalogue.source(catalogue.find("fetch")) == "plugins.web"


def test_a_tool_is_found_by_its_command_and_in_any_case(catalogue: Catalogue):
    assert catalogue.find("/roll").name == catalogue.find("Roll").name == "roll"


def test_an_unknown_tool_names_the_nearest(catalogue: Catalogue):
    with pytest.raises(ToolUnknown, match=r"no tool 'fech'\. Did you mean 'fetch'"):
        catalogue.find("fech")
    with pytest.raises(ToolUnknown, match=r"Allowed here: parcels\.fetch, fetch, chart, roll"):
        catalogue.find("xyzzy")


def test_a_forbidden_tool_is_unknown_and_what_is_allowed_is_named(catalogue: Catalogue):
    with pytest.raises(ToolUnknown, match=r"'fetch' is not allowed here\. Allowed here: roll\."):
        catalogue.find("fetch", Profile(plugins=("dice",)))
    with pytest.raises(ToolUnknown, match="No tool is allowed here"):
        catalogue.find("fetch", Profile(plugins=()))


# --- profiles -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "names"),
    [
        (Profile(), ["parcels.fetch", "web.fetch", "data.chart", "dice.roll"]),
        (Profile(plugins=("web", "dice")), ["web.fetch", "dice.roll"]),
        (Profile(plugins=("web", "dice.roll")), ["web.fetch", "dice.roll"]),
        (Profile(tools=("fetch",)), ["web.fetch"]),
        (Profile(tools=("parcels.fetch", "data")), ["parcels.fetch", "data.chart"]),
        (Profile(plugins=("web",), tools=("chart",)), []),
        (Profile(denied=("fetch",)), ["data.chart", "dice.roll"]),
        (Profile(denied=("parcels",)), ["web.fetch", "data.chart", "dice.roll"]),
        (Profile(denied=("*",)), []),
        (Profile(plugins=()), []),
    ],
)
def test_a_profile_admits_what_both_lists_name_and_denied_wins(
    catalogue: Catalogue, profile: Profile, names: list[str]
):
    assert [spec.full_name for spec in catalogue.tools(profile)] == names


def test_the_builtin_forms_are_shown_to_those_who_may_use_them(real: Catalogue):
    assert {"files", "memory", "time", "web"} <= set(real.get_plugin_ui(Profile()))
    assert set(real.get_plugin_ui(Profile(plugins=("web",)))) == {"web"}


def test_commands_and_ui_are_those_that_the_profile_may_use(catalogue: Catalogue):
    commands = catalogue.get_plugin_commands(Profile())
    assert list(commands) == ["roll"]
    assert commands["roll"]["description"] == "Roll a die."
    assert commands["roll"]["plugin"] == "dice"
    assert commands["roll"]["parameters"]["properties"]["sides"]["default"] == 6
    ui = catalogue.get_plugin_ui(Profile())
    assert [part["title"] for part in ui["dice"]["elements"]] == ["Games", "Roll"]
    assert ui["dice"]["elements"][1]["fields"][0]["kind"] == "number"
    assert json.loads(json.dumps(ui)) == ui
    assert catalogue.get_plugin_commands(Profile(denied=("dice",))) == {}
    assert catalogue.get_plugin_ui(Profile(denied=("dice",))) == {}


# --- arguments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "settled"),
    [
        ({"file": "a.csv", "y": 2024}, {"file": "a.csv", "y": "2024"}),
        ({"file": "a", "y": "b", "scale": "1.5"}, {"file": "a", "y": "b", "scale": 1.5}),
        ({"file": "a", "y": "b", "files": "c"}, {"file": "a", "y": "b", "files": ["c"]}),
        ({"file": "a", "y": "b", "files": '["c", "d"]'}, {"file": "a", "y": "b", "files": ["c", "d"]}),
        ({"file": "a", "y": "b", "kind": None}, {"file": "a", "y": "b"}),
        ({"file": "a", "y": "b", "kind": "Lines "}, {"file": "a", "y": "b", "kind": "line"}),
        ({"file": "a", "y": "b", "series": None}, {"file": "a", "y": "b", "series": None}),
        ({"file": "a", "y": "b", "since": "2026-01-02"}, {"file": "a", "y": "b", "since": "2026-01-02"}),
    ],
)
def test_harmless_differences_are_mended(catalogue: Catalogue, given: dict[str, Any], settled: dict[str, Any]):
    assert catalogue.validate(catalogue.find("chart"), given) == settled


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"file": "a"}, "chart: 'y' is missing."),
        ({"file": "a", "y": "b", "scale": "much"}, "'scale' must be a number, not \"much\""),
        ({"file": "a", "y": "b", "kind": "pie"}, "'kind' must be one of 'auto', 'line', not \"pie\""),
        ({"file": "a", "y": "b", "knd": "line"}, "there is no parameter 'knd' (did you mean 'kind'?)"),
        ({"file": None, "y": "b"}, "'file' must be text, not null"),
        ({"file": "a", "y": ["b"]}, "'y' must be text, not [\"b\"]"),
        ({"file": "a", "y": "b", "files": [{"x": 1}]}, "'files[0]' must be text"),
        ({"file": "a", "y": "b", "since": "soon"}, "'since' must be a date such as 2026-12-24, not \"soon\""),
        ({"file": "a", "y": "b", "since": "x" * 500}, "x…"),
    ],
)
def test_a_wrong_argument_is_named_with_its_value_and_what_was_expected(
    catalogue: Catalogue, given: dict[str, Any], reason: str
):
    with pytest.raises(ToolArguments) as caught:
        catalogue.validate(catalogue.find("chart"), given)
    assert reason in caught.value.message
    assert "Its parameters: file: str, y: str" in caught.value.hint


def test_all_wrong_arguments_are_named_at_once(catalogue: Catalogue):
    with pytest.raises(ToolArguments) as caught:
        catalogue.validate(catalogue.find("chart"), {"scale": "x", "nope": 1})
    assert all(name in caught.value.message for name in ("'nope'", "'file'", "'y'", "'scale'"))


@given(args=st.dictionaries(st.sampled_from(["file", "y", "files", "since", "scale", "kind", "series", "x"]), JSON))
def test_any_arguments_either_fit_or_are_refused_with_words(args: dict[str, Any]):
    catalogue = Catalogue([builtin("data", chart)])
    spec = catalogue.find("chart")
    try:
        settled = catalogue.validate(spec, args)
    except ToolArguments:
        return
    assert json.loads(json.dumps(settled)) == settled
    assert catalogue.validate(spec, settled) == settled


def test_an_argument_that_is_still_a_reference_is_checked_for_its_name_alone(catalogue: Catalogue):
    spec, reference = catalogue.find("roll"), "{{ s1.output }}"
    assert catalogue.validate(spec, {"sides": reference}, unresolved={"sides"}) == {"sides": reference}
    with pytest.raises(ToolArguments, match="no parameter 'side'"):
        catalogue.validate(spec, {"side": reference}, unresolved={"side"})
    with pytest.raises(ToolArguments, match="'twice' must be true or false"):
        catalogue.validate(spec, {"sides": reference, "twice": "perhaps"}, unresolved={"sides"})


# --- for models -----------------------------------------------------------------------------------------------------


def test_a_tool_is_described_in_one_line(catalogue: Catalogue):
    lines = catalogue.describe(catalogue.tools(Profile())).splitlines()
    assert lines[0] == "parcels.fetch(number: str) — Fetch a parcel's state."
    assert lines[1] == "fetch(url: str, max_chars: int = 20000) — Fetch a page as readable text."
    assert lines[2] == (
        'chart(file: str, y: str, kind: auto|line = "auto", series: str = None, files: list[str] = [],'
        " since: date = None, scale: float = 1.0) — Draw a chart."
    )


def test_the_schema_has_a_name_that_servers_accept_and_find_understands(catalogue: Catalogue):
    schema = catalogue.schema(catalogue.find("parcels.fetch"))
    assert schema["type"] == "function"
    assert schema["function"]["name"] == "parcels__fetch"
    assert catalogue.find(schema["function"]["name"]).function is fetch_parcel
    assert schema["function"]["parameters"]["required"] == ["number"]


@pytest.mark.parametrize(
    ("request_text", "name"),
    [
        ("remember that I like tea", "remember"),
        ("what time is it in Tokyo?", "now"),
        ("convert sales.csv to xlsx", "convert_file"),
        ("search the web for cheap laptops", "search_web"),
        ("serach the web for cheap laptops", "search_web"),
        ("summarise https://example.org/page", "fetch"),
        ("download https://example.org/a.zip", "download"),
        ("run the command ls -l", "shell"),
        ("how many days until 2027-01-01", "days_between"),
        ("which files are in my folder", "list_files"),
    ],
)
def test_narrowing_keeps_the_tool_that_the_request_means(real: Catalogue, request_text: str, name: str):
    narrowed = real.narrow(request_text, real.tools(Profile()), 8)
    assert len(narrowed) == 8
    assert name in [spec.name for spec in narrowed]


def test_narrowing_keeps_a_core_and_the_order(real: Catalogue):
    every = real.tools(Profile())
    narrowed = real.narrow("qwertz", every, 6)
    assert {"python", "read_file"} <= {spec.name for spec in narrowed}
    assert narrowed == [spec for spec in every if spec in narrowed]
    assert real.narrow("x", every[:3], 10) == every[:3]


def test_ten_tools_are_described_in_few_words(real: Catalogue):
    narrowed = real.narrow("fetch the page, save it and convert it", real.tools(Profile()), 10)
    # A token is about four characters here; the whole planning prompt may have 1,000.
    assert len(real.describe(narrowed)) / 4 < 500


def test_every_builtin_example_names_only_parameters_and_every_summary_is_short(real: Catalogue):
    for spec in real.tools():
        assert len(spec.summary) <= 140, spec.full_name
        assert spec.examples, spec.full_name


# --- settings and loading -------------------------------------------------------------------------------------------


def test_an_unknown_setting_of_a_plugin_names_the_nearest():
    with pytest.raises(ConfigError, match=r"unknown setting 'serxng'\. Did you mean 'searxng'"):
        Catalogue(discover(entry_points=False), settings={"web": {"serxng": "http://x"}})


def test_the_configured_folders_are_searched_and_broken_plugins_are_kept_apart(tmp_path: Path):
    home, more = tmp_path / "home", tmp_path / "more"
    (home / "plugins").mkdir(parents=True)
    more.mkdir()
    (home / "plugins" / "one.py").write_text('from plugins.api import tool\n@tool\ndef one():\n    "One."\n')
    (more / "bad.py").write_text("1 / 0")
    loaded = Catalogue.load(AppConfig(home=home, plugin_folders=(more,)))
    assert loaded.find("one").plugin == "one"
    assert [plugin.name for plugin in loaded.broken] == ["bad"]
    assert "division" in (loaded.plugin("bad").error or "")


def test_a_server_does_not_take_the_name_of_a_plugin_in_whatever_letters(tmp_path: Path):
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "shop.py").write_text(
        'from plugins.api import Plugin, tool\nplugin = Plugin(name="Shop")\n@tool\ndef buy():\n    "Buy."\n'
    )
    servers = [
        replace(from_functions(name, [], source=f"mcp:{name}"), trusted=False) for name in ("web", "shop", "far")
    ]
    loaded = Catalogue.load(AppConfig(home=tmp_path), iter(servers))
    assert {plugin.name for plugin in loaded.broken} == {"web'", "shop'"}
    assert loaded.find("buy").plugin == "Shop"
    assert loaded.plugin("far").error is None
