"""Reads the stream of one answer, with patience that has an end."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.llm.sse import DONE, EventDecoder

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable

    from agent.llm.reply import Reply

DRAIN_SECONDS = 0.05


class Silence(Exception):
    """The server took too long; `first` when nothing of the answer had come."""

    def __init__(self, seconds: float, *, first: bool) -> None:
        super().__init__(f"silent for {seconds:g} s")
        self.seconds = seconds
        self.first = first


class BrokenOff(Exception):
    """The stream ended without an end."""


class NoStream(Exception):
    """What answered is no model server."""


@dataclass(slots=True)
class Patience:
    """How long to wait: until `deadline` (loop time) for the first token, then `stall_seconds` from one to the next.

    Only events count. A comment that keeps the connection alive says nothing about the model.
    """

    deadline: float
    first_seconds: float
    stall_seconds: float
    begun: bool = False

    def renew(self) -> None:
        """Note that a token came."""
        self.begun = True
        self.deadline = asyncio.get_running_loop().time() + self.stall_seconds

    def lost(self) -> Silence:
        """Return what to raise at the deadline."""
        return Silence(self.stall_seconds if self.begun else self.first_seconds, first=not self.begun)


async def read_stream(source: AsyncIterator[bytes], patience: Patience, reply: Reply) -> AsyncGenerator[str, None]:
    """Read a stream to its end into `reply`; yield what can be shown as it comes.

    Raises Silence, BrokenOff, StreamFault, ValueError (unreadable JSON), or what `source` raises.
    """
    decoder = EventDecoder()
    more = True
    while more:
        data = await _read(source, patience)
        shown = _take(decoder.finish() if data is None else decoder.feed(data), reply)
        if shown:
            yield shown
        if reply.began:
            patience.renew()  # after the yield: the time that the reader takes is not the server's
        more = data is not None and not (reply.done or reply.looping)
    if reply.done:
        await _drain(source)
    if not reply.ended and not reply.looping:
        raise BrokenOff
    rest = reply.close()
    if rest:
        yield rest


def _take(events: Iterable[bytes], reply: Reply) -> str:
    """Take the events that came together; return what can be shown of them."""
    shown = ""
    for event in events:
        if event == DONE:
            reply.done = True
            break
        shown += reply.take(json.loads(event))
        if reply.looping:
            break
    return shown


async def _read(source: AsyncIterator[bytes], patience: Patience) -> bytes | None:
    """Return the next bytes, or None at the end. Raises Silence at the deadline."""
    try:
        async with asyncio.timeout_at(patience.deadline):
            return await anext(source, None)
    except TimeoutError:
        raise patience.lost() from None


async def _drain(source: AsyncIterator[bytes]) -> None:
    """Read the end of the body, so that the connection serves the next call too."""
    with suppress(Exception):
        async with asyncio.timeout(DRAIN_SECONDS):
            while await anext(source, None) is not None:
                pass


async def as_stream(kind: str, source: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Turn an answer that came in one document, although a stream was asked for, into a stream of one event.

    Raises NoStream for a document that is no JSON, such as a web page.
    """
    if "json" not in kind:
        raise NoStream(f"it answers with {kind or 'nothing'}")
    document = b"".join([part async for part in source])
    yield b"data: " + document.replace(b"\n", b" ") + b"\n\ndata: [DONE]\n\n"
