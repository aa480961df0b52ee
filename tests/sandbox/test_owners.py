"""Where the agent is root, each session runs as a user of its own."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox import canaries, cgroups, layout
from sandbox.api import Job, Limits, Policy, Rung
from sandbox.boxes import Box
from sandbox.canaries import probe
from sandbox.cell import Cell
from sandbox.owners import can_reach, user_of
from sandbox.workspace import Workspace

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away (fine in CI)")
C = Rung("C", "Landlock")
RANGE = Policy(first_user=1_900_000_000, users=1000)


def test_a_session_keeps_its_user_and_another_has_another(tmp_path: Path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    user = user_of("one", first, RANGE)
    assert user_of("two", second, RANGE) != user
    assert user_of("renamed", first, RANGE) == user
    assert first.stat().st_uid == user
    assert user_of("one", first, replace(RANGE, users=0)) is None


async def test_nothing_inside_is_root_and_the_files_belong_to_the_session(tmp_path: Path):
    folder = tmp_path / "w"
    folder.mkdir()
    (folder / "given").write_text("a")
    async with Box("s", folder, RANGE, await probe()) as box:
        assert box.rung.own_users
        result = await box.run(Job("shell", "id -u; echo b >> given; mkdir d; echo c > d/made; cat /proc/self/status"))
        assert result.ok, result.stderr.text
        with Workspace(folder) as files:
            files.write_bytes("d/e/sent.txt", b"1")
            files.copy_in(Path(__file__), "copied.py")
        again = await box.run(Job("shell", "echo 2 >> d/e/sent.txt; rm copied.py; rm -r d/e"))
    assert again.ok, again.stderr.text
    user = folder.stat().st_uid
    assert RANGE.first_user <= user < RANGE.first_user + RANGE.users
    lines = result.stdout.text.splitlines()
    assert lines[0] == str(user)
    assert [line.split()[1] for line in lines if line.startswith("Cap")] == ["0000000000000000"] * 5
    assert {path.stat().st_uid for path in folder.rglob("*")} == {user}


async def test_what_root_keeps_under_another_name_is_not_given_away(tmp_path: Path):
    folder = tmp_path / "w"
    folder.mkdir()
    (tmp_path / "kept").write_text("a")
    os.link(tmp_path / "kept", folder / "linked")
    (folder / "symbolic").symlink_to(tmp_path / "kept")
    async with Box("s", folder, RANGE, await probe()) as box:
        await box.run(Job("shell", "echo b >> linked"))
    assert (tmp_path / "kept").stat().st_uid == 0
    assert (tmp_path / "kept").read_text() == "a"


async def test_the_kernels_limit_on_processes_binds_without_control_groups(tmp_path: Path, monkeypatch):
    """Nothing watches here. Bounded twice: it asks for 300 processes at most, none of which makes another."""
    run = Cell.run

    async def unwatched(*arguments: Any, **options: Any) -> Any:
        return await run(*arguments, **(options | {"watch": None}))

    monkeypatch.setattr(cgroups, "hierarchy", lambda: None)
    monkeypatch.setattr(Cell, "run", unwatched)
    code = (
        "import os, time\nfor made in range(300):\n    if os.fork() == 0: time.sleep(20)\n    print(made, flush=True)"
    )
    async with Box("s", tmp_path / "w", RANGE, await probe()) as box:
        result = await box.run(Job("python", code, limits=Limits(processes=20, wall_s=30)))
    assert result.status == "pids"
    assert 20 <= int(result.stdout.text.split()[-1]) < 200


async def test_where_files_cannot_be_given_away_the_box_works_without(tmp_path: Path, monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("sandbox.owners.os.chown", refuse)
    async with Box("s", tmp_path / "w", RANGE, await probe()) as box:
        assert (await box.run(Job("shell", "id -u"))).stdout.text == "1000\n"


async def test_a_machine_that_does_not_let_root_do_this_gets_the_other_box(monkeypatch):
    whole = canaries._problem

    async def problem(rung):
        return "no such users here" if rung.own_users else await whole(rung)

    monkeypatch.setattr(canaries, "_found", {})
    monkeypatch.setattr(canaries, "_problem", problem)
    rung = await probe()
    assert (rung.name[0], rung.own_users) == ("A", False)


def test_a_file_that_is_given_to_the_sessions_user_does_not_count_as_changed(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("three words here")
    with Workspace(tmp_path, owner=RANGE.first_user) as workspace:
        first = workspace.snapshot()
        second = workspace.snapshot()

    assert (tmp_path / "notes.txt").stat().st_uid == RANGE.first_user
    assert first.files == second.files


@pytest.fixture
def reached(tmp_path: Path) -> Path:
    """A folder that every user gets to, as one below /srv: pytest's own are for one user only."""
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(0o755)
    return tmp_path / "w"


@pytest.fixture
def within_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python that every user gets to: the system's own, where ours lies below root's home."""
    if can_reach(layout.interpreter()):
        return
    system = Path(f"/usr/bin/python3.{sys.version_info.minor}")
    if not system.exists():
        pytest.skip("no Python of this version that every user gets to (fine in CI)")
    monkeypatch.setattr(sys, "_base_executable", str(system), raising=False)
    monkeypatch.setattr(sys, "base_prefix", "/usr")


@pytest.mark.usefixtures("within_reach")
@pytest.mark.parametrize("spaces", [True, False], ids=["namespaces", "without"])
async def test_without_bubblewrap_sessions_have_users_too(reached: Path, spaces: bool):
    rung = replace(C, own_users=True, own_spaces=spaces)
    async with Box("s", reached, RANGE, rung) as box:
        made = await box.run(Job("shell", "echo a > made; echo b > $TMPDIR/made; cat $TMPDIR/made; sleep 0; id -G"))
        assert made.ok, made.stderr.text
        with Workspace(reached) as files:
            files.write_bytes("d/sent.txt", b"1")
        assert (await box.run(Job("shell", "echo 2 >> d/sent.txt; rm -r d"))).ok
        tool = await box.run(Job("python", "import numpy; print(numpy.arange(3).sum())", data=True))
        assert tool.stdout.text == "3\n", tool.stderr.text
        assert box._temporary is not None
        place = box._temporary.path
        user = reached.stat().st_uid
        assert (place.stat().st_uid, (place / "own").stat().st_uid) == (0, user)
    assert RANGE.first_user <= user < RANGE.first_user + RANGE.users
    assert (reached / "made").stat().st_uid == user
    assert made.stdout.text == f"b\n{1000 if spaces else user}\n"
    assert not place.exists()


async def test_where_the_user_would_not_get_to_the_workspace_there_is_none(reached: Path, tmp_path: Path):
    tmp_path.chmod(0o700)
    async with Box("s", reached, RANGE, replace(C, own_users=True)) as box:
        assert (await box.run(Job("shell", "echo a > made"))).ok
    assert (reached / "made").stat().st_uid == 0


async def test_without_bubblewrap_root_is_told_to_be_others(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(canaries, "_found", {})
    monkeypatch.setattr(canaries.layout, "find_bubblewrap", lambda: None)
    rung = await probe()
    assert (rung.name, rung.own_users, rung.own_spaces) == ("C", True, True)


def test_what_lies_below_a_closed_folder_is_out_of_reach(reached: Path, tmp_path: Path):
    reached.mkdir(mode=0o755)
    assert can_reach(reached)
    reached.chmod(0o711)
    assert not can_reach(reached)
    reached.chmod(0o755)
    tmp_path.chmod(0o700)
    assert not can_reach(reached)
    assert not can_reach(tmp_path / "missing")
