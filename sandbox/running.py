"""A job that runs in a box, as the host sees it: its pipes, what came out of them, and how it ended."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from loguru import logger

from sandbox import frames
from sandbox.api import Progress, Written
from sandbox.capture import Capture
from sandbox.talking import HELD_BYTES, Pipes

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.api import Limits
    from sandbox.talking import Conversation

FLOOD = 64
EVENT_BYTES = 32 << 20
MOST_EVENTS = 20_000
_CHUNK, _MOST_LEFT = 1 << 16, 1 << 20


@dataclass
class Outcome:
    """How a job ended, as the host saw it. `status` is as from wait(); `cause` is why the host or init struck."""

    out: Capture
    err: Capture
    status: int = 0
    cause: str = ""
    cpu: float = 0.0
    wall: float = 0.0
    peak: int = 0
    record: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    imported: list[str] = field(default_factory=list)


class _Pipe:
    """One pipe from a job, read as data comes."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._read, self.write = os.pipe()  # the job's end waits, ours does not
        os.set_blocking(self._read, False)
        self._take = take
        self._held = False
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

    def hold(self) -> None:
        """Read no more for now: whoever writes waits when the pipe is full, and cannot outrun its end."""
        self._loop.remove_reader(self._read)
        self._held = True

    def go_on(self) -> None:
        """Read again, if this was held."""
        if self._held and self._read >= 0:
            self._held = False
            self._loop.add_reader(self._read, self._ready)

    def finish(self) -> None:
        """Read what is left without waiting, no more than a pipe can hold, and close."""
        self._loop.remove_reader(self._read)
        with contextlib.suppress(BlockingIOError):
            for _ in range(_MOST_LEFT // _CHUNK):
                data = os.read(self._read, _CHUNK)
                if not data:
                    break
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


class _Follower:
    """Tells of one stream as it grows, up to a number of bytes; a character that comes in two pieces is told whole."""

    def __init__(self, stream: Literal["stdout", "stderr"], most: int, tell: Callable[[Written], None] | None) -> None:
        self._stream = stream
        self._left = most if tell is not None else 0
        self._tell = tell
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes) -> None:
        if self._left > 0 and self._tell is not None:
            text = self._decoder.decode(data[: self._left])
            self._left -= len(data)
            if text:
                self._tell(Written(self._stream, text))


class Running:
    """A job in a cell: its pipes, its captures, and the future that its end resolves."""

    def __init__(
        self,
        limits: Limits,
        strike: Callable[[str], None],
        progress: Callable[[Progress], None] | None,
        output: Callable[[Written], None] | None = None,
        talk: Conversation | None = None,
    ) -> None:
        self._talk = talk
        self.ended: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.outcome = Outcome(out=Capture(limits.output_bytes), err=Capture(limits.output_bytes))
        self._flood = limits.output_bytes * FLOOD
        self._strike = strike
        self._progress = progress
        self._reader = frames.FrameReader()
        self._event_bytes = 0
        self._event_count = 0
        self._deaf = False
        out = _Follower("stdout", limits.output_bytes, output)
        err = _Follower("stderr", limits.output_bytes, output)
        self.pipes = {
            "out": _Pipe(lambda data: self._output("out", out, data)),
            "err": _Pipe(lambda data: self._output("err", err, data)),
            "events": _Pipe(self._events),
        }
        self._line = Pipes(self.pipes["out"], lambda: strike("cancelled")) if talk is not None else None

    def source(self, stdin: bytes) -> int:
        """Return a descriptor of what the job is to read, -1 when that is nothing. The caller closes it."""
        if self._line is not None:
            return self._line.handed_over()
        return memory_file(stdin) if stdin else -1

    def began(self) -> None:
        """Tell whoever speaks with the job that it has started."""
        if self._talk is not None and self._line is not None:
            self._talk.begin(self._line)

    def finish(self) -> None:
        """Read what is left, and close all."""
        for pipe in self.pipes.values():
            pipe.finish()
        if self._line is not None:
            self._line.close()

    def _output(self, name: Literal["out", "err"], follower: _Follower, data: bytes) -> None:
        capture = self.outcome.out if name == "out" else self.outcome.err
        capture.feed(data)
        follower.feed(data)
        if name == "out" and self._talk is not None:
            self._hear(self._talk, data)
        elif capture.total > self._flood:
            self.pipes[name].hold()
            self._strike("output")

    def _hear(self, talk: Conversation, data: bytes) -> None:
        """Pass on output that somebody reads as it comes: of any length, but no faster than it is read."""
        talk.hear(data)
        if talk.held >= HELD_BYTES:
            self.pipes["out"].hold()

    def _events(self, data: bytes) -> None:
        self._event_bytes += len(data)
        if self._event_bytes > EVENT_BYTES:
            self.pipes["events"].hold()
            self._strike("output")
            return
        for record in self._reader.feed(data):
            self._event_count += 1
            if self._deaf or self._event_count > MOST_EVENTS:
                break
            self._event(record)
        if self._event_count > MOST_EVENTS:
            self._reader.stop()
            self._strike("output")

    def _event(self, record: dict[str, Any]) -> None:
        match record:
            case {"progress": [str(text), int() | float() | None as done, int() | float() | None as total]}:
                if self._progress is not None:
                    self._progress(Progress(text, done, total))
            case {"note": str(note)}:
                self.outcome.note = note
            case {"imported": list(names)}:
                self.outcome.imported = [name for name in names if isinstance(name, str)]
            case {"result": dict()} | {"failure": dict()}:
                self.outcome.record = record
            case _:
                logger.debug("a sandboxed job sent an event of no known form; it is heard no more")
                self._deaf = True
                self._reader.stop()
