"""The promises of the project's own files."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
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


def test_the_dependencies_are_what_is_imported():
    distributions = packages_distributions()
    own = {"agent", "sandbox", "plugins", *sys.stdlib_module_names}
    dependencies = PROJECT["project"]["dependencies"]
    declared = {plain(name) for name in dependencies}
    extras = {plain(name) for each in PROJECT["project"]["optional-dependencies"].values() for name in each}
    imported = {root for file in SOURCES for root in imports_of(file)} - own
    provided = {root: {plain(name) for name in distributions.get(root, [root])} for root in imported}
    undeclared = {root for root, names in provided.items() if not names & (declared | extras | COME_ALONG)}
    unused = declared - set().union(*provided.values()) - USED_BY_NAME
    assert (undeclared, unused) == (set(), set())


# pydantic's own core, whose error records have their type there; what FastAPI stands on, whose types those of ASGI are;
# and the half of pydantic-monty, a package without files, that is imported.
COME_ALONG = {"pydantic-core", "starlette", "pydantic-monty-client"}
# pandas reads spreadsheets with these when they are there.
USED_BY_NAME = {"xlrd", "python-calamine", "odfpy", "pyxlsb", "pydantic-monty"}


def plain(requirement: str) -> str:
    """Return the name of a distribution as all tools spell it."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def imports_of(file: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(file.read_text())))
    named = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    named += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    return {name.partition(".")[0] for name in named}


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
    from plugins.loader import discover

    monkeypatch.setenv("DIRIGENT_HOME", str(tmp_path))
    (plugin,) = [code for code in blocks("python") if "@tool" in code]
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "dice.py").write_text(plugin)
    catalogue = Catalogue.load(load_config())
    assert catalogue.plugin("dice").error is None
    assert catalogue.find("roll").plugin == "dice"
    (dice,) = discover([tmp_path / "plugins"], builtin=False, entry_points=False)
    rolled = dice.tools[0].function(times=50)
    assert len(rolled) == 50
    assert set(rolled) <= set(range(1, 7))


def test_the_readmes_transcript_is_what_a_person_sees(tmp_path: Path):
    (transcript,) = [block for block in blocks("") if block.startswith("$ ./dirigent chat")]
    command, _, said = transcript.partition("\n")
    monthly = [41_200, 38_750, 43_900, 45_100, 47_350, 44_800, 42_600, 41_950, 46_700, 49_300, 58_400, 66_150]
    days = [
        f"2025-{month:02}-{day:02},{total / 28:.4f}" for month, total in enumerate(monthly, 1) for day in range(1, 29)
    ]
    (tmp_path / "sales.csv").write_text("\n".join(["date,revenue", *days]) + "\n")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("DIRIGENT_", "OPENAI_"))}
    words = [sys.executable, "-P", "-m", "agent", "chat", *shlex.split(command)[3:]]
    done = subprocess.run(
        words,
        cwd=tmp_path,
        env={**env, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert known_lines(done.stderr + done.stdout) == known_lines(said)


def known_lines(said: str) -> list[str]:
    """Return the lines without what differs by machine: the home, the time, which step ends first, a model nearby."""
    lines = [re.sub(r"/\S+(?=/\.dirigent)|\d:\d\d$", "…", line) for line in said.strip().splitlines()]
    return sorted(line for line in lines if "model" not in line)


def test_the_readmes_settings_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from agent.config import load_config

    monkeypatch.setenv("DIRIGENT_HOME", str(tmp_path))
    (settings,) = blocks("toml")
    (tmp_path / "dirigent.toml").write_text(settings)
    assert load_config().folder == tmp_path


def test_every_command_that_the_readme_names_exists():
    named = set(re.findall(r"dirigent ([a-z-]+)", "\n".join([*blocks("sh"), *re.findall(r"`([^`\n]+)`", README)])))
    assert named
    assert named <= COMMANDS.keys()


def test_every_variable_that_the_readme_names_is_a_setting():
    known = {setting.env for setting in settings_reference()} | {"DIRIGENT_PYTHON", "DIRIGENT_VENV"}
    named = {name.removesuffix("_FILE") for name in re.findall(r"DIRIGENT_[A-Z_]+", README)}
    assert named <= known


def test_every_file_that_the_readme_links_to_exists():
    for target in re.findall(r"\]\((?!https?:|#)([^)]+)\)", README):
        assert (ROOT / target).exists(), target
