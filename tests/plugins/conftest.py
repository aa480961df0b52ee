"""Fixtures for the tests of plugins."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plugins.api import ToolFailure


class HostSurroundings:
    """The context of a host tool with a workspace in a folder; `inside` runs the function there."""

    def __init__(self, folder: Path) -> None:
        self.workdir = folder
        self.settings: dict[str, str] = {}
        self.secrets: dict[str, str] = {}
        self.said: list[str] = []
        self.ran_inside: list[str] = []

    def progress(self, text: str, done: float | None = None, total: float | None = None) -> None:
        self.said.append(text)

    def secret(self, name: str) -> str:
        if name not in self.secrets:
            raise ToolFailure(f"The secret {name} is not set.")
        return self.secrets[name]

    async def inside(self, function: Callable[..., Any], /, **arguments: Any) -> Any:
        self.ran_inside.append(function.__name__)
        before = Path.cwd()
        os.chdir(self.workdir)
        try:
            return json.loads(json.dumps(function(**json.loads(json.dumps(arguments)))))
        finally:
            os.chdir(before)


@pytest.fixture
def host_ctx(tmp_path: Path) -> HostSurroundings:
    """The context of a host tool, without settings or secrets."""
    return HostSurroundings(tmp_path)
