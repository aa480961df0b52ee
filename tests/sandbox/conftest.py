from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox import layout
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
async def any_box(request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Box]:
    """A box on every rung that this machine has: the contract is the same."""
    rung = await probe() if request.param == "best" else C
    if request.param == "C without namespaces":
        whole = layout.without_bubblewrap

        def plain(*arguments: Any) -> layout.Launch:
            launch = whole(*arguments)
            return replace(launch, settings={**launch.settings, "namespaces": False})

        monkeypatch.setattr(layout, "without_bubblewrap", plain)
    async with Box("test", folder, Policy(), rung) as opened:
        yield opened
