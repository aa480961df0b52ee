"""The warm init of a box: forks a process per job, ends and reaps all that a job leaves behind.

It runs at PID 1 of the box (where there is a process namespace) and holds nothing worth stealing: a job's code, input
and secrets travel in a memory file that only the forked child reads. One thread, one loop, and no library beyond the
standard one until a preload is asked for.

Start-up configuration (JSON, first argument): `control` descriptor · `mode` bwrap | landlock | bare · `workdir` ·
`preload` modules · `readable`, `writable` paths for the Landlock wall.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import site
import socket
import sys
import time

from sandbox import confine, frames, inside
from sandbox.processes import Tree
from sandbox.spare import Spare

TYPE_CHECKING = False  # typing, dataclasses and pathlib would take a third of the time that a box needs to come up
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

WATCH_EVERY_S = 0.05
DRAIN_S = 0.15
SPARE_S = 10.0  # who rests for longer does not need one, and it takes memory


class _Running:
    def __init__(self, number: int, pid: int, memory: int = 0, processes: int = 0) -> None:
        self.number = number
        self.pid = pid
        self.memory = memory
        self.processes = processes
        self.cause = ""
        self.started = time.monotonic()


class Init:
    """Serves one control socket until it closes."""

    def __init__(self, control: socket.socket, walls: confine.Walls) -> None:
        self._control = control
        self._walls = walls
        self._jobs: dict[int, _Running] = {}
        self._tree = Tree(os.getpid())
        self._listener: socket.socket | None = None
        self._spare: Spare | None = None
        self._worked = False
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def serve(self) -> None:
        """Work until the host closes the control socket, then end everything."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        self._control.send(
            frames.encode({"hello": True, "own": self._walls.own_processes, "network": self._walls.own_network})
        )
        open_for_work = True
        while open_for_work:
            ready = poll.poll(self._patience())
            if not ready and self._spare is not None:
                self._worked = False
                self._give_up_spare()
            for descriptor, _ in ready:
                if descriptor == self._wake_read:
                    os.read(self._wake_read, 4096)
                else:
                    open_for_work = self._receive()
            self._watch()
            self._reap()
            self._provide()
        self._end_all()

    def _patience(self) -> float | None:
        watched = any(job.memory or job.processes for job in self._jobs.values())
        if watched:
            return WATCH_EVERY_S * 1000
        return SPARE_S * 1000 if self._spare is not None else None

    def _receive(self) -> bool:
        try:
            raw, descriptors, _, _ = socket.recv_fds(self._control, frames.PACKET, 16, socket.MSG_CMSG_CLOEXEC)
        except ConnectionError:
            return False
        if not raw:
            return False
        order = frames.decode(raw)
        try:
            self._obey(order, descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return True

    def _obey(self, order: dict[str, Any], received: list[int]) -> None:
        descriptors = dict(zip(order.get("fds", ()), received, strict=True))
        if order["op"] == "start":
            self._start(order, descriptors)
        elif order["op"] == "kill":
            self._kill(order["job"])
        elif order["op"] == "preload":
            preload(order["modules"])
            self._give_up_spare()  # it does not have them
        elif order["op"] == "join" and self._spare is not None:
            self._spare.hand(descriptors, order["group"])
        elif order["op"] == "listen":
            self._listen()
        elif order["op"] == "ping":
            self._report({"pong": True})

    def _listen(self) -> None:
        """Listen in this network and hand the socket to the host. Our copy keeps the port from being taken by a job."""
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", 0), backlog=64, reuse_port=False)
        record = {"listening": self._listener.getsockname()[1]}
        socket.send_fds(self._control, [frames.encode(record)], [self._listener.fileno()])

    def _start(self, order: dict[str, Any], descriptors: dict[str, int]) -> None:
        try:
            pid = self._from_spare(descriptors, order["group"]) or self._forked(descriptors)
        except OSError as error:
            self._report({"ended": order["job"], "cause": "fork", "error": str(error), "status": 0})
            return
        self._worked = True
        watch = order.get("watch") or {}
        job = _Running(order["job"], pid, watch.get("memory", 0), watch.get("processes", 0))
        self._jobs[pid] = job

    def _forked(self, descriptors: dict[str, int]) -> int:
        pid = os.fork()
        if pid == 0:
            self._become_job(lambda: descriptors)
        return pid

    def _from_spare(self, descriptors: dict[str, int], group: int) -> int:
        """Make the spare process the job; return its pid, 0 when there is none."""
        spare, self._spare = self._spare, None
        if spare is None:
            return 0
        with contextlib.closing(spare):
            return spare.pid if spare.hand(descriptors, group) else 0

    def _provide(self) -> None:
        """Fork what the next job will become, once a first has come and none runs.

        Only where no job can reach it: a signal to it would be one to a job of somebody else.
        """
        if self._worked and self._spare is None and not self._jobs and self._walls.fenced:
            with contextlib.suppress(OSError):
                spare = Spare()
                if spare.pid == 0:
                    self._become_job(spare.wait)
                self._spare = spare

    def _give_up_spare(self) -> None:
        if self._spare is not None:
            self._spare.close()  # it ends, and is reaped like all that ends
            self._spare = None

    def _become_job(self, descriptors: Callable[[], dict[str, int]]) -> None:
        """Never returns: the forked child forgets the init's descriptors and becomes the job."""
        code = 70
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._control.close()
            if self._listener is not None:
                self._listener.close()
            os.close(self._wake_read)
            os.close(self._wake_write)
            inside.stand_alone()
            code = inside.run(descriptors(), self._walls)
        except BaseException as error:  # nothing may escape into the init's loop
            with contextlib.suppress(OSError):
                os.write(2, f"sandbox: {type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(code)

    def _kill(self, number: int) -> None:
        for job in self._jobs.values():
            if job.number == number:
                job.cause = job.cause or "killed"
                self._strike(job)

    def _strike(self, job: _Running) -> None:
        if self._walls.own_processes and len(self._jobs) == 1:
            os.kill(-1, signal.SIGKILL)  # atomic: nothing that forks can outrun it
            return
        self._tree.kill_tree(job.pid)

    def _watch(self) -> None:
        """Enforce memory and process limits where no cgroup does."""
        for job in list(self._jobs.values()):
            if job.cause or not (job.memory or job.processes):
                continue
            count, resident = self._tree.measure(job.pid, memory=bool(job.memory))
            if job.memory and resident > job.memory:
                job.cause = "oom"
            elif job.processes and count > job.processes:
                job.cause = "pids"
            if job.cause:
                self._strike(job)

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                self._sweep()
                return
            if self._spare is not None and pid == self._spare.pid:
                self._give_up_spare()
            job = self._jobs.pop(pid, None)
            if job is not None:
                self._finish(job, status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)

    def _finish(self, job: _Running, status: int, cpu: float, peak: int) -> None:
        drained = self._sweep()
        record = {"ended": job.number, "status": status, "cause": job.cause, "cpu": cpu, "peak": peak}
        self._report({**record, "drained": drained, "wall": time.monotonic() - job.started})

    def _sweep(self) -> bool:
        """Kill and reap what ended jobs left behind: every child of ours that is no running job."""
        deadline = time.monotonic() + DRAIN_S
        spare = {self._spare.pid} if self._spare is not None else set()
        while strays := self._tree.children() - set(self._jobs) - spare:
            if not self._jobs and self._walls.own_processes:
                os.kill(-1, signal.SIGKILL)
            for pid in strays:
                self._tree.kill_tree(pid)
            for pid in strays:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)
            # In a namespace of our own the host can end it all at once; elsewhere nobody comes after us.
            if self._walls.own_processes and time.monotonic() > deadline:
                return False
        return True

    def _end_all(self) -> None:
        for job in list(self._jobs.values()):
            self._strike(job)
        self._jobs.clear()
        self._give_up_spare()
        self._sweep()

    def _report(self, record: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self._control.send(frames.encode(record))


def preload(modules: list[str]) -> None:
    """Import libraries before the fork, so that every job finds them; a missing one is the job's to miss."""
    for name in modules:
        with contextlib.suppress(ImportError):
            module = importlib.import_module(name)
            if name == "matplotlib":
                module.use("Agg")
            if name == "sandbox.tools":
                module.rehearse()
            if name.startswith("plugins."):
                importlib.import_module("sandbox.tools").ready(module)
    gc.collect()
    gc.freeze()


def main(argument: str) -> None:
    """Put up the walls and serve."""
    settings = json.loads(argument)
    site.setquit()  # exit() and quit(), which programs use, come with the site module that -S left out
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    control = socket.socket(fileno=settings["control"])
    control.set_inheritable(False)
    walls = confine.put_up(settings)
    os.chdir(settings["workdir"])
    preload(settings["preload"])
    Init(control, walls).serve()
    sys.exit(0)
