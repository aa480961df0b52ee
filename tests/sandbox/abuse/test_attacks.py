"""Every attack of the tables, without the walls and inside them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.api import Job, JobStatus, Policy, Rung
from sandbox.box import Box
from sandbox.canaries import probe
from sandbox.workspace import Workspace

# This file is loaded by its path, and so is the stage's.
stage_module = sys.modules[next(name for name in sys.modules if name.endswith("abuse.conftest"))]
RUNGS = pytest.mark.parametrize("name", ["best", "C", "C without namespaces"])


async def rung_called(name: str) -> Rung:
    if name == "best":
        return await probe()
    spaces = name == "C"  # without them, without users of their own either: all that there is to lose
    return Rung("C", "Landlock", own_spaces=spaces, own_users=spaces and os.geteuid() == 0)


@pytest.fixture(autouse=True)
def reached(tmp_path: Path) -> None:
    """Every user gets to the workspaces: pytest's folders are for one user only."""
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(0o755)


def test_there_are_enough_attacks_and_each_has_a_name_of_its_own():
    every = stage_module.attacks()
    assert len(every) >= 90
    assert len({attack.name for attack in every}) == len(every)


def test_without_the_walls_it_works(attack, stage, tmp_path: Path):
    if attack.outside:
        assert len(attack.outside) > 20, "say why nothing can show that it works"
        return
    if os.geteuid() != 0:
        pytest.skip("only root can do it all without walls (fine in CI)")
    folder = tmp_path / "outside"
    folder.mkdir()
    said = stage_module.outside(stage.program(attack), folder)
    assert "ESCAPED" in said, said[-2000:]


@RUNGS
async def test_inside_it_does_not(attack, stage, waiting, tmp_path: Path, name: str):
    folder = tmp_path / "workspace"
    policy = Policy(allow_hosts=("*:*",)) if attack.net else Policy()
    async with Box("abuse", folder, policy, await rung_called(name)) as box:
        assert (await box.run(Job("shell", "true"))).ok
        result = await box.run(Job("python", stage.program(attack), limits=attack.bounds))
        said = f"{result.status} {result.stdout.text[-1500:]}\n{result.stderr.text[-1500:]}\n{result.warnings}"
        assert "ESCAPED" not in result.stdout.text, said
        assert result.status.value in attack.ends, said
        [cell] = box._cells.values()
        if cell.broken:  # so slow a machine that the whole box was ended
            await cell.end()
            box._cells.clear()
            assert (await box.run(Job("shell", "true"))).ok
        await waiting(box)  # nothing else is left
        again = await box.run(Job("shell", "echo fine"))
        assert (again.status, again.stdout.text) == (JobStatus.EXIT, "fine\n")
        try:
            stage.unharmed()
            _harmless(box._workspace, stage.canary)
        finally:  # pytest cannot remove a tree without a bottom
            box._workspace.clear()
        assert not list(folder.iterdir())


def _harmless(files: Workspace, canary: str) -> None:
    """Whatever was left there, the host can list, read and remove it, and learns nothing from outside by it."""
    for path in files.list_files():
        assert path.isprintable()
        with files.open_read(path) as file:
            assert canary.encode() not in file.read(1 << 20)
    marked = subprocess.run(
        ["find", files.root, "-type", "f", "-perm", "/6000"], capture_output=True, text=True, check=False
    )
    assert marked.stdout == ""


@RUNGS
async def test_one_session_cannot_reach_another(stage, tmp_path: Path, name: str):
    rung = await rung_called(name)
    one, two = tmp_path / "one", tmp_path / "two"
    async with Box("one", one, Policy(), rung) as first, Box("two", two, Policy(), rung) as second:
        hold = Job(
            "shell",
            f"echo {stage.canary} > mine; echo {stage.canary} > $TMPDIR/mine; touch up; sleep 60 # {stage.canary}",
        )
        holding = asyncio.create_task(first.run(Job(hold.kind, hold.code, secrets={"KEY": stage.canary})))
        while not (one / "up").exists():
            await asyncio.sleep(0.005)
        inner = max(stage_module.processes_in(one))
        program = f"""
import glob
def seen(path):
    try: return {stage.canary!r} in open(path, errors='replace').read()
    except OSError: return False
places = [{str(one / "mine")!r}, '/tmp/mine', '../one/mine', '/work/../one/mine', *glob.glob('/tmp/*/mine'), *glob.glob('/tmp/*/*/mine')]
places += [p for name in ('environ', 'cmdline') for p in glob.glob(f'/proc/[0-9]*/{{name}}')]
places = [p for p in places if p.split('/')[2:3] != [str(os.getpid())]]
escaped_if(any(map(seen, places)))
tries(lambda: os.kill({inner}, 9))
tries(lambda: open({str(one / "planted")!r}, 'w'))
tries(lambda: os.listdir({str(one)!r}))
"""
        result = await second.run(Job("python", stage_module.PRELUDE + program))
        assert result.stdout.text.count("held") == 4, result.stdout.text + result.stderr.text
        assert "ESCAPED" not in result.stdout.text
        assert not (one / "planted").exists()
        assert not holding.done()
        holding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await holding
