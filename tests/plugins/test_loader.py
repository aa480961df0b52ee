"""Plugins are found, and broken ones are named while the rest load."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path
from textwrap import dedent

import pytest
from loguru import logger

from plugins.loader import LoadedPlugin, discover, from_functions

DICE = '''
"""Roll dice."""
import random
from plugins.api import tool

@tool
def roll(sides: int = 6, times: int = 1) -> list[int]:
    """Roll a die and return what came up."""
    return [random.randint(1, sides) for _ in range(times)]
'''
FORM = """
from plugins.api import Field, Form, Plugin
plugin = Plugin(ui=(Form("T", "{command}", (Field("{field}", "?"),)),))
"""


@pytest.fixture(autouse=True)
def quiet():
    logger.disable("plugins")
    yield
    logger.enable("plugins")


def write(folder: Path, name: str, source: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(source), encoding="utf-8")
    return path


def load(folder: Path) -> dict[str, LoadedPlugin]:
    return {one.name: one for one in discover([folder], builtin=False, entry_points=False)}


def test_the_smallest_plugin_loads(tmp_path: Path):
    path = write(tmp_path, "dice.py", DICE)
    dice = load(tmp_path)["dice"]
    assert dice.error is None
    assert dice.summary == "Roll dice."
    assert dice.source == str(path)
    (roll,) = dice.tools
    assert roll.full_name == "dice.roll"
    assert len(roll.function(times=5)) == 5


def test_a_folder_plugin_leaves_the_import_path_and_the_public_names_alone(tmp_path: Path):
    write(tmp_path, "dice.py", DICE)
    before = list(sys.path)
    load(tmp_path)
    assert sys.path == before
    assert "dice" not in sys.modules


def test_a_package_may_import_its_own_modules(tmp_path: Path):
    write(tmp_path, "weather/__init__.py", '"""Weather."""\nfrom .tools import forecast\n')
    write(
        tmp_path,
        "weather/tools.py",
        '''
        from __future__ import annotations
        from plugins.api import Context, command
        @command("forecast")
        def forecast(ctx: Context, place: str) -> str:
            """Tell the weather."""
            return place
        ''',
    )
    weather = load(tmp_path)["weather"]
    assert weather.error is None
    assert [spec.command for spec in weather.commands] == ["forecast"]
    assert weather.tools[0].wants_context
    assert list(weather.tools[0].parameters["properties"]) == ["place"]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def broken(:\n", "SyntaxError: invalid syntax (bad.py, line 1)"),
        ("import no_such_library_here\n", "No module named 'no_such_library_here' (line 1)"),
        ("from plugins.api import tool\n@tool\ndef f(a: int): return a\n", "give it a docstring"),
        ("x = 1\n\n1 / 0\n", "ZeroDivisionError: division by zero (line 3)"),
        ("raise SystemExit(3)\n", "SystemExit: 3"),
        ('"""Nothing."""\n', "it declares no tool"),
        (
            'from plugins.api import tool\n@tool\ndef f(a) -> int:\n    "Doc."\n',
            "parameter 'a' needs a type annotation",
        ),
        ('from plugins.api import tool\n@tool\ndef f(a: object()) -> int:\n    "Doc."\n', "can't be described"),
        (
            'from __future__ import annotations\nfrom plugins.api import tool\n@tool\ndef f(a: Nowhere):\n    "Doc."\n',
            "the annotation 'Nowhere' of parameter 'a' can't be read",
        ),
        (
            'from plugins.api import tool\n@tool(name="f")\ndef a():\n    "Doc."\n@tool(name="f")\ndef b():\n    "Doc."\n',
            "the name 'f' is used by two of its tools",
        ),
        ('from plugins.api import tool\n@tool\ndef f():\n    "Doc."\ng = f\ndel f\n', "has no 'f' that is this tool"),
        (DICE + FORM.format(command="rol", field="sides"), "the form 'T' is for 'rol', which is none of its tools"),
        (
            DICE + FORM.format(command="/roll", field="side"),
            "the form 'T' asks for 'side', which is no parameter of 'roll'",
        ),
    ],
)
def test_a_broken_plugin_is_named_with_its_reason_and_the_rest_load(tmp_path: Path, source: str, reason: str):
    write(tmp_path, "bad.py", source)
    write(tmp_path, "dice.py", DICE)
    loaded = load(tmp_path)
    assert reason in (loaded["bad"].error or "")
    assert loaded["bad"].tools == ()
    assert loaded["dice"].error is None


def test_a_failed_import_leaves_no_module_behind(tmp_path: Path):
    write(tmp_path, "wreck/__init__.py", "from . import part\n1 / 0\n")
    write(tmp_path, "wreck/part.py", "")
    load(tmp_path)
    assert not [name for name in sys.modules if name.startswith("_dirigent_plugin_") and "_wreck" in name]


def test_the_second_plugin_of_a_name_is_left_out_and_the_first_is_named(tmp_path: Path):
    write(tmp_path, "a/dice.py", DICE)
    write(tmp_path, "b/dice.py", DICE)
    first, second = discover([tmp_path / "a", tmp_path / "b"], builtin=False, entry_points=False)
    assert first.error is None
    assert "taken by" in (second.error or "")
    assert str(tmp_path / "a") in (second.error or "")


def test_a_plugin_may_name_itself_and_declare_its_settings(tmp_path: Path):
    write(
        tmp_path,
        "x.py",
        DICE.replace('"""Roll dice."""', "")
        + "\nfrom plugins.api import Plugin\n"
        + "plugin = Plugin(name='casino', summary='Games.', version='2', settings={'house': 'Who wins.'})\n",
    )
    casino = load(tmp_path)["casino"]
    assert (casino.summary, casino.version, dict(casino.settings)) == ("Games.", "2", {"house": "Who wins."})
    assert casino.tools[0].plugin == "casino"


def test_tools_borrowed_from_another_plugin_stay_there(tmp_path: Path):
    write(tmp_path, "mine.py", DICE + "\nfrom plugins.time import now\n")
    assert [spec.name for spec in load(tmp_path)["mine"].tools] == ["roll"]


def test_hidden_files_and_a_missing_folder_are_no_plugins(tmp_path: Path):
    write(tmp_path, "_shared.py", "1 / 0")
    write(tmp_path, ".hidden.py", "1 / 0")
    (tmp_path / "notes").mkdir()
    assert load(tmp_path) == {}
    assert load(tmp_path / "nowhere") == {}


def test_the_hash_changes_with_any_file_of_the_plugin(tmp_path: Path):
    write(tmp_path, "p/__init__.py", DICE)
    data = write(tmp_path, "p/table.txt", "1")
    before = load(tmp_path)["p"].sha256
    assert before == load(tmp_path)["p"].sha256
    data.write_text("2")
    assert load(tmp_path)["p"].sha256 != before


def test_a_linked_folder_in_a_plugin_is_named_because_its_hash_would_not_hold(tmp_path: Path):
    write(tmp_path, "p/__init__.py", DICE)
    (tmp_path / "p" / "inner").symlink_to(tmp_path)
    assert "the link inner leads to a folder" in (load(tmp_path)["p"].error or "")


def test_what_a_plugin_s_folder_imports_comes_from_its_sources(tmp_path: Path):
    write(tmp_path, "p/__init__.py", "from .part import roll\n")
    write(tmp_path, "p/part.py", DICE)
    roll = load(tmp_path)["p"].tools[0].function
    assert len(roll(times=3)) == 3
    assert not list(tmp_path.rglob("__pycache__"))


def test_an_installed_plugin_is_imported_only_when_enabled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path, "installed_dice.py", DICE)
    info = tmp_path / "installed_dice-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: installed-dice\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[dirigent.plugins]\ninstalled = installed_dice\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert metadata.entry_points(group="dirigent.plugins")
    assert discover(builtin=False, enabled=lambda name: name == "other") == []
    assert "installed_dice" not in sys.modules
    (dice,) = discover(builtin=False, enabled=lambda name: name == "installed")
    monkeypatch.delitem(sys.modules, "installed_dice")
    assert (dice.name, dice.source, dice.error) == ("installed", "installed_dice", None)
    assert dice.sha256


def test_functions_make_a_plugin_for_tests():
    from plugins.api import tool

    @tool
    def echo(text: str) -> str:
        """Say it again."""
        return text

    assert from_functions("test", [echo]).tools[0].full_name == "test.echo"


def test_every_builtin_loads_and_its_schemas_can_be_made():
    loaded = discover(entry_points=False)
    assert {one.name: one.error for one in loaded if one.error} == {}
    assert {"files", "memory", "python", "shell", "time", "web"} <= {one.name for one in loaded}
    for one in loaded:
        assert one.builtin
        assert one.summary
        assert one.source == f"plugins.{one.name}"
        assert all(spec.parameters["type"] == "object" for spec in one.tools)


def test_finding_the_builtins_imports_no_heavy_library():
    code = dedent("""
        import sys
        from plugins.loader import discover
        assert discover(entry_points=False)
        heavy = {"pydantic", "httpx", "pandas", "numpy", "duckdb", "matplotlib", "trafilatura", "PIL", "openpyxl"}
        print(sorted(heavy & set(sys.modules)))
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert done.stdout.strip() == "[]"
