"""Control groups of version 2: the files that a job's group gets, how it ends, and how ours is arranged for it.

This machine may have version 1; the files are then those of a folder that looks like a group, and what the kernel
itself does is tried with whatever controller its version 2 has.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import cgroups
from sandbox.api import Job, JobStatus, Limits, Policy
from sandbox.box import Box
from sandbox.canaries import probe

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which each new one looks like a group of version 2."""
    groups, make, drop = tmp_path / "groups", os.mkdir, Path.rmdir
    groups.mkdir()

    def mkdir(path, *arguments, **options):
        make(path, *arguments, **options)
        if Path(path).parent == groups:
            for name, text in (
                ("cgroup.procs", ""),
                ("memory.events", "oom 0\noom_kill 0\n"),
                ("pids.events", "max 0\n"),
            ):
                (Path(path) / name).write_text(text)

    def rmdir(path: Path) -> None:
        for file in path.iterdir() if path.parent == groups else ():
            file.unlink()
        drop(path)

    monkeypatch.setattr(cgroups.os, "mkdir", mkdir)
    monkeypatch.setattr(Path, "rmdir", rmdir)
    monkeypatch.setattr(cgroups, "hierarchy", lambda: cgroups._Hierarchy(groups, groups, 2))
    yield groups
    assert list(groups.iterdir()) == []


def test_a_group_has_its_ceilings_and_no_swap(place: Path):
    group = cgroups.make(64, 20)
    assert group is not None
    assert group.memory is not None
    said = {
        name: (group.memory / name).read_text()
        for name in ("memory.max", "memory.swap.max", "memory.oom.group", "pids.max")
    }
    assert said == {"memory.max": str(64 << 20), "memory.swap.max": "0", "memory.oom.group": "1", "pids.max": "20"}
    (group.memory / "memory.peak").write_text("4711\n")
    assert (group.out_of_memory(), group.out_of_processes(), group.peak()) == (False, False, 4711)
    (group.memory / "memory.events").write_text("low 0\nmax 3\noom 2\noom_kill 1\noom_group_kill 1\n")
    (group.memory / "pids.events").write_text("max 9\n")
    assert (group.out_of_memory(), group.out_of_processes()) == (True, True)
    group.remove()


async def test_a_job_enters_its_group_once_and_the_kernels_word_is_how_it_ended(place: Path, folder: Path):
    async with Box("s", folder, Policy(), await probe()) as box:
        running = asyncio.create_task(
            box.run(Job("shell", "touch up; read x < go; exit 137", limits=Limits(wall_s=60)))
        )
        folder.mkdir(exist_ok=True)
        os.mkfifo(folder / "go")
        async with asyncio.timeout(60):
            while not (folder / "up").exists():
                await asyncio.sleep(0.01)
        [group] = place.iterdir()
        assert (group / "cgroup.procs").read_text() == "0"  # it moved itself, by the descriptor that it was given
        (group / "memory.events").write_text("oom_kill 1\n")
        (folder / "go").write_text("on\n")
        assert (await running).status is JobStatus.OOM
        fine = await box.run(Job("shell", "true"))
        assert fine.status is JobStatus.EXIT


def _version_2() -> tuple[Path, str] | None:
    """Return where the kernel's version 2 is and one controller that it can give, preferably memory."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[fields.index("-") + 1] == "cgroup2" and os.access(fields[4], os.W_OK):
            given = (Path(fields[4]) / "cgroup.controllers").read_text().split()
            if given:
                return Path(fields[4]), "memory" if "memory" in given else given[0]
    return None


# Started in a group of its own, as by a service manager that delegates it, with a child beside it.
PROGRAM = """
import os, subprocess, sys
from pathlib import Path
from sandbox import cgroups
root, controller, own = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
(own / "cgroup.procs").write_text(str(os.getpid()))
child = subprocess.Popen(["sleep", "4721"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
if len(sys.argv) > 4:  # the child is somebody else's
    cgroups._own_tree = lambda: {os.getpid()}
cgroups._ROOT, cgroups._MEMORY, cgroups._PIDS = root, controller, "none"
found = cgroups._version_2({"": "/" + str(own.relative_to(root))})
mine = Path("/proc/self/cgroup").read_text().splitlines()
below = found is not None and found.memory.parent == own
print(below, [line.rpartition("/")[2].replace(str(os.getpid()), "PID") for line in mine if line.startswith("0::")])
if below:  # who is started from where we are now finds it arranged
    found.memory.rmdir()
    again = cgroups._version_2({"": "/" + str((own / f"{cgroups._ASIDE}{os.getpid()}").relative_to(root))})
    print(again == found)
child.kill()
child.wait()
if found is not None:
    found.memory.rmdir()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make groups here (fine in CI)")
@pytest.mark.parametrize("stranger", [False, True])
def test_a_delegated_group_is_arranged_for_jobs_and_one_with_strangers_is_left_alone(stranger: bool):
    """The kernel gives no controller to a group beside processes: ours step aside, into a group below."""
    found = _version_2()
    if found is None:
        pytest.skip("this kernel's version 2 has no controller to give (fine in CI)")
    root, controller = found
    before = (root / "cgroup.subtree_control").read_text().split()
    own = root / f"dirigent-test-{os.getpid()}"
    try:
        (root / "cgroup.subtree_control").write_text(f"+{controller}")
        own.mkdir()
    except OSError as error:
        pytest.skip(f"no group can be made here: {error} (fine in CI)")
    try:
        command = [sys.executable, "-c", PROGRAM, str(root), controller, str(own), *(["stranger"] if stranger else [])]
        said = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=200)
        where = [f"dirigent-test-{os.getpid()}"] if stranger else ["dirigent-self-PID"]
        assert said.stdout == (f"False {where}\n" if stranger else f"True {where}\nTrue\n"), said.stderr
    finally:
        for group in (*own.glob("*/"), own):
            group.rmdir()
        if controller not in before:
            (root / "cgroup.subtree_control").write_text(f"-{controller}")
