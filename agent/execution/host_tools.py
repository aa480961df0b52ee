"""What a host tool may ask of its surroundings: the context of tools that run in this process, outside the walls."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from plugins.api import ToolFailure
from sandbox.api import Job, Limits, ToolCall
from sandbox.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from agent.execution.services import Named, Services
    from plugins.api import Memory
    from sandbox.api import Progress
    from sandbox.boxes import Boxes


class HostContext:
    """Implements `plugins.api.Context` in the agent's process. One per call."""

    def __init__(
        self,
        *,
        session_id: str,
        workdir: Path,
        settings: Mapping[str, str],
        secrets: Mapping[str, str],
        memory: Memory | None,
        boxes: Boxes,
        source: str,
        on_progress: Callable[[Progress], None],
        plugin: str = "",
        services: Services | None = None,
        named: Mapping[str, Named] | None = None,
        run: str = "",
        step: str = "",
    ) -> None:
        self.workdir = workdir
        self.settings = settings
        self.artifacts: list[tuple[str, str]] = []
        self._memory = memory
        self._secrets = secrets
        self._session_id = session_id
        self._boxes = boxes
        self._source = source
        self._on_progress = on_progress
        self._plugin = plugin
        self._services = services
        self._named = named or {}
        self._run, self._step = run, step
        self.asked: set[str] = set()  # the services that the call has asked for

    @property
    def memory(self) -> Memory:
        """The session's memory."""
        if self._memory is None:
            raise ToolFailure("This conversation has no memory.", hint="Use it from a chat.")
        return self._memory

    def artifact(self, path: str | Path, title: str = "") -> str:
        """Hand a workspace file over with the answer."""
        self.artifacts.append((str(path), title))
        return str(path)

    def progress(self, text: str, done: float | None = None, total: float | None = None) -> None:
        """Show where the work is."""
        from sandbox.api import Progress

        self._on_progress(Progress(text, done, total))

    def secret(self, name: str) -> str:
        """Return a declared secret that the owner has set."""
        if name not in self._secrets:
            raise ToolFailure(f"The secret {name} is not set.", hint=f'Add it under [secrets] as {name} = "…".')
        return self._secrets[name]

    async def service(self, name: str) -> Any:
        """Return the shared instance of a service, by its own name or the pipeline's name for it."""
        if self._services is None:
            raise ToolFailure(f"There is no service {name!r} here.")
        spec, settings = self._services.spec(name, self._plugin, self._named)
        self.asked.add(spec.full_name)
        return await self._services.get(spec, settings)

    async def save(self, name: str, data: bytes) -> str:
        """Write a file into the workspace, following no links; return its path there."""
        with Workspace(self.workdir) as workspace:
            workspace.write_bytes(name, data)
        self.artifacts.append((name, ""))
        return name

    async def inside(self, function: Callable[..., Any], /, **arguments: Any) -> Any:
        """Run a function of the tool's plugin inside the sandbox and return its JSON value."""
        wants = "ctx" in inspect.signature(function).parameters
        call = ToolCall(self._source, function.__name__, arguments, wants_context=wants)
        job = Job(kind="tool", tool=call, limits=Limits(wall_s=60), run=self._run, step=self._step)
        result = await self._boxes.run(self._session_id, self.workdir, job)
        if result.failure is not None:
            raise ToolFailure(result.failure["message"], hint=result.failure.get("hint", ""))
        if not result.ok:
            raise ToolFailure(f"{function.__name__} ended with {result.status} inside the sandbox.")
        return result.value
