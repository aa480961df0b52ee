"""A session's box on this machine.

It has up to two warm processes: a light one for commands, programs and ordinary tools, and one with the data libraries
imported. Each is started by the first job that needs it, ended when idle, and replaced when it broke.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from loguru import logger

from sandbox import cgroups, layout, network, orders, owners, results
from sandbox.api import Connection, Job, JobResult, Policy, Progress, Rung, SandboxError, Written
from sandbox.cell import Cell
from sandbox.held import Bounds
from sandbox.pure import Pure
from sandbox.session import Session
from sandbox.temporary import Temporary
from sandbox.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from sandbox.proxy import Grant
    from sandbox.snapshots import Snapshot
    from sandbox.talking import Conversation

# A box comes up with next to nothing loaded; what most programs want follows when its first job is done.
LIGHT: tuple[str, ...] = ()
COMMON = ("linecache", "traceback", "dataclasses", "pathlib", "typing", "tempfile")
TOOLS = ("pydantic", "plugins.api", "sandbox.tools", "asyncio")
# The tools that come with us, and what each of their calls would import anew.
BUILT_IN = (
    *("plugins.files", "plugins.calculate", "plugins.python", "plugins.shell", "plugins.documents"),
    *("plugins.documents.reading", "plugins.documents.finding", "plugins.documents.plain", "plugins.documents.mail"),
    *("plugins.documents.office", "plugins.documents.pages", "plugins.documents.pictures", "plugins.data"),
)
# What a sum needs is there first. The large libraries, tens of megabytes each, follow in the sessions that use them:
# when a job has imported one by itself.
DATA = (
    *(*TOOLS, "numpy", "plugins.data", "plugins.data.overview", "plugins.data.answers", "plugins.data.charts"),
    *("plugins.data.listing", "plugins.data.sql", "plugins.python", "plugins.files"),
)
LARGE = {
    "pandas": ("pandas",),
    "duckdb": ("duckdb",),
    "matplotlib.figure": ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"),
    "matplotlib.pyplot": ("matplotlib", "matplotlib.pyplot"),
}
SCAN_INLINE = 300
GUARD_EVERY_S = 0.25
ASK_AFTER_S = 30.0


class Box(Session):
    """A session's sandbox (`sandbox.api.Sandbox`). Several jobs may run at once."""

    def __init__(self, session_id: str, workspace: Path, policy: Policy, rung: Rung) -> None:
        self.rung = rung
        self._session_id = session_id
        self._policy = policy
        self._workspace = self._open(workspace.absolute())
        self._cells: dict[bool, Cell] = {}
        self._locks = {False: asyncio.Lock(), True: asyncio.Lock()}
        self._timers: dict[bool, asyncio.TimerHandle] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._temporary: Temporary | None = None
        self._users = {False: 0, True: 0}
        self._rested = {False: 0.0, True: 0.0}
        self._tools_loaded = False
        self._common_loaded = False
        self._loaded: set[str] = set()  # of the large libraries
        self._files = 0
        self._closed = False
        self._pure = Pure(rung)

    @property
    def busy(self) -> bool:
        """True while a job runs."""
        return any(self._users.values())

    @property
    def warm_processes(self) -> int:
        """How many processes wait here for jobs, or run them."""
        return len(self._cells)

    # -- jobs ---------------------------------------------------------------------------------------------------

    async def run(
        self,
        job: Job,
        on_progress: Callable[[Progress], None] | None = None,
        on_output: Callable[[Written], None] | None = None,
        talk: Conversation | None = None,
    ) -> JobResult:
        """Run a job to its end; its progress goes to `on_progress`, what it writes to `on_output` or to `talk`.

        Raises SandboxError when nothing safe is available here (its remedy says what to do) or a box does not come up.
        """
        if self._closed:
            raise SandboxError(f"The sandbox of {self._session_id} is closed.")
        if self.rung.name == "E":
            return await self._pure.run(job, talk)
        if job.kind == "tool" and job.tool is None:
            raise ValueError("a job of kind tool needs its tool")
        self._find_the_folder()
        before = await self._look()
        room = self._room(job, before)
        if room <= 0:
            return results.refused(self._full(before), self.rung)
        async with self._lease(data=job.data) as cell:
            if job.kind == "tool" and not job.data:
                await self._load_tools(cell)
            try:
                return await self._run_in(cell, job, before, room, on_progress, on_output, talk)
            finally:
                if not job.data:
                    await self._load_common(cell)

    async def _load_common(self, cell: Cell) -> None:
        if not self._common_loaded and not cell.broken:
            self._common_loaded = True
            await cell.preload(COMMON)

    async def _load_large(self, cell: Cell, imported: list[str]) -> None:
        """Have what a job has imported there for the next one."""
        fresh = [name for name in imported if name in LARGE and name not in self._loaded]
        if fresh and not cell.broken:
            self._loaded |= set(fresh)
            await cell.preload(tuple(module for name in fresh for module in LARGE[name]))

    async def _load_tools(self, cell: Cell) -> None:
        if not self._tools_loaded:
            self._tools_loaded = True
            await cell.preload((*TOOLS, *BUILT_IN))

    def _absent(self, job: Job) -> tuple[str, ...]:
        """Return the large libraries that a job is to tell of when it imports them."""
        return tuple(name for name in LARGE if name not in self._loaded) if job.data else ()

    def _room(self, job: Job, before: Snapshot) -> int:
        """Return the bytes that the workspace may grow by."""
        return min(job.limits.disk_mb << 20, (self._policy.disk_mb << 20) - before.used)

    def _full(self, before: Snapshot) -> str:
        used = before.used >> 20
        return f"The workspace is full: {used} MB of {self._policy.disk_mb} MB. Remove files or raise sandbox.disk_mb."

    async def _run_in(  # noqa: PLR0917
        self,
        cell: Cell,
        job: Job,
        before: Snapshot,
        room: int,
        on_progress: Callable[[Progress], None] | None,
        on_output: Callable[[Written], None] | None,
        talk: Conversation | None,
    ) -> JobResult:
        grant = network.grant(self._session_id, job, self._policy) if self.rung.safe else None
        if grant is not None and not cell.own_network:
            if job.net:
                return results.refused(orders.no_network(job), self.rung)
            grant = None
        group = cell.ahead.take(job.limits.memory_mb, job.limits.processes) if self._grouped else None
        most = before.entries + job.limits.entries
        temporary = self._temporary.path if self._temporary else None
        bounds = Bounds(before.used + room, most, job.limits.channels, temporary)
        guard: list[asyncio.Task[None]] = []

        def started(strike: Callable[[str], None]) -> None:
            guard.append(asyncio.create_task(self._guard(cell, bounds, strike)))

        try:
            door = await self._let_out(cell, grant)
            outcome = await cell.run(
                orders.order(job, cell.launch, door, grouped=group is not None, large=self._absent(job)),
                job.stdin.encode(),
                job.limits,
                group=group,
                watch=None if group else {"memory": job.limits.memory_mb << 20, "processes": job.limits.processes},
                progress=on_progress,
                output=on_output,
                on_start=started,
                talk=talk,
            )
            if job.data:
                await self._load_large(cell, outcome.imported)
            after = await self._look()
            grown = after.used > bounds.used or after.entries > bounds.entries
            changes = await self._changes(before, after)
            found = results.result(job, outcome, group, changes, self.rung, over_disk=grown, complete=after.complete)
            return results.with_connections(found, await self._fetch_in(cell, grant))
        finally:
            await self._fetch_in(cell, grant)
            for task in guard:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            if group is not None:
                group.remove()

    async def _let_out(self, cell: Cell, grant: Grant | None) -> dict[str, Any]:
        """Open the way to the network for a job; return what its order needs for that."""
        if grant is None:
            return {}
        proxy, port = await cell.network(network.nobody(self._session_id, self._policy))
        proxy.admit(grant)
        return {"port": port, "env": network.environment(grant, port)}

    async def _fetch_in(self, cell: Cell, grant: Grant | None) -> tuple[Connection, ...]:
        """Close a job's way to the network; return which connections it made."""
        if grant is None:
            return ()
        await cell.dismiss(grant)
        return tuple(grant.made)

    @property
    def _grouped(self) -> bool:
        return self.rung.name != "unsafe" and cgroups.hierarchy() is not None

    # -- the workspace ------------------------------------------------------------------------------------------

    def _open(self, root: Path) -> Workspace:
        root.mkdir(parents=True, exist_ok=True)
        user = owners.user_of(self._session_id, root, self._policy) if self._own_users(root) else None
        return Workspace(root, owner=user)

    def _own_users(self, root: Path) -> bool:
        """Tell whether this session runs as a user of its own; without bubblewrap that one must get to everything."""
        if not self.rung.own_users or self.rung.name != "C":
            return self.rung.own_users
        return all(map(owners.can_reach, (root.parent, *layout.needed(self._policy))))

    def _find_the_folder(self) -> None:
        """Start anew when the folder was removed or replaced: boxes and descriptors still hold the old one."""
        if self._workspace.current:
            return
        self._workspace.close()
        self._workspace = self._open(self._workspace.root)
        for cell in self._cells.values():
            cell.kill()

    async def _look(self) -> Snapshot:
        """Scan the workspace: at once when it was small the last time, in a thread when not."""
        if self._files > SCAN_INLINE:
            found = await asyncio.to_thread(self._workspace.snapshot)
        else:
            found = self._workspace.snapshot()
        self._files = found.entries
        return found

    async def _changes(self, before: Snapshot, after: Snapshot) -> tuple[Any, ...]:
        changed = sum(entry.size for path, entry in after.files.items() if before.files.get(path) != entry)
        if changed > 1 << 20:
            return await asyncio.to_thread(self._workspace.diff, before, after)
        return self._workspace.diff(before, after)

    async def _guard(self, cell: Cell, bounds: Bounds, strike: Callable[[str], None]) -> None:
        """Watch what a job takes of the disk and of the kernel while it runs; the more there is, the rarer the look."""
        loop = asyncio.get_running_loop()
        pause = GUARD_EVERY_S
        while True:
            await asyncio.sleep(pause)
            started = loop.time()
            cause = await asyncio.to_thread(bounds.broken, self._workspace, cell.pid)
            if cause:
                strike(cause)
                return
            pause = max(GUARD_EVERY_S, 20 * (loop.time() - started))

    # -- the processes ------------------------------------------------------------------------------------------

    async def warm(self, *, data: bool = False) -> None:
        """Start a box process before the first job needs it."""
        if self.rung.name != "E":
            async with self._lease(data=data) as cell:
                if not data:
                    await self._load_common(cell)
                    await self._load_tools(cell)

    @contextlib.asynccontextmanager
    async def _lease(self, *, data: bool) -> AsyncIterator[Cell]:
        """Give out a healthy process, started if need be; it is not evicted before it is given back."""
        self._users[data] += 1
        try:
            async with self._locks[data]:
                cell = await self._healthy(data=data) or await self._fresh(data=data)
            yield cell
        finally:
            self._users[data] -= 1
            self._rest(data=data)

    async def _healthy(self, *, data: bool) -> Cell | None:
        """Return the running process if it is well; one that has rested for long is asked first."""
        if (timer := self._timers.pop(data, None)) is not None:
            timer.cancel()
        cell = self._cells.get(data)
        if cell is None:
            return None
        rested = asyncio.get_running_loop().time() - self._rested[data]
        if not cell.broken and (cell.busy or rested < ASK_AFTER_S or await cell.answers()):
            return cell
        logger.info("the box of {} broke and is replaced", self._session_id)
        del self._cells[data]
        await cell.end()
        return None

    async def _fresh(self, *, data: bool) -> Cell:
        if data:
            self._loaded.clear()
        else:
            self._tools_loaded = self._common_loaded = False
        self._cells[data] = await Cell.start(self._launch(), self._session_id, DATA if data else LIGHT)
        return self._cells[data]

    def _launch(self) -> layout.Launch:
        if self.rung.name in {"A", "A-"}:
            bwrap = layout.find_bubblewrap()
            if bwrap is None:
                raise SandboxError("bubblewrap is gone from this machine.", remedy="apt-get install bubblewrap")
            return layout.bubblewrap(bwrap, self._workspace.root, self._policy, self._workspace.owner)
        if self._temporary is None:
            self._temporary = Temporary("box-")
        mode, user = ("landlock", self._workspace.owner) if self.rung.name == "C" else ("bare", None)
        temporary = owners.room_within(self._temporary.path, user)
        launch = layout.without_bubblewrap(mode, self._workspace.root, temporary, self._policy, user)
        return launch if self.rung.own_spaces else launch.without_spaces()

    def _rest(self, *, data: bool) -> None:
        """Arm the timer that ends an idle process."""
        if data not in self._cells or self._users[data] or self._closed:
            return
        if (timer := self._timers.pop(data, None)) is not None:
            timer.cancel()
        loop = asyncio.get_running_loop()
        if self._grouped:
            loop.call_soon(self._cells[data].look_ahead)
        self._rested[data] = loop.time()
        self._timers[data] = loop.call_later(self._policy.idle_s, self._evict, data)

    def evict(self) -> int:
        """End the processes that are idle; return how many. The next job starts them anew."""
        return sum(self._evict(data) for data in (True, False))

    def _evict(self, data: bool) -> bool:  # noqa: FBT001 - a timer's callback
        cell = self._cells.get(data)
        if cell is None or self._users[data]:
            return False
        del self._cells[data]
        if (timer := self._timers.pop(data, None)) is not None:
            timer.cancel()
        task = asyncio.get_running_loop().create_task(cell.end())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        return True

    async def close(self) -> None:
        """Kill all that is left and free the box. Closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        cells = list(self._cells.values())
        self._cells.clear()
        await asyncio.gather(*(cell.end() for cell in cells), *self._ending, self._pure.close())
        self._workspace.close()
        if self._temporary is not None:
            self._temporary.close()
