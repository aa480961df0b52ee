from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.api import Policy, Rung
from sandbox.boxes import Box
from sandbox.canaries import probe
from sandbox.held import descendants

C = Rung("C", "Landlock")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "workspace"


@pytest.fixture
async def box(folder: Path) -> AsyncIterator[Box]:
    async with Box("test", folder, Policy(), await probe()) as opened:
        yield opened


@pytest.fixture(params=["best", "C", "C without namespaces"])
async def any_box(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Box]:
    """A box on every rung that this machine has: the contract is the same."""
    rungs = {"C": C, "C without namespaces": replace(C, own_spaces=False)}
    rung = rungs.get(request.param) or await probe()
    async with Box("test", folder, Policy(), rung) as opened:
        yield opened


def _is_in(box: Box, pid: int) -> bool:
    """Tell whether a process is in the workspace: one that waits has left it."""
    try:
        return Path(f"/proc/{pid}/cwd").stat().st_ino == box._workspace.root.stat().st_ino
    except OSError:  # it is just ending
        return True


@pytest.fixture
def waiting() -> Callable[[Box], Awaitable[int]]:
    """Wait until nothing is left below the init of a box but the process that waits for the next job; return that."""

    async def alone(box: Box) -> int:
        [cell] = box._cells.values()
        async with asyncio.timeout(60):
            while len(found := descendants(cell.pid) - {cell.pid}) != 1 or _is_in(box, *found):
                await asyncio.sleep(0.002)
        return found.pop()

    return alone
