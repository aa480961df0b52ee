"""Plugins that do not come with us: described once in a box, known by their files' hash, trusted only with these files."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.catalogue import Catalogue
from agent.catalogue.strangers import Strangers, in_own_loop
from agent.catalogue.trusting import FILE, pin, pins
from agent.cli import main
from agent.config import AppConfig, load_config
from agent.errors import ConfigError, ToolUnknown
from agent.testing.trusting import trusting
from plugins.describing import describe
from plugins.loader import Place
from sandbox import canaries
from sandbox.api import JobResult, JobStatus, Rung

SHOP = '''"""Sells."""
from plugins.api import service, tool

@tool(effect="pure")
def price(of: str) -> int:
    """Tell a price."""
    return 3

@tool(host=True, effect="read", secrets=["SHOP_KEY"])
def order(what: str) -> str:
    """Order it."""
    return what

@service(secrets=["SHOP_KEY"])
async def shop(ctx):
    """The shop."""
    yield 1
'''
Load = Callable[..., Catalogue]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DIRIGENT_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "plugins").mkdir(parents=True)
    (tmp_path / "home" / "plugins" / "shop.py").write_text(SHOP)
    return tmp_path / "home"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have descriptions made here, by what is asked for; the list tells of each."""
    names: list[str] = []

    async def here(_: Strangers, place: Place) -> JobResult:
        await asyncio.sleep(0)
        names.append(place.name)
        return JobResult(JobStatus.EXIT, value=describe(place.source, place.name))

    monkeypatch.setattr(Strangers, "_in_a_box", here)
    return names


def test_an_unchanged_plugin_is_described_once(home: Path, asked: list[str]):
    first = Catalogue.load(load_config())
    second = Catalogue.load(load_config())
    assert asked == ["shop"]
    assert first.find("price") == second.find("price")
    assert second.plugin("shop").held_back.keys() == {"order", "shop"}


@pytest.mark.parametrize("spoil", ["", "{", "[]", '{"key": 1}', "key", "said"])
def test_what_was_kept_and_is_damaged_is_asked_anew(home: Path, asked: list[str], spoil: str):
    Catalogue.load(load_config())
    (kept,) = (home / "described").glob("*.json")
    told = json.loads(kept.read_text())
    kept.write_text(json.dumps({**told, spoil: {"format": 1}}) if spoil in told else spoil)
    assert Catalogue.load(load_config()).find("price")
    assert asked == ["shop", "shop"]
    assert json.loads(kept.read_text()) == told


def test_any_changed_file_of_a_plugin_has_it_described_anew(home: Path, asked: list[str]):
    package = home / "plugins" / "pair"
    package.mkdir()
    (package / "__init__.py").write_text(SHOP)
    (package / "table.txt").write_text("1")
    Catalogue.load(load_config())
    (package / "table.txt").write_text("2")
    Catalogue.load(load_config())
    assert sorted(asked) == ["pair", "pair", "shop"]


def test_a_broken_plugin_costs_no_start_twice_but_is_tried_again_when_asked(home: Path, asked: list[str]):
    (home / "plugins" / "shop.py").write_text("1 / 0")
    for _ in range(2):
        assert Catalogue.load(load_config()).plugin("shop").error == "ZeroDivisionError: division by zero (line 1)"
    assert asked == ["shop"]
    assert Catalogue.load(load_config(), again=True).broken
    assert asked == ["shop", "shop"]


def test_a_plugin_that_changes_while_it_is_looked_at_is_looked_at_again(home: Path, monkeypatch: pytest.MonkeyPatch):
    async def meanwhile(_: Strangers, place: Place) -> JobResult:
        await asyncio.sleep(0)
        value = describe(place.source, place.name)
        (home / "plugins" / "shop.py").write_text(SHOP.replace("price", "worth"))
        return JobResult(JobStatus.EXIT, value=value)

    monkeypatch.setattr(Strangers, "_in_a_box", meanwhile)
    assert Catalogue.load(load_config()).find("price")
    assert Catalogue.load(load_config()).find("worth")


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (JobResult(JobStatus.TIMEOUT), "did not end within"),
        (JobResult(JobStatus.OOM), "more memory"),
        (JobResult(JobStatus.SIGNAL, code=11), "ended the process (signal, code 11)"),
        (JobResult(JobStatus.EXIT, code=3), "ended the process (exit, code 3)"),
        (JobResult(JobStatus.EXIT, value="forged"), "no object"),
        (JobResult(JobStatus.EXIT, failure={"type": "E\x1b", "message": "x" * 9000}), "E\ufffd: xxx"),
    ],
)
def test_what_went_wrong_inside_is_said_in_a_line(
    home: Path, monkeypatch: pytest.MonkeyPatch, result: JobResult, said: str
):
    async def gone_wrong(_: Strangers, _place: Place) -> JobResult:
        await asyncio.sleep(0)
        return result

    monkeypatch.setattr(Strangers, "_in_a_box", gone_wrong)
    error = Catalogue.load(load_config()).plugin("shop").error or ""
    assert said in error
    assert len(error) < 1000


def test_where_nothing_is_safe_a_plugin_is_left_out_with_the_ways_on(home: Path, monkeypatch: pytest.MonkeyPatch):
    async def nothing(**_: Any) -> Rung:
        await asyncio.sleep(0)
        return Rung("E", "nothing safe is available", "Install bubblewrap.")

    monkeypatch.setattr(canaries, "probe", nothing)
    loaded = Catalogue.load(load_config())
    error = loaded.plugin("shop").error or ""
    assert "nothing safe is available" in error
    assert "Install bubblewrap." in error
    assert "`dirigent plugins trust shop`" in error
    assert not list((home / "described").iterdir())  # once there are walls, it is asked
    assert Catalogue.load(trusting(load_config(), "shop")).find("order").host


# --- trust ----------------------------------------------------------------------------------------------------------
def test_what_needs_trust_is_named_with_the_way_to_give_it(home: Path, asked: list[str]):
    catalogue = Catalogue.load(load_config())
    for name in ("order", "shop.order", "shop__order", "/order"):
        with pytest.raises(ToolUnknown, match=r"held back: it runs outside.*SHOP_KEY.*plugins trust shop"):
            catalogue.find(name)
    with pytest.raises(ToolUnknown, match=r"is a service.*dirigent plugins trust shop"):
        catalogue.service("shop.shop")
    assert asked


def test_a_trusted_plugin_is_imported_with_all_it_has(home: Path, asked: list[str]):
    catalogue = Catalogue.load(trusting(load_config(), "shop"))
    plugin = catalogue.plugin("shop")
    assert (plugin.trusted, plugin.held_back, plugin.remark) == (True, {}, "")
    assert catalogue.find("order").function(what="tea") == "tea"
    assert catalogue.find("price").effect == "pure"
    assert catalogue.service("shop.shop")
    assert asked == []


@pytest.mark.parametrize("change", ["file", "setting", "pin"])
def test_trust_ends_with_the_files_the_setting_or_the_pin(home: Path, asked: list[str], change: str):
    config = trusting(load_config(), "shop")
    if change == "file":
        (home / "plugins" / "shop.py").write_text(SHOP + "# changed\n")
    elif change == "pin":
        pin(home, "shop", "")
    else:
        config = load_config()
    plugin = Catalogue.load(config).plugin("shop")
    assert not plugin.trusted
    assert "order" in plugin.held_back
    said = {"file": "files have changed since you trusted it", "pin": "nobody has looked", "setting": ""}[change]
    assert said in plugin.note
    assert asked == ["shop"]


def test_byte_code_beside_a_trusted_plugin_is_not_run(home: Path):
    """Whoever hands over a folder could put byte code into it that was never of these sources."""
    import py_compile

    package = home / "plugins" / "pair"
    package.mkdir()
    (package / "inner.py").write_text("ANSWER = 666\n")
    (package / "__init__.py").write_text("raise SystemExit('byte code')\n")
    for name in ("inner", "__init__"):
        py_compile.compile(str(package / f"{name}.py"), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    (package / "inner.py").write_text("ANSWER = 42\n")
    (package / "__init__.py").write_text(
        'from plugins.api import tool\nfrom .inner import ANSWER\n@tool(host=True)\ndef tell() -> int:\n    "Tell."\n'
        "    from . import inner\n    return inner.ANSWER\n"
    )
    plugin = Catalogue.load(trusting(load_config(), "pair")).plugin("pair")
    assert plugin.error is None
    assert plugin.tools[0].function() == 42


def test_a_damaged_note_of_trust_trusts_nobody_and_says_so(home: Path):
    (home / FILE).write_text("{")
    with pytest.raises(ConfigError, match="damaged"):
        Catalogue.load(load_config())


def test_the_command_shows_asks_and_pins(home: Path, asked: list[str], capsys: pytest.CaptureFixture[str], monkeypatch):
    monkeypatch.setattr("builtins.input", lambda _: "n")
    assert main(["plugins", "trust", "shop"]) == 1
    out = capsys.readouterr().out
    for said in ("order runs outside the sandbox", "SHOP_KEY", "every session", "sha256", "is not trusted"):
        assert said in out
    assert pins(home) == {}
    monkeypatch.setattr("builtins.input", lambda _: "y")
    assert main(["plugins", "trust", "shop"]) == 0
    assert load_config().trusted_plugins == ("shop",)
    assert Catalogue.load(load_config()).plugin("shop").trusted
    assert main(["plugins", "trust", "shop"]) == 0
    assert "trusted already" in capsys.readouterr().out
    assert main(["plugins", "distrust", "shop"]) == 0
    assert load_config().trusted_plugins == ()
    assert not Catalogue.load(load_config()).plugin("shop").trusted
    assert asked


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trust"], "needs a name"),
        (["trust", "data"], "comes with Dirigent"),
        (["trust", "shup"], "There is no plugin 'shup'. → Did you mean 'shop'"),
        (["distrust", "shop"], "do not trust a plugin 'shop'"),
        (["turst", "shop"], "dirigent plugins trust NAME"),
    ],
)
def test_the_command_says_what_is_wrong(
    home: Path, asked: list[str], words: list[str], said: str, capsys: pytest.CaptureFixture[str]
):
    assert main(["plugins", *words]) == 1
    said_all = capsys.readouterr()
    assert said in " ".join((said_all.out + said_all.err).split())
    assert asked is not None


def test_the_list_shows_what_each_declares(home: Path, asked: list[str], capsys: pytest.CaptureFixture[str]):
    (home / "plugins" / "far.py").write_text(
        'from plugins.api import tool\n@tool(effect="read", network=["far.example"], secrets=["K"], egress=["q"])\n'
        'def ask(q: str) -> str:\n    "Ask."\n    return q\n'
    )
    assert main(["plugins"]) == 0
    out = capsys.readouterr().out
    for said in ("may reach far.example", "sends q", "sees the secrets K", "held back until you trust it"):
        assert said in out
    listed = {}
    assert main(["plugins", "--json"]) == 0
    listed = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert (listed["shop"]["trusted"], listed["data"]["trusted"]) == (False, True)
    assert listed["shop"]["held_back"].keys() == {"order", "shop"}
    assert asked


def test_nobody_slips_into_a_name_that_another_has(tmp_path: Path, asked: list[str]):
    (tmp_path / "plugins").mkdir()
    named = SHOP + "from plugins.api import Plugin\nplugin = Plugin(name={!r})\n"
    for file, name in {"a": "shop", "b": "Casino", "c": "casino", "d": "TIME", "e": "Files", "f": "alone"}.items():
        (tmp_path / "plugins" / f"{file}.py").write_text(named.format(name))
    (tmp_path / "plugins" / "shop.py").write_text(SHOP)
    config = AppConfig(home=tmp_path, mcp={"time2": {"command": ["x"]}})
    (tmp_path / "plugins" / "g.py").write_text(named.format("time2"))
    catalogue = Catalogue.load(config)
    errors = {Path(plugin.source).stem: plugin.error or "" for plugin in catalogue.plugins if not plugin.builtin}
    assert {file for file, error in errors.items() if not error} == {"shop", "f"}
    assert "that of" in errors["a"]
    assert errors["b"].endswith("c.py; give it another one.")
    assert "plugins.time" in errors["d"]
    assert "the MCP server time2" in errors["g"]
    assert catalogue.plugin("time").builtin
    assert catalogue.plugin("shop").source.endswith("shop.py")
    assert len(asked) == 8


# --- surroundings ---------------------------------------------------------------------------------------------------
async def test_plugins_are_described_also_while_a_loop_runs(tmp_path: Path, asked: list[str]):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "shop.py").write_text(SHOP)
    assert Catalogue.load(AppConfig(home=tmp_path)).find("price")
    assert asked == ["shop"]


def test_what_goes_wrong_in_the_loop_of_its_own_is_raised_here():
    async def wrong() -> None:
        await asyncio.sleep(0)
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        in_own_loop(wrong)
