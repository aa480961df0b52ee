"""The declaration of tools: what is read from a function, and what is refused with words."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest

from plugins import api
from plugins.api import Context, File, PluginError, command, service, service_of, spec_of, tool

if TYPE_CHECKING:
    from plugins.api import Context as Surroundings
    from plugins.api import ToolSpec


def declared(function: Any) -> ToolSpec:
    spec = spec_of(function)
    assert spec is not None
    return spec


def test_a_tool_stays_a_plain_function():
    @tool
    def double(n: int) -> int:
        """Double it."""
        return 2 * n

    assert double(4) == 8
    assert declared(double).name == "double"


def test_the_schema_comes_from_the_annotations():
    @tool
    def book(day: date, kind: Literal["a", "b"] = "a", tags: list[str] | None = None) -> None:
        """Book a day. More words."""

    spec = declared(book)
    assert spec.summary == "Book a day."
    assert spec.parameters["required"] == ["day"]
    assert spec.parameters["properties"]["day"] == {"format": "date", "type": "string"}
    assert spec.parameters["properties"]["kind"]["enum"] == ["a", "b"]
    assert spec.parameters["additionalProperties"] is False


def test_parameters_named_like_methods_of_a_model_are_fine():
    @tool
    def odd(copy: int, json: str = "", model_dump: int = 1, schema: str = "") -> None:
        """Odd names."""

    made = declared(odd).arguments(copy=1, json="x")
    assert (made.copy, made.json) == (1, "x")


def test_a_missing_docstring_is_an_error_that_says_so():
    with pytest.raises(PluginError, match=r"nothing: give it a docstring"):

        @tool
        def nothing() -> None: ...


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"effect": "reed"}, "effect='reed' is not one of pure, read"),
        ({"timeot": 3}, "unknown option 'timeot'. Did you mean 'timeout'"),
        ({"timeout": 0}, "timeout=0 must be a number of seconds above 0"),
        ({"cost": -1}, "cost=-1 must be US dollars from 0 up"),
        ({"cost": "4 cents"}, "cost='4 cents' must be US dollars from 0 up"),
        ({"egress": ["url"]}, "egress names 'url', which is no parameter. Its parameters: path"),
        ({"content_args": ["body"]}, "content_args names 'body'"),
        ({"examples": ["read {file}"]}, "an example names 'file'"),
        ({"name": "two words"}, "the name 'two words' must start with a letter"),
        ({"name": "read\n"}, "must start with a letter"),
    ],
)
def test_a_wrong_declaration_says_what_to_change(options: dict[str, Any], reason: str):
    def read(path: str) -> str:
        """Read."""
        return path

    with pytest.raises(PluginError) as caught:
        tool(**options)(read)
    assert reason in str(caught.value)


def test_parameters_that_no_schema_can_name_are_refused():
    def stars(*parts: str) -> None:
        """Star."""

    def bare(part) -> None:
        """Bare."""

    def positional(part: int, /) -> None:
        """Positional."""

    for function, reason in ((stars, "name each parameter"), (bare, "type annotation"), (positional, "remove the '/'")):
        with pytest.raises(PluginError, match=reason):
            tool(function)
    with pytest.raises(PluginError, match="only a function"):
        tool(dict)


def test_a_lone_string_is_one_host_and_not_its_letters():
    @tool(network="api.example.org", secrets=["KEY"])
    def ask() -> None:
        """Ask."""

    assert declared(ask).network == ("api.example.org",)
    assert declared(ask).secrets == ("KEY",)


@pytest.mark.parametrize(
    ("options", "effect", "once"),
    [
        ({}, "write_inside", False),
        ({"network": ["x.org"]}, "effect", True),
        ({"host": True}, "effect", True),
        ({"effect": "effect"}, "effect", True),
        ({"effect": "once"}, "effect", True),
        ({"effect": "idempotent"}, "effect", False),
        ({"effect": "read", "host": True}, "read", False),
        ({"effect": "pure"}, "pure", False),
    ],
)
def test_what_is_not_said_is_taken_as_the_worst(options: dict[str, Any], effect: str, once: bool):
    def act() -> None:
        """Act."""

    tool(**options)(act)
    assert (declared(act).effect, declared(act).once) == (effect, once)


def test_a_command_is_a_tool_of_that_name():
    @command("weather", effect="pure")
    def say(place: str = "Berlin") -> str:
        """Tell the weather."""
        return place

    assert (declared(say).name, declared(say).command, declared(say).effect) == ("weather", "weather", "pure")
    with pytest.raises(PluginError, match="must be lower case"):
        command("Weather!")(lambda: None) if False else command("Weather")(say)


def test_file_marks_are_found_inside_optional_and_list():
    @tool
    def mix(
        one: Annotated[str, File(".csv")],
        many: list[Annotated[str, File(".png", ".jpg")]],
        maybe: Annotated[str, File()] | None = None,
        bare: Annotated[str, File] = "",
        plain: str = "",
    ) -> None:
        """Mix."""

    assert declared(mix).file_parameters == {"one": (".csv",), "many": (".png", ".jpg"), "maybe": (), "bare": ()}


def test_the_context_is_found_by_annotation_or_by_its_name():
    @tool
    def text(ctx: Context, a: int) -> None:
        """String annotation."""

    @tool
    def other(surroundings: api.Context) -> None:
        """Through the module."""

    @tool
    def renamed(here: Surroundings, a: int = 1) -> None:
        """Imported for type checkers only, under another name: it is a parameter that can't be read."""

    @tool
    def bare(a: str) -> None:
        """No context."""

    def named(ctx, a: int) -> None:
        """By name."""

    tool(named)
    assert [declared(f).wants_context for f in (text, other, bare, named)] == [True, True, False, True]
    assert list(declared(text).hints) == ["a"]
    with pytest.raises(PluginError, match="not under TYPE_CHECKING"):
        _ = declared(renamed).hints


def test_a_number_for_a_text_parameter_becomes_text():
    @tool
    def note(text: str) -> str:
        """Note."""
        return text

    assert declared(note).arguments(text=2024).text == "2024"


def test_importing_the_door_loads_no_pydantic():
    code = "import sys, plugins.api; print('pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_price_is_a_number_or_depends_on_settings_and_arguments():
    @tool(cost=0.04)
    def draw(words: str) -> str:
        """Draw."""
        return words

    @tool(cost=lambda settings, arguments: float(settings["each"]) * arguments["count"])
    def draw_many(count: int = 1) -> int:
        """Draw many."""
        return count

    assert declared(draw).price({}, {"words": "a cat"}) == 0.04
    assert declared(draw_many).price({"each": "0.5"}, {"count": 3}) == 1.5
    assert spec_of(test_a_price_is_a_number_or_depends_on_settings_and_arguments) is None


@pytest.mark.parametrize(
    ("cost", "reason"),
    [
        (lambda settings, _arguments: settings["each"], "its cost can't be worked out: KeyError: 'each'"),
        (lambda _settings, _arguments: float("nan"), "its cost must be US dollars from 0 up, not nan"),
        (lambda _settings, _arguments: -1, "not -1.0"),
    ],
)
def test_a_price_that_cannot_be_worked_out_says_so(cost: Any, reason: str):
    @tool(cost=cost)
    def draw(words: str) -> str:
        """Draw."""
        return words

    with pytest.raises(PluginError, match=reason):
        declared(draw).price({}, {})


def test_a_service_is_declared_with_what_it_needs():
    @service(secrets="token", settings=["url"])
    async def shop(ctx: api.ServiceContext) -> AsyncIterator[str]:
        """The shop's client."""
        yield ctx.settings["url"]

    spec = service_of(shop)
    assert spec is not None
    assert (spec.name, spec.secrets, spec.settings) == ("shop", ("token",), ("url",))
    assert spec_of(shop) is None


def test_what_is_no_service_is_told_how_to_become_one():
    async def plain(ctx: api.ServiceContext) -> str:
        """Not a generator."""
        return ctx.secret("x")

    async def bare() -> AsyncIterator[int]:
        """Without a context."""
        yield 1

    async def silent(ctx: api.ServiceContext) -> AsyncIterator[int]:
        yield 1

    for function, reason in ((plain, "yields its instance once"), (bare, "takes one parameter"), (silent, "docstring")):
        with pytest.raises(PluginError, match=reason):
            service(function)
