"""Boxes for sessions: `open_sandbox` for one, `Boxes` for the app's pool."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sandbox import cgroups
from sandbox.api import Job, JobResult, Policy, Progress, Rung
from sandbox.box import Box
from sandbox.remote import RemoteBox, Sidecar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sandbox.session import Session

__all__ = ["Box", "Boxes", "open_sandbox", "rung_of"]


async def rung_of(policy: Policy) -> Rung:
    """Return the protection that is in force: the sidecar's, where one is set, else this machine's.

    Raises SandboxError when the sidecar does not answer: without it nothing runs, rather than less safely.
    """
    if policy.sidecar is not None:
        sidecar = Sidecar(policy.sidecar)
        try:
            return await sidecar.rung()
        finally:
            await sidecar.close()
    from sandbox.canaries import probe

    return await probe()


async def open_sandbox(
    session_id: str,
    workspace: Path,
    policy: Policy = Policy(),  # noqa: B008 - frozen
    sidecar: Sidecar | None = None,
) -> Session:
    """Return the box of a session; use it with `async with`, or close it. Its processes start with the first job.

    `sidecar` is a connection to share; without one, and where the policy names a sidecar, the box has its own.
    """
    if policy.sidecar is not None:
        return RemoteBox(session_id, workspace, policy, sidecar)
    from sandbox.canaries import probe

    rung = await probe()
    if rung.name == "E" and policy.unsafe:
        rung = Rung("unsafe", "no walls at all, by the owner's choice", rung.remedy)
    return Box(session_id, workspace, policy, rung)


class Boxes:
    """One box per session, opened by its first job. Close it in the end; then no process of any session is left."""

    def __init__(self, policy: Policy = Policy()) -> None:  # noqa: B008 - frozen
        self._policy = policy
        self._boxes: dict[tuple[str, str], Session] = {}
        self._sidecar = Sidecar(policy.sidecar) if policy.sidecar is not None else None
        self._lock = asyncio.Lock()

    async def run(
        self,
        session_id: str,
        workspace: Path,
        job: Job,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> JobResult:
        """Run a job in the session's box. Raises SandboxError as `Box.run` does."""
        return await (await self._box(session_id, workspace)).run(job, on_progress)

    async def warm(self, session_id: str, workspace: Path, *, data: bool = False) -> None:
        """Start the session's box before its first job needs it."""
        await (await self._box(session_id, workspace)).warm(data=data)

    async def rung(self) -> Rung:
        """Return the protection that is in force. Raises SandboxError when a sidecar is set and does not answer."""
        return await (rung_of(self._policy) if self._sidecar is None else self._sidecar.rung())

    async def _box(self, session_id: str, workspace: Path) -> Session:
        key = session_id, str(workspace)
        async with self._lock:
            if key not in self._boxes:
                self._boxes[key] = await open_sandbox(session_id, workspace, self._policy, self._sidecar)
            return self._boxes[key]

    async def close(self) -> None:
        """End every box."""
        boxes = list(self._boxes.values())
        self._boxes.clear()
        await asyncio.gather(*(box.close() for box in boxes))
        if self._sidecar is not None:
            await self._sidecar.close()
        cgroups.sweep()
