from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.api import Policy, Rung
from sandbox.boxes import Box
from sandbox.canaries import probe

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
