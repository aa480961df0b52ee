"""`dirigent service`: a unit that systemd understands, for this installation."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.cli.service import unit
from agent.errors import ConfigError

ROOT = Path(__file__).parents[3]


def test_the_unit_starts_this_checkout_for_this_home(tmp_path: Path):
    made = configparser.ConfigParser(strict=True, interpolation=None)
    made.optionxform = str
    made.read_string(unit("ada", tmp_path, ROOT))
    service = made["Service"]
    assert service["User"] == "ada"
    assert service["ExecStart"] == f'"{ROOT / "dirigent"}" serve'
    assert service["Environment"] == f'"DIRIGENT_HOME={tmp_path}"'
    assert service["ReadWritePaths"] == f'"{tmp_path}"'
    assert service["Restart"] == "on-failure"
    # What would take the sandbox's walls away: it needs namespaces and mounts.
    assert not {"RestrictNamespaces", "ProtectProc", "PrivateUsers", "SystemCallFilter"} & set(service)


def test_a_workers_unit_gives_its_runs_the_time_that_they_have(tmp_path: Path):
    made = unit("ada", tmp_path, ROOT, drain=90.0)
    assert f'ExecStart="{ROOT / "dirigent"}" worker\n' in made
    assert "TimeoutStopSec=120\n" in made


def test_an_installed_package_is_started_by_its_interpreter(tmp_path: Path):
    assert "-P -m agent serve" in unit("ada", tmp_path, tmp_path)


@pytest.mark.parametrize("name", ['a"b', "a%b", "a$b", "a\\b", "a\nb"])
def test_a_folder_that_systemd_would_read_otherwise_is_refused(tmp_path: Path, name):
    with pytest.raises(ConfigError, match="plainer"):
        unit("ada", tmp_path / name, ROOT)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here (fine in CI)")
def test_systemd_finds_nothing_wrong(tmp_path: Path):
    file = tmp_path / "dirigent.service"
    file.write_text(unit("root", tmp_path, ROOT))
    said = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr) == (0, "")
