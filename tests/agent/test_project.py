"""The promises of the project's own files."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import agent
from agent.cli import COMMANDS
from agent.config.reference import settings_reference
from agent.domain.session import SessionFile

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SOURCES = [file for house in ("agent", "sandbox", "plugins") for file in (ROOT / house).rglob("*.py")]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def test_the_example_session_is_one():
    assert SessionFile.model_validate_json((ROOT / "SESSION.example.json").read_text()).id == "telegram:4711"


def test_the_licence_is_the_whole_apache_licence():
    text = (ROOT / "LICENSE").read_text()
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert PROJECT["project"]["license"] == "Apache-2.0"


def test_the_version_is_the_same_everywhere():
    assert PROJECT["project"]["version"] == agent.__version__


def test_rooms_import_only_from_floors_below():
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command; lint_imports_command()",
        "--no-cache",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_lock_covers_the_project_and_names_no_registry():
    done = subprocess.run([ROOT / ".ci" / "lock", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_module_says_what_it_is(file: Path):
    assert ast.get_docstring(ast.parse(file.read_text()))


@pytest.mark.parametrize("script", ["dirigent", ".ci/run", ".ci/lock"])
def test_scripts_can_be_started(script: str):
    assert (ROOT / script).stat().st_mode & 0o111


# --- the README -------------------------------------------------------------------------------------------------
def test_the_readmes_plugin_works_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from agent.catalogue import Catalogue
    from agent.config import load_config

    monkeypatch.setenv("DIRIGENT_HOME", str(tmp_path))
    (plugin,) = [code for code in blocks("python") if "@tool" in code]
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "dice.py").write_text(plugin)
    catalogue = Catalogue.load(load_config())
    assert catalogue.plugin("dice").error is None
    rolled = catalogue.find("roll").function(times=50)
    assert len(rolled) == 50
    assert set(rolled) <= set(range(1, 7))


def test_the_readmes_settings_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from agent.config import load_config

    monkeypatch.setenv("DIRIGENT_HOME", str(tmp_path))
    (settings,) = blocks("toml")
    (tmp_path / "dirigent.toml").write_text(settings)
    assert load_config().folder == tmp_path


def test_every_command_that_the_readme_names_exists():
    named = set(re.findall(r"dirigent ([a-z]+)", "\n".join([*blocks("sh"), *re.findall(r"`([^`\n]+)`", README)])))
    assert named
    assert named <= COMMANDS.keys()


def test_every_variable_that_the_readme_names_is_a_setting():
    known = {setting.env for setting in settings_reference()} | {"DIRIGENT_PYTHON", "DIRIGENT_VENV"}
    named = {name.removesuffix("_FILE") for name in re.findall(r"DIRIGENT_[A-Z_]+", README)}
    assert named <= known


def test_every_file_that_the_readme_links_to_exists():
    for target in re.findall(r"\]\((?!https?:|#)([^)]+)\)", README):
        assert (ROOT / target).exists(), target
