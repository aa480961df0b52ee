"""Traps that sandboxes of this kind fall into, and the tests that keep us out of each.

- Root keeps all capabilities inside bubblewrap unless told otherwise, and the kernel's limit on a user's processes does
  not bind root: `test_privileges_and_namespaces_cannot_be_gained`,
  `test_nothing_inside_is_root_and_the_files_belong_to_the_session`,
  `test_the_kernels_limit_on_processes_binds_without_control_groups`.
- bubblewrap's `/`, `/dev` and `/dev/shm` are large and writable by default:
  `test_nothing_can_be_written_outside_the_workspace`, `test_what_is_in_memory_is_small`,
  `test_the_kernels_settings_are_read_only`.
- A box dies with the thread that started it: `test_boxes_are_started_by_a_thread_that_stays`.
- bubblewrap ends before the last process inside has: `test_closing_leaves_no_process`,
  `test_when_a_box_has_ended_nothing_of_it_runs`.
- Shared memory without a name, of System V, and files in memory escape simple accounting: the attacks
  `bombs: shared memory without a name`, `bombs: shared memory of System V`, `bombs: files in shared memory`.
- Removing a tree 3,000 folders deep ends in a RecursionError: `test_a_tree_3000_deep_is_scanned_and_removed`.
- The interpreter must be readable by the sandbox's user:
  `test_a_machine_that_does_not_let_root_do_this_gets_the_other_box`,
  `test_an_interpreter_that_the_sessions_user_cannot_reach_is_found_out`.
- A filter that compares 64 bits lets the high half through:
  `test_what_stands_in_the_high_half_of_an_argument_changes_nothing`.
- Programs stored beside their source fall behind it: `test_the_programs_are_those_that_the_table_gives`.
- A container gives namespaces and no `/proc`: `test_two_sessions_work_there_apart_without_network_or_secrets`.
"""

from __future__ import annotations

import ast
import asyncio
import re
import subprocess
import sys
import threading
import tomllib
from pathlib import Path
from typing import Any

import pytest

from sandbox import canaries, cell, layout
from sandbox.api import Job, Limits, Policy, Rung
from sandbox.box import Box
from sandbox.canaries import probe
from sandbox.held import descendants

HERE = Path(__file__).parent


@pytest.mark.parametrize("text", [__doc__ or "", (HERE / "README.md").read_text()], ids=["traps", "promises"])
def test_every_trap_and_every_promise_names_tests_that_exist(text: str):
    known = {
        node.name
        for path in (*HERE.rglob("test_*.py"), HERE.parent / "agent" / "cli" / "test_cli_doctor.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    known |= {
        f"{path.stem}: {attack['name']}"
        for path in HERE.glob("abuse/*.toml")
        for attack in tomllib.loads(path.read_text(encoding="utf-8"))["attack"]
    }
    named = re.findall(r"`((?:test_\w+|[a-z]+: [^`]+))`", text)
    assert len(named) > 15
    assert [name for name in named if name not in known] == []


async def test_boxes_are_started_by_a_thread_that_stays(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """The kernel ends a box when the thread that started it ends, even if the process goes on."""
    started, spawn = [], subprocess.Popen

    def noted(*arguments: Any, **options: Any) -> Any:
        started.append(threading.current_thread())
        return spawn(*arguments, **options)

    monkeypatch.setattr(cell.subprocess, "Popen", noted)
    async with Box("s", folder, Policy(), await probe()) as box:
        await asyncio.gather(*(asyncio.to_thread(int) for _ in range(8)))
        assert (await box.run(Job("shell", "echo one"))).stdout.text == "one\n"
        box._cells[False].kill()
        assert (await box.run(Job("shell", "echo two"))).stdout.text == "two\n"
    assert len(started) >= 2
    assert set(started) == {threading.main_thread()}


async def test_when_a_box_has_ended_nothing_of_it_runs(any_box: Box):
    await any_box.run(Job("shell", "true"))
    held = asyncio.create_task(
        any_box.run(Job("shell", "for n in 1 2 3 4 5 6 7 8; do sleep 4723 & done; touch up; wait"))
    )
    while not (any_box._workspace.root / "up").exists():
        await asyncio.sleep(0.005)
    [box_process] = any_box._cells.values()
    inside = descendants(box_process.pid)
    assert len(inside) > 8
    await box_process.end()
    assert [pid for pid in inside if Path(f"/proc/{pid}").exists()] == []
    await held


async def test_what_is_in_memory_is_small(folder: Path):
    """Half a gigabyte of machine memory at most, whatever is written to the folders that lie there."""
    code = (
        "import os\nfor place in ('/', '/dev', '/dev/shm', '/tmp'):\n"
        "    s = os.statvfs(place)\n    print(place, os.access(place, os.W_OK) and s.f_blocks * s.f_frsize >> 20)"
    )
    rung = await probe()
    if rung.name not in {"A", "A-"}:
        pytest.skip("only bubblewrap makes folders in memory (fine in CI)")
    async with Box("s", folder, Policy(), rung) as box:
        said = (await box.run(Job("python", code, limits=Limits(wall_s=30)))).stdout.text
    assert said == "/ False\n/dev False\n/dev/shm 128\n/tmp 256\n"


async def test_an_interpreter_that_the_sessions_user_cannot_reach_is_found_out(monkeypatch: pytest.MonkeyPatch):
    """As one below root's home is: the box does not come up, and the rung without users of their own is taken."""
    whole = layout.bubblewrap

    def unreadable(bwrap: str, workspace: Path, policy: Policy, user: int | None = None) -> layout.Launch:
        launch = whole(bwrap, workspace, policy, user)
        if user is None:
            return launch
        code = "import os; os.setuid(12345); open('/nowhere')"  # what loading a library that is not readable ends in
        return layout.Launch((*launch.argv[:-1], code), launch.env, launch.settings, launch.workdir, launch.folders)

    monkeypatch.setattr(layout, "bubblewrap", unreadable)
    problem = await canaries._problem(Rung("A", "", own_users=True))
    if sys.platform == "linux" and (await probe()).own_users:
        assert "did not come up" in problem
    assert await canaries._problem(Rung("A", "")) == ""
