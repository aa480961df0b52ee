"""What a tool and a service may ask of their surroundings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol


class Memory(Protocol):
    """The session's memory, for host tools."""

    async def remember(self, text: str, tag: str = "") -> str:
        """Store a fact and return the entry as written."""

    async def recall(self, query: str = "", limit: int = 20) -> list[str]:
        """Return the entries that match best, or all of them."""

    async def forget(self, query: str) -> list[str]:
        """Remove the entries that match and return them."""


class Context(Protocol):
    """What a tool may ask of its surroundings: declare a first parameter `ctx: Context`.

    Inside the sandbox `memory` and `settings` are absent (AttributeError says so); a tool with `host=True` has them.
    """

    workdir: Path
    settings: Mapping[str, str]
    memory: Memory

    def artifact(self, path: str | Path, title: str = "") -> str:
        """Hand a workspace file to the person together with the answer; return its path within the workspace."""

    def progress(self, text: str, done: float | None = None, total: float | None = None) -> None:
        """Show where the work is, such as `("reading", 2, 3)`."""

    def secret(self, name: str) -> str:
        """Return a secret that the tool declared; raise ToolFailure when the owner has not set it."""

    async def inside(self, function: Callable[..., Any], /, **arguments: Any) -> Any:
        """Run a function of the plugin inside the sandbox (from a host tool) and return its JSON value."""

    async def save(self, name: str, data: bytes) -> str:
        """Write a file into the workspace (from a host tool), never outside it, and return its path within it."""

    async def service(self, name: str) -> Any:
        """Return what all calls share (from a host tool): the instance of a `@service`, made when first asked for.

        `name` is that of a service of the same plugin, `plugin.service`, or one that the running pipeline gives to a
        service under `services:`. Raises ToolFailure when there is none, or when it could not be made.
        """


class ServiceContext(Protocol):
    """What a service may ask for: its settings (the plugin's, and what a pipeline sets), secrets, other services."""

    settings: Mapping[str, str]

    def secret(self, name: str) -> str:
        """Return a secret that the service declared; raise ToolFailure when the owner has not set it."""

    async def service(self, name: str) -> Any:
        """Return another service, which stays open for longer than this one."""
