"""The host's end of one box process: starts the init, hands it jobs, reads what they say, ends it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import os
import signal
import socket
import struct
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from loguru import logger

from sandbox import frames
from sandbox.api import Progress, SandboxError
from sandbox.capture import Capture

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.api import Limits
    from sandbox.cgroups import JobGroup
    from sandbox.layout import Launch

START_S = 30.0
KILL_S = 0.5
FLOOD = 64
EVENT_BYTES = 32 << 20
_CHUNK = 1 << 16
_CREDENTIALS = struct.Struct("iII")


@dataclass
class Outcome:
    """How a job ended, as the host saw it. `status` is as from wait(); `cause` is why the host or init struck."""

    status: int = 0
    cause: str = ""
    cpu: float = 0.0
    wall: float = 0.0
    peak: int = 0
    out: Capture | None = None
    err: Capture | None = None
    record: dict[str, Any] = field(default_factory=dict)
    note: str = ""


class _Pipe:
    """One pipe from a job, read as data comes."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._read, self.write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        flags = fcntl.fcntl(self.write, fcntl.F_GETFL)
        fcntl.fcntl(self.write, fcntl.F_SETFL, flags & ~os.O_NONBLOCK)  # the job's end waits
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._read, self._ready)

    def handed_over(self) -> None:
        """Close the end that the job has by now."""
        if self.write >= 0:
            os.close(self.write)
            self.write = -1

    def _ready(self) -> None:
        try:
            data = os.read(self._read, _CHUNK)
        except BlockingIOError:
            return
        if data:
            self._take(data)
        else:
            self._loop.remove_reader(self._read)

    def finish(self) -> None:
        """Read what is left without waiting, and close."""
        self._loop.remove_reader(self._read)
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._read, _CHUNK):
                self._take(data)
        self.close()

    def close(self) -> None:
        self.handed_over()
        if self._read >= 0:
            self._loop.remove_reader(self._read)
            os.close(self._read)
            self._read = -1


def memory_file(data: bytes) -> int:
    """Return a descriptor of an anonymous file with `data`, positioned at its start."""
    descriptor = os.memfd_create("job", os.MFD_CLOEXEC)
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Running:
    """A job in a cell: its pipes, its captures, and the future that its end resolves."""

    def __init__(
        self, limits: Limits, strike: Callable[[str], None], progress: Callable[[Progress], None] | None
    ) -> None:
        self.ended: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.outcome = Outcome(out=Capture(limits.output_bytes), err=Capture(limits.output_bytes))
        self._flood = limits.output_bytes * FLOOD
        self._strike = strike
        self._progress = progress
        self._reader = frames.FrameReader()
        self._event_bytes = 0
        assert self.outcome.out is not None
        assert self.outcome.err is not None
        self.pipes = {
            "out": _Pipe(lambda data: self._output(self.outcome.out, data)),
            "err": _Pipe(lambda data: self._output(self.outcome.err, data)),
            "events": _Pipe(self._events),
        }

    def _output(self, capture: Capture | None, data: bytes) -> None:
        assert capture is not None
        capture.feed(data)
        if capture.total > self._flood:
            self._strike("output")

    def _events(self, data: bytes) -> None:
        self._event_bytes += len(data)
        if self._event_bytes > EVENT_BYTES:
            self._strike("output")
            return
        for record in self._reader.feed(data):
            self._event(record)

    def _event(self, record: dict[str, Any]) -> None:
        match record:
            case {"progress": [str(text), int() | float() | None as done, int() | float() | None as total]}:
                if self._progress is not None:
                    self._progress(Progress(text, done, total))
            case {"note": str(note)}:
                self.outcome.note = note
            case {"result": dict()} | {"failure": dict()}:
                self.outcome.record = record
            case _:
                logger.debug("a sandboxed job sent an event of no known form")


class Cell:
    """One running box process. Make it with `Cell.start`; a cell that broke or was ended is not used again."""

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket, errors: int, name: str) -> None:
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
        self.broken = False
        self.own_processes = False

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
        cell = cls(process, ours, errors, name)
        await cell._come_up()
        return cell

    async def _come_up(self) -> None:
        self._loop.add_reader(self._control, self._receive)
        try:
            async with asyncio.timeout(START_S):
                self.own_processes = bool((await self._hello)["own"])
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
                raw, ancillary, _, _ = self._control.recvmsg(frames.PACKET, socket.CMSG_SPACE(_CREDENTIALS.size))
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

    def _lost(self) -> None:
        self._loop.remove_reader(self._control)
        self.broken = True
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

    async def run(
        self,
        order: bytes,
        stdin: bytes,
        limits: Limits,
        *,
        group: JobGroup | None = None,
        watch: dict[str, int] | None = None,
        progress: Callable[[Progress], None] | None = None,
        on_start: Callable[[Callable[[str], None]], None] | None = None,
    ) -> Outcome:
        """Run one job to its end. Cancelling kills its processes, waits for that, and raises CancelledError.

        `on_start` is given a function that ends the job for a cause, for whoever guards another limit.
        """
        number = next(self._numbers)

        def strike(cause: str) -> None:
            self._strike(number, cause)

        job = Running(limits, strike, progress)
        self._jobs[number] = job
        timer = self._loop.call_later(limits.wall_s, strike, "timeout")
        started = time.monotonic()
        submitted = False
        try:
            await self._submit(number, job, order, stdin, group, watch)
            submitted = True
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
            for pipe in job.pipes.values():
                pipe.finish()
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
            if stdin:
                own["stdin"] = memory_file(stdin)
            if group is not None:
                own |= group.entrances()
            descriptors |= own
            record = {"op": "start", "job": number, "fds": list(descriptors), "watch": watch}
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
        """End the box and wait until none of its processes is left."""
        if self._outer < 0:
            return
        self._lost()
        self.kill()
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
