"""The command line itself: help, errors, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent import cli
from agent.cli import COMMANDS, main
from agent.errors import DirigentError
from plugins.api import PluginError
from sandbox.api import SandboxError

HEAVY = {
    "pydantic",
    "loguru",
    "rich",
    "httpx",
    "openai",
    "sqlalchemy",
    "prompt_toolkit",
    "telegram",
    "asyncio",
    "pandas",
}


def test_the_help_names_every_command(dirigent):
    code, out, _ = dirigent("--help")
    assert code == 0
    for name, summary in COMMANDS.items():
        assert name in out
        assert summary in out


def test_no_command_shows_the_help(dirigent):
    assert dirigent()[1] == dirigent("--help")[1]


@pytest.mark.parametrize("command", sorted(COMMANDS.keys() - {"test"}))  # its help is pytest's own
def test_every_command_has_help(dirigent, command):
    code, out, _ = dirigent(command, "--help")
    assert code == 0
    assert "usage: dirigent " + command in out


def test_the_help_loads_nothing_heavy():
    code = "import sys; from agent.cli import main; main([]); print(','.join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stderr.strip().split(","))


def test_a_misspelt_command_is_answered_with_the_nearest(dirigent):
    code, _, err = dirigent("chta")
    assert code == 2
    assert "did you mean `dirigent chat`?" in err


def test_the_version_is_told_in_two_ways(dirigent):
    assert dirigent("version") == dirigent("--version")
    assert "dirigent 0.1.0 · Python" in dirigent("version")[1]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (DirigentError("The thing is broken.", hint="Mend it."), "dirigent: The thing is broken.\n  → Mend it.\n"),
        (
            SandboxError("No walls.", remedy="apt-get install bubblewrap"),
            "dirigent: No walls.\n  → apt-get install bubblewrap\n",
        ),
        (PluginError("dice.roll: no docstring"), "dirigent: dice.roll: no docstring\n"),
    ],
)
def test_an_error_is_a_sentence_and_the_way_on(dirigent, monkeypatch, error, said):
    def boom(_words):
        raise error

    monkeypatch.setattr(cli, "_run", boom)
    assert dirigent("version") == (1, "", said)


def test_what_nobody_expected_gets_a_reference_and_its_traceback_goes_to_the_log(dirigent, monkeypatch, home: Path):
    def boom(_words):
        raise ZeroDivisionError("sk-abcdefghijklmnopqrstuv")

    monkeypatch.setattr(cli, "_run", boom)
    code, _, err = dirigent("version")
    reference = err.split("(")[1].split(")")[0]
    log = (home / "logs" / "dirigent.log").read_text()
    assert code == 1
    assert "Traceback" not in err
    assert "ZeroDivisionError" in log
    assert reference in log
    assert "sk-abc" not in err + log


def test_ctrl_c_ends_with_130(monkeypatch):
    def interrupted(_words):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", interrupted)
    assert main(["version"]) == 130


def test_a_wrong_setting_stops_every_command_with_its_name(dirigent, monkeypatch):
    monkeypatch.setenv("DIRIGENT_LIMITS__STEPS", "many")
    code, _, err = dirigent("plugins")
    assert code == 1
    assert 'limits.steps = "many" (DIRIGENT_LIMITS__STEPS): must be a whole number.' in err


def test_settings_are_listed_and_found_by_a_word(dirigent):
    assert "telegram_token  (secret; DIRIGENT_TELEGRAM_TOKEN)" in dirigent("settings")[1]
    assert "limits.money = 1.0" in dirigent("settings", "money")[1]
    assert dirigent("settings", "no-such-thing")[0] == 1


def test_settings_are_json_for_programs(dirigent):
    listed = json.loads(dirigent("settings", "limits.steps", "--json")[1])
    assert listed[0]["env"] == "DIRIGENT_LIMITS__STEPS"


def test_plugins_are_listed_with_effects(dirigent):
    code, out, _ = dirigent("plugins", "shell")
    assert code == 0
    assert "shell" in out
    assert "write_inside" in out


def test_a_broken_plugin_is_named_with_the_reason(dirigent, home: Path):
    (home / "plugins").mkdir(parents=True)
    (home / "plugins" / "dice.py").write_text(
        '"""Dice."""\nfrom plugins.api import tool\n@tool\ndef roll() -> int:\n    return 4\n'
    )
    code, out, _ = dirigent("plugins")
    assert code == 1
    assert "docstring" in out
    assert "dice" in out


def test_a_plugin_is_shown_with_its_hash_and_all_that_it_may_do(dirigent, home: Path):
    (home / "plugins").mkdir(parents=True)
    (home / "plugins" / "far.py").write_text(
        '"""Far."""\nfrom plugins.api import tool\n\n@tool(effect="read", egress=["q"], network=["far.example"], '
        'secrets=["far_key"])\ndef ask(q: str) -> str:\n    """Ask."""\n    return q\n'
    )
    out = dirigent("plugins", "far")[1]
    listed = {one["name"]: one for one in json.loads(dirigent("plugins", "--json")[1])}
    assert f"sha256 {listed['far']['sha256']}" in out
    assert len(listed["far"]["sha256"]) == 64
    for line in ("may reach far.example", "sends q", "sees the secrets far_key"):
        assert line in out


def test_plugins_are_json_for_programs(dirigent):
    listed = json.loads(dirigent("plugins", "--json")[1])
    tools = {tool["name"]: tool for plugin in listed for tool in plugin["tools"]}
    assert tools["shell.shell"]["effect"] == "write_inside"


def test_an_unknown_plugin_is_refused(dirigent):
    code, _, err = dirigent("plugins", "shel")
    assert code == 1
    assert "Did you mean 'shell'?" in err
