"""Boxes for sessions: `open_sandbox` for one, `Boxes` for the app's pool."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, OrderedDict
from typing import TYPE_CHECKING

from sandbox import cgroups
from sandbox.api import Job, JobResult, Policy, Progress, Rung, Written
from sandbox.box import Box
from sandbox.expressions import Expressions
from sandbox.pressure import short_of_memory
from sandbox.remote import RemoteBox, Sidecar
from sandbox.seatbelt import SeatbeltBox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from sandbox.session import Session
    from sandbox.talking import Conversation

TIDY_EVERY_S = 15.0
OPEN_BOXES = 64

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
    return box_of(session_id, workspace, policy, rung)


def box_of(session_id: str, workspace: Path, policy: Policy, rung: Rung) -> Session:
    """Return a box of this machine's for a rung."""
    if rung.name == "D":
        return SeatbeltBox(workspace, policy, rung)
    return Box(session_id, workspace, policy, rung)


class Boxes:
    """One box per session, opened by its first job. Close it in the end; then no process of any session is left.

    Warm processes are given back when they idle, when there are more than the policy's `warm_processes`, and, those
    that idle longest first, when the machine is short of memory.
    """

    def __init__(self, policy: Policy = Policy()) -> None:  # noqa: B008 - frozen
        self._policy = policy
        self._boxes: OrderedDict[tuple[str, str], Session] = OrderedDict()  # those used last are last
        self._in_use: Counter[tuple[str, str]] = Counter()
        self._sidecar = Sidecar(policy.sidecar, policy.on_connection) if policy.sidecar is not None else None
        self._expressions = Expressions()
        self._lock = asyncio.Lock()
        self._tidying: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def run(
        self,
        session_id: str,
        workspace: Path,
        job: Job,
        on_progress: Callable[[Progress], None] | None = None,
        on_output: Callable[[Written], None] | None = None,
    ) -> JobResult:
        """Run a job in the session's box; a plain sum needs none. Raises SandboxError as `Box.run` does."""
        if (known := await self._expressions.result(job)) is not None:
            return known
        async with self._lease(session_id, workspace) as box:
            return await box.run(job, on_progress, on_output)

    @contextlib.asynccontextmanager
    async def talk(
        self, session_id: str, workspace: Path, job: Job, on_output: Callable[[Written], None] | None = None
    ) -> AsyncIterator[Conversation]:
        """Start a job in the session's box and speak with it (`sandbox.api.Sandbox.talk`); its box stays meanwhile."""
        async with self._lease(session_id, workspace) as box, box.talk(job, on_output) as talk:
            yield talk

    async def warm(self, session_id: str, workspace: Path, *, data: bool = False) -> None:
        """Start the session's box before its first job needs it."""
        async with self._lease(session_id, workspace) as box:
            await box.warm(data=data)

    async def forget(self, session_id: str, workspace: Path) -> None:
        """End the box of one session, if it has one and no job runs there."""
        key = session_id, str(workspace)
        if key in self._boxes and not self._in_use[key]:
            await self._boxes.pop(key).close()

    def opened(self) -> int:
        """Return how many sessions have a box."""
        return len(self._boxes)

    async def rung(self) -> Rung:
        """Return the protection that is in force. Raises SandboxError when a sidecar is set and does not answer."""
        return await (rung_of(self._policy) if self._sidecar is None else self._sidecar.rung())

    @contextlib.asynccontextmanager
    async def _lease(self, session_id: str, workspace: Path) -> AsyncIterator[Session]:
        key = session_id, str(workspace)
        self._in_use[key] += 1
        try:
            async with self._lock:
                if key not in self._boxes:
                    self._boxes[key] = await open_sandbox(session_id, workspace, self._policy, self._sidecar)
                self._boxes.move_to_end(key)
                box = self._boxes[key]
            if not _warm(box):  # another process is about to start
                self._tidy(short=short_of_memory())
            yield box
        finally:
            self._in_use[key] -= 1
            self._in_use += Counter()  # drops what is zero
            self._arm()

    # -- giving back ----------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        """Look again soon, as long as there is something to give back."""
        if self._tidying is None and any(_warm(box) for box in self._boxes.values()):
            self._tidying = asyncio.get_running_loop().call_later(TIDY_EVERY_S, self._look_again)

    def _look_again(self) -> None:
        self._tidying = None
        self._tidy(short=short_of_memory())
        self._arm()

    def _tidy(self, *, short: bool) -> None:
        """Evict idle boxes, the longest idle first: all when memory is short, else those over the number."""
        warm = sum(_warm(box) for box in self._boxes.values())
        for key, box in list(self._boxes.items()):
            if self._in_use[key]:
                continue
            if isinstance(box, RemoteBox) and len(self._boxes) > OPEN_BOXES:
                del self._boxes[key]  # nothing of it is here; the sidecar tidies up by itself
                continue
            if _warm(box) and (short or warm > self._policy.warm_processes):
                warm -= box.evict() if isinstance(box, Box) else 0
            if not _warm(box) and len(self._boxes) > OPEN_BOXES:
                self._forget(key)

    def _forget(self, key: tuple[str, str]) -> None:
        """Close a box without processes: what it still holds is a descriptor."""
        task = asyncio.get_running_loop().create_task(self._boxes.pop(key).close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """End every box."""
        if self._tidying is not None:
            self._tidying.cancel()
            self._tidying = None
        boxes = list(self._boxes.values())
        self._boxes.clear()
        await asyncio.gather(*(box.close() for box in boxes), *self._closing, self._expressions.close())
        if self._sidecar is not None:
            await self._sidecar.close()
        cgroups.sweep()


def _warm(box: Session) -> int:
    return box.warm_processes if isinstance(box, Box) else 0
