"""Fixtures for the tests of plugins."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from plugins import classify, tickets
from plugins.api import ToolFailure, service_of


class HostSurroundings:
    """The context of a host tool with a workspace in a folder; `inside` runs the function there."""

    def __init__(self, folder: Path) -> None:
        self.workdir = folder
        self.settings: dict[str, str] = {}
        self.secrets: dict[str, str] = {}
        self.said: list[str] = []
        self.ran_inside: list[str] = []
        self.shared: dict[str, tuple[Any, Any]] = {}

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

    async def service(self, name: str) -> Any:
        key = json.dumps([name, self.settings], sort_keys=True)
        if key not in self.shared:
            known = {spec.name: spec for spec in map(service_of, (tickets.tickets, classify.classifier)) if spec}
            life = known[name].function(self)  # type: ignore[arg-type]
            self.shared[key] = (await anext(life), life)
        return self.shared[key][0]

    async def close(self) -> None:
        for _, life in self.shared.values():
            assert await anext(life, "closed") == "closed"


@pytest.fixture
async def host_ctx(tmp_path: Path) -> AsyncIterator[HostSurroundings]:
    """The context of a host tool, without settings or secrets; services are closed at the end."""
    made = HostSurroundings(tmp_path)
    yield made
    await made.close()
