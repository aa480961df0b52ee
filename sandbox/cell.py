"""The host's end of one box process: starts the init, hands it jobs, reads what they say, ends it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import struct
import subprocess
import time
from typing import TYPE_CHECKING, Any

from loguru import logger

from sandbox import frames
from sandbox.ahead import Ahead
from sandbox.api import SandboxError
from sandbox.proxy import Proxy
from sandbox.running import Outcome, Running, memory_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.api import Limits, Progress, Written
    from sandbox.cgroups import JobGroup
    from sandbox.layout import Launch
    from sandbox.proxy import Grant
    from sandbox.talking import Conversation

START_S = 30.0
KILL_S = 0.5
PING_S = 2.0
_CREDENTIALS = struct.Struct("iII")
_ANCILLARY = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(struct.calcsize("i"))


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Cell:
    """One running box process. Make it with `Cell.start`; a cell that broke or was ended is not used again."""

    def __init__(
        self, launch: Launch, process: subprocess.Popen[bytes], control: socket.socket, errors: int, name: str
    ) -> None:
        self.launch = launch
        self.name = name
        self.pid = 0
        self._process = process
        self._control = control
        self._errors = errors
        self._loop = asyncio.get_running_loop()
        self._hello: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._jobs: dict[int, Running] = {}
        self._numbers = itertools.count(1)
        self._pidfd = -1
        self._outer = os.pidfd_open(process.pid)
        self._ended: asyncio.Task[None] | None = None
        self.broken = False
        self.own_processes = False
        self.own_network = False
        self.ahead = Ahead(control)
        self._pong: asyncio.Future[None] | None = None
        self._proxy: Proxy | None = None
        self._listening: asyncio.Future[tuple[socket.socket, int]] | None = None

    @classmethod
    async def start(cls, launch: Launch, name: str, preload: tuple[str, ...] = ()) -> Cell:
        """Start a box and wait until it is ready; raise SandboxError with what it said when it does not come up."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        errors = os.memfd_create("errors", os.MFD_CLOEXEC)
        try:
            ours.setblocking(False)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            process = subprocess.Popen(  # noqa: ASYNC220, S603 - a spawn, not a wait
                launch.command(theirs.fileno(), preload),
                env=dict(launch.env),
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                cwd="/",
                # Ctrl-C in our terminal goes to every process of its group, and is ours to act on.
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            os.close(errors)
            raise SandboxError(f"The sandbox cannot be started: {error}.") from error
        finally:
            theirs.close()
        cell = cls(launch, process, ours, errors, name)
        await cell._come_up()
        return cell

    async def _come_up(self) -> None:
        self._loop.add_reader(self._control, self._receive)
        try:
            async with asyncio.timeout(START_S):
                hello = await self._hello
                self.own_processes, self.own_network = bool(hello["own"]), bool(hello["network"])
        except (TimeoutError, SandboxError):
            said = self._said()
            await self.end()
            raise SandboxError(f"The sandbox did not come up: {said or 'it said nothing'}.") from None
        except asyncio.CancelledError:
            await self.end()
            raise

    def _said(self) -> str:
        """Return the end of what the box wrote to its error output."""
        text = os.pread(self._errors, 65_536, 0).decode(errors="replace").strip()
        return text.splitlines()[-1][:500] if text else ""

    def _receive(self) -> None:
        while True:
            try:
                raw, ancillary, _, _ = self._control.recvmsg(frames.PACKET, _ANCILLARY, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return
            except OSError:
                raw = b""
            if not raw:
                self._lost()
                return
            record = frames.decode(raw)
            if "hello" in record:
                self._greeted(record, ancillary)
            elif "listening" in record:
                self._listens(record["listening"], ancillary)
            elif "pong" in record:
                self._ponged()
            elif (job := self._jobs.get(record["ended"])) and not job.ended.done():
                job.ended.set_result(record)

    def _greeted(self, record: dict[str, Any], ancillary: list[tuple[int, int, bytes]]) -> None:
        """The kernel stamps each packet with the sender's pid as *we* see it: the init's pid outside the box."""
        for _, kind, data in ancillary:
            if kind == socket.SCM_CREDENTIALS:
                self.pid = _CREDENTIALS.unpack(data[: _CREDENTIALS.size])[0]
                with contextlib.suppress(ProcessLookupError):
                    self._pidfd = os.pidfd_open(self.pid)
        if not self._hello.done():
            self._hello.set_result(record)

    async def answers(self) -> bool:
        """Ask the init whether it is well; False when it says nothing."""
        if self._pong is None:
            self._pong = self._loop.create_future()
            await self._send({"op": "ping"}, [])
        pong = self._pong
        await asyncio.wait({pong}, timeout=PING_S)
        return pong.done() and not self.broken

    async def network(self, nobody: Grant) -> tuple[Proxy, int]:
        """Return the proxy of this box, started by the first who asks, and its port inside. Raises SandboxError.

        `nobody` notes what jobs without leave want of it.
        """
        if self._listening is None:
            self._listening = self._loop.create_future()
            await self._send({"op": "listen"}, [])
        try:
            async with asyncio.timeout(START_S):
                listener, port = await asyncio.shield(self._listening)
        except TimeoutError:
            raise SandboxError("The sandbox does not open its way to the network.") from None
        if self._proxy is None:
            self._proxy = Proxy(listener, nobody)
            await self._proxy.start()
        return self._proxy, port

    def _ponged(self) -> None:
        if self._pong is not None:
            _resolve(self._pong)
        self._pong = None

    async def dismiss(self, grant: Grant) -> None:
        """End a job's connections. Doing so twice is harmless."""
        if self._proxy is not None:
            await self._proxy.dismiss(grant)

    def _listens(self, port: int, ancillary: list[tuple[int, int, bytes]]) -> None:
        """Take over the listening socket, which stays in the box's network."""
        for _, kind, data in ancillary:
            if kind == socket.SCM_RIGHTS:
                listener = socket.socket(fileno=struct.unpack("i", data[:4])[0])
                listener.setblocking(False)
                if self._listening is None or self._listening.done():
                    listener.close()
                else:
                    self._listening.set_result((listener, port))

    def _lost(self) -> None:
        self._loop.remove_reader(self._control)
        self.broken = True
        if self._listening is not None and not self._listening.done():
            self._listening.set_exception(SandboxError("The sandbox ended."))
        if not self._hello.done():
            self._hello.set_exception(SandboxError("The sandbox ended."))
        for job in self._jobs.values():
            if not job.ended.done():
                job.ended.set_result({"status": signal.SIGKILL, "cause": job.outcome.cause or "box"})

    @property
    def busy(self) -> bool:
        """True while a job runs here."""
        return bool(self._jobs)

    async def preload(self, modules: tuple[str, ...]) -> None:
        """Have the init import libraries that the next jobs will want. Ours only: a job's own never load there."""
        await self._send({"op": "preload", "modules": list(modules)}, [])

    def look_ahead(self) -> None:
        """Prepare for the next job while there is none."""
        if not self.busy and not self.broken:
            self.ahead.prepare()

    async def run(
        self,
        order: bytes,
        stdin: bytes,
        limits: Limits,
        *,
        group: JobGroup | None = None,
        watch: dict[str, int] | None = None,
        progress: Callable[[Progress], None] | None = None,
        output: Callable[[Written], None] | None = None,
        on_start: Callable[[Callable[[str], None]], None] | None = None,
        talk: Conversation | None = None,
    ) -> Outcome:
        """Run one job to its end. Cancelling kills its processes, waits for that, and raises CancelledError.

        With `talk` its input is what is said there.
        `on_start` is given a function that ends the job for a cause, for whoever guards another limit.
        """
        number = next(self._numbers)

        def strike(cause: str) -> None:
            self._strike(number, cause)

        job = Running(limits, strike, progress, output, talk)
        self._jobs[number] = job
        timer = self._loop.call_later(limits.wall_s, strike, "timeout")
        started = time.monotonic()
        submitted = False
        try:
            await self._submit(number, job, order, stdin, group, watch)
            submitted = True
            job.began()
            if on_start is not None:
                on_start(strike)
            ended = await asyncio.shield(job.ended)
        except asyncio.CancelledError:
            if submitted:
                strike("cancelled")
                await asyncio.wait({job.ended}, timeout=2 * KILL_S)
            raise
        finally:
            timer.cancel()
            job.finish()
            del self._jobs[number]
        outcome = job.outcome
        outcome.status, outcome.wall = ended["status"], ended.get("wall", time.monotonic() - started)
        outcome.cause = outcome.cause or ended.get("cause", "")
        outcome.cpu, outcome.peak = ended.get("cpu", 0.0), ended.get("peak", 0)
        if not ended.get("drained", True):
            logger.warning("a job in the sandbox of {} could not be cleared away; its box is replaced", self.name)
            self.kill()
        return outcome

    async def _submit(  # noqa: PLR0917
        self,
        number: int,
        job: Running,
        order: bytes,
        stdin: bytes,
        group: JobGroup | None,
        watch: dict[str, int] | None,
    ) -> None:
        """Send the order with its descriptors, and close our copies whatever happens."""
        descriptors = {name: pipe.write for name, pipe in job.pipes.items()}
        own: dict[str, int] = {}
        try:
            own["request"] = memory_file(order)
            if (source := job.source(stdin)) >= 0:
                own["stdin"] = source
            if group is not None:
                own |= group.entrances()
            descriptors |= own
            record = {"op": "start", "job": number, "fds": list(descriptors), "watch": watch}
            record["group"] = group.number if group else 0
            await self._send(record, list(descriptors.values()))
        finally:
            for descriptor in own.values():
                os.close(descriptor)
            for pipe in job.pipes.values():
                pipe.handed_over()

    async def _send(self, record: dict[str, Any], descriptors: list[int]) -> None:
        while True:
            try:
                socket.send_fds(self._control, [frames.encode(record)], descriptors)
            except BlockingIOError:
                await self._writable()
            except OSError:
                self._lost()
                return
            else:
                return

    async def _writable(self) -> None:
        ready: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_writer(self._control, _resolve, ready)
        try:
            await ready
        finally:
            self._loop.remove_writer(self._control)

    def _strike(self, number: int, cause: str) -> None:
        job = self._jobs.get(number)
        if job is None or job.ended.done():
            return
        if not job.outcome.cause:
            job.outcome.cause = cause
            self._loop.call_later(KILL_S, self._insist, job)
        try:
            self._control.send(frames.encode({"op": "kill", "job": number}))
        except OSError:
            self.kill()

    def _insist(self, job: Running) -> None:
        """The init was told to kill and has not: end the whole box."""
        if not job.ended.done():
            self.kill()

    def kill(self) -> None:
        """End the box at once: the kernel ends all in it with the init (or the init does, seeing its socket close)."""
        self.broken = True
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        if self._pidfd >= 0 and self.own_processes:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    async def end(self) -> None:
        """End the box and wait until none of its processes is left: also when the caller is cancelled meanwhile."""
        if self._ended is None:
            self._ended = self._loop.create_task(self._end(), name="box ends")
        try:
            await asyncio.shield(self._ended)
        except asyncio.CancelledError:
            await asyncio.wait({self._ended})  # some seconds at most
            raise

    async def _end(self) -> None:
        self._lost()
        self.kill()
        await self._close_network()
        for descriptor in (self._pidfd, self._outer):
            if descriptor >= 0 and not await self._gone(descriptor):
                self._process.kill()
                await self._gone(self._outer)
        self._process.wait()
        for descriptor in (self._pidfd, self._outer, self._errors):
            if descriptor >= 0:
                os.close(descriptor)
        self._outer = -1
        self._control.close()
        self.ahead.close()

    async def _close_network(self) -> None:
        if self._proxy is not None:
            await self._proxy.close()
        elif self._listening is not None and self._listening.done() and not self._listening.exception():
            self._listening.result()[0].close()

    async def _gone(self, pidfd: int) -> bool:
        """Wait for a process to end, 2 s at most; return whether it did."""
        ended: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(pidfd, _resolve, ended)
        try:
            async with asyncio.timeout(2):
                await ended
        except TimeoutError:
            return False
        finally:
            self._loop.remove_reader(pidfd)
        return True
