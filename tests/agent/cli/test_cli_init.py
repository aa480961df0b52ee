"""`dirigent init` without a terminal: what it writes, keeps and refuses."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path

import pytest

from agent.cli.init import with_keys
from agent.config import load_config


def init(dirigent, *words: str):
    return dirigent("init", "--no-input", "--no-test", *words)


def test_settings_and_secrets_are_written_apart(dirigent, home: Path):
    assert init(dirigent, "--token", "1:abc", "--owner", "5", "--owner", "4", "--key", "k", "--model", "m")[0] == 0
    config = load_config()
    assert (config.owners, config.model) == ((4, 5), "m")
    assert config.telegram_token is not None
    assert config.telegram_token.get_secret_value() == "1:abc"
    assert "abc" not in (home / "dirigent.toml").read_text()


@pytest.mark.parametrize("file", ["dirigent.toml", "secrets/telegram_token"])
def test_what_is_written_can_be_read_by_its_owner_only(dirigent, home: Path, file: str):
    init(dirigent, "--token", "1:abc", "--model", "m")
    assert stat.S_IMODE((home / file).stat().st_mode) == 0o600


def test_a_second_init_keeps_everything_else(dirigent, home: Path):
    home.mkdir(parents=True)
    before = '# mine\nmodel = "old"  # why\nlog_level = "DEBUG"\n\n[limits]\nsteps = 9  # few\n'
    (home / "dirigent.toml").write_text(before)
    assert init(dirigent, "--model", "new", "--owner", "7")[0] == 0
    after = (home / "dirigent.toml").read_text()
    assert "# mine" in after
    assert "steps = 9  # few" in after
    assert tomllib.loads(after) == {"model": "new", "log_level": "DEBUG", "owners": [7], "limits": {"steps": 9}}


def test_a_key_in_a_table_is_not_mistaken_for_ours():
    assert tomllib.loads(with_keys('[plugins.x]\nmodel = "a"\n', {"model": "b"})) == {
        "model": "b",
        "plugins": {"x": {"model": "a"}},
    }


def test_a_value_over_several_lines_is_refused_and_nothing_is_written(dirigent, home: Path):
    home.mkdir(parents=True)
    (home / "dirigent.toml").write_text("owners = [\n  1,\n]\n")
    code, _, err = init(dirigent, "--owner", "2")
    assert code == 1
    assert "one line" in err
    assert (home / "dirigent.toml").read_text() == "owners = [\n  1,\n]\n"


def test_a_wrong_value_is_refused_before_anything_is_written(dirigent, home: Path):
    code, _, err = init(dirigent, "--base-url", "localhost", "--token", "1:abc")
    assert code == 1
    assert "http://" in err
    assert not (home / "dirigent.toml").exists()
    assert not (home / "secrets").exists()
