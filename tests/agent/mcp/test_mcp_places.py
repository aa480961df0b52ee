"""Where a server's program lies on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.mcp.places import command_of, folders_of


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A virtual environment whose Python lies in a third place, as version managers have it."""
    python = tmp_path / "pythons" / "3.12" / "bin" / "python3"
    python.parent.mkdir(parents=True)
    python.write_bytes(b"\x7fELF")
    python.chmod(0o755)
    place = tmp_path / "clock"
    (place / "bin").mkdir(parents=True)
    (place / "bin" / "python").symlink_to("python3")
    (place / "bin" / "python3").symlink_to(python)
    server = place / "bin" / "mcp-clock"
    server.write_text(f"#!{place}/bin/python\nprint()\n")
    server.chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}/bin:/usr/bin:/bin")
    return place


def test_a_script_needs_its_environment_and_the_home_of_its_python(environment: Path):
    assert command_of(["mcp-clock", "--utc"]) == [f"{environment}/bin/mcp-clock", "--utc"]
    needed = folders_of(f"{environment}/bin/mcp-clock")
    assert needed == [environment, environment.parent / "pythons" / "3.12"]


def test_what_env_names_is_looked_up(environment: Path, tmp_path: Path):
    script = tmp_path / "tools" / "serve"
    script.parent.mkdir()
    script.write_text("#!/usr/bin/env -S python3 -u\n")
    assert folders_of(str(script)) == [script.parent, environment, environment.parent / "pythons" / "3.12"]


def test_the_systems_own_programs_need_nothing():
    assert folders_of("/usr/bin/env") == []
    assert command_of(["no-such-program", "x"]) == ["no-such-program", "x"]
    assert folders_of("no-such-program") == []


def test_a_home_is_never_shown_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    program = tmp_path / "home" / "bin" / "serve"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    assert folders_of(str(program)) == []


def test_links_that_go_round_end(tmp_path: Path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert folders_of(str(tmp_path / "a")) == [tmp_path]


def test_a_program_of_a_package_for_node_needs_all_modules(tmp_path: Path):
    modules = tmp_path / "servers" / "node_modules"
    script = modules / "@example" / "clock" / "dist" / "index.js"
    script.parent.mkdir(parents=True)
    script.write_text("#!/usr/bin/env no-such-node\n")
    (modules / ".bin").mkdir()
    (modules / ".bin" / "clock").symlink_to("../@example/clock/dist/index.js")
    assert folders_of(str(modules / ".bin" / "clock")) == folders_of(str(script)) == [modules]
