"""A conversation with a job in a sidecar: both its ends on the socket that all requests share.

Each way has a window: who sends may be ahead of who takes by so many bytes, and is told when some were taken. So one
job that nobody reads from, or that does not read, holds up no other. Neither end believes that the other keeps to it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
from typing import TYPE_CHECKING, Any

from sandbox import wire
from sandbox.api import SandboxError
from sandbox.talking import HELD_BYTES, Conversation, deaf

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.api import JobResult

WINDOW = HELD_BYTES
PIECE = 1 << 16
RELAYED = frozenset({"input", "finish", "room", "strike"})


class _Window:
    """How many bytes may still be sent before the other side has taken some."""

    def __init__(self) -> None:
        self._left = WINDOW
        self._opened = asyncio.Event()
        self._opened.set()
        self.shut = False

    async def take(self, count: int) -> None:
        """Wait until `count` bytes may be sent; raise SandboxError when none are wanted any more."""
        while not self.shut and self._left < count:
            self._opened.clear()
            await self._opened.wait()
        if self.shut:
            raise deaf()
        self._left -= count

    def give(self, count: object) -> None:
        """Hear that so many bytes were taken."""
        if not isinstance(count, int) or count < 0 or self._left + count > WINDOW:
            raise wire.Broken("The other side has taken more than was sent.")
        self._left += count
        self._opened.set()

    def close(self) -> None:
        self.shut = True
        self._opened.set()


def _pieces(data: bytes) -> list[bytes]:
    return [data[at : at + PIECE] for at in range(0, len(data), PIECE)]


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise wire.Broken("The other side sent bytes that are none.") from None


class Line:
    """The agent's end (`sandbox.talking.Line`). `tell` sends a message of this request."""

    def __init__(self, talk: Conversation, tell: Callable[..., None]) -> None:
        self._talk = talk
        self._tell = tell
        self._window = _Window()
        self._owed = 0

    def hear(self, said: dict[str, Any]) -> bool:
        """Take in what belongs to the conversation; return whether it did. Raises wire.Broken."""
        match said:
            case {"begun": True}:
                self._talk.begin(self)
            case {"heard": str(text)}:
                data = _bytes(text)
                self._owed += len(data)
                if self._owed > WINDOW:
                    raise wire.Broken("The sidecar sends more than there is room for.")
                self._talk.hear(data)
            case {"room": count}:
                self._window.give(count)
            case {"deaf": True}:
                self._window.close()
            case _:
                return False
        return True

    async def write(self, data: bytes) -> None:
        """Send all of it. Raises SandboxError when nobody there reads any more."""
        for piece in _pieces(data):
            await self._window.take(len(piece))
            self._tell(op="input", data=_text(piece))

    def finish(self) -> None:
        """Close the job's input."""
        if not self._window.shut:
            self._tell(op="finish")
        self._window.close()

    def took(self, count: int, held: int) -> None:  # noqa: ARG002 - what the pipes here want
        """Have the sidecar send on."""
        self._owed -= count
        self._tell(op="room", count=count)

    def strike(self) -> None:
        """Kill the job."""
        self._tell(op="strike")

    def close(self) -> None:
        """The request is over: whoever still sends hears of it."""
        self._window.close()


class Relay:
    """The sidecar's end: brings what the agent says to a job, and what the job says to the agent."""

    def __init__(self, tell: Callable[..., None]) -> None:
        self._tell = tell
        self._window = _Window()
        self._input: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._waiting = 0
        self._talk: Conversation | None = None

    def take(self, asked: dict[str, Any]) -> None:
        """Take in what the agent says. Raises wire.Broken."""
        match asked:
            case {"op": "input", "data": str(text)}:
                data = _bytes(text)
                self._waiting += len(data)
                if self._waiting > WINDOW:
                    raise wire.Broken("The agent sends more than there is room for.")
                self._input.put_nowait(data)
            case {"op": "finish"}:
                self._input.put_nowait(None)
            case {"op": "room", "count": count}:
                self._window.give(count)
            case {"op": "strike"}:
                self._window.close()  # who wants no more may have left some untaken
                if self._talk is not None:
                    self._talk.strike()
            case _:
                raise wire.Broken("The agent says something odd to a job.")

    async def between(self, talk: Conversation) -> JobResult:
        """Carry both ways until the job has ended; return its result."""
        self._talk = talk
        self._tell(begun=True)
        feeding = asyncio.create_task(self._feed(talk))
        try:
            with contextlib.suppress(SandboxError):
                await self._pass_on(talk)
            return await talk.end()
        finally:
            feeding.cancel()
            await asyncio.wait({feeding})

    async def _pass_on(self, talk: Conversation) -> None:
        async for data in talk:
            for piece in _pieces(data):
                await self._window.take(len(piece))
                self._tell(heard=_text(piece))

    async def _feed(self, talk: Conversation) -> None:
        while (data := await self._input.get()) is not None:
            try:
                await talk.send(data)
            except SandboxError:
                self._tell(deaf=True)
                return
            self._waiting -= len(data)
            self._tell(room=len(data))
        talk.finish()
