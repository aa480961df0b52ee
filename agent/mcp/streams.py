"""Between a server and the library: what comes in is bounded, and what is not ours to evaluate is left out.

A server that floods, or sends a line without end, loses its connection; `Fault` says why.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

from mcp import types
from mcp.shared.message import SessionMessage

from agent.mcp.cleaning import one_line
from agent.mcp.fault import Fault

if TYPE_CHECKING:
    from sandbox.api import Talk

MOST_LINE = 24 << 20
MOST_UNASKED = 20_000
MOST_PARTS = 2_000
CONTENT = "content"
KNOWN = frozenset({"text", "image", "audio", "resource", "resource_link"})
Streams = tuple[Any, Any]


class Stream(AbstractAsyncContextManager["Stream"]):
    """What both directions have in common: they are context managers, and closing is nobody else's business."""

    async def aclose(self) -> None:
        """Nothing to close: whoever opened the way closes it."""

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class LinesOut(Stream):
    """Messages to a job in the sandbox, one a line."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk

    async def send(self, item: SessionMessage) -> None:
        """Write a message. To a job that has ended nothing is said: that it has, is told by what comes from it."""
        from sandbox.api import SandboxError

        text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
        try:
            await self._talk.send(text.encode() + b"\n")
        except SandboxError:
            return


class LinesIn(Stream):
    """Messages from a job in the sandbox, one a line, read when they are asked for."""

    def __init__(self, talk: Talk, fault: Fault) -> None:
        self._chunks = aiter(talk)
        self._fault = fault
        self._held = bytearray()

    def __aiter__(self) -> Self:
        return self

    async def receive(self) -> SessionMessage | Exception:
        """Return the next message; see `__anext__`."""
        return await anext(self)

    async def __anext__(self) -> SessionMessage | Exception:
        while (line := (await self.line()).strip()) == b"":
            continue
        try:
            return SessionMessage(types.jsonrpc_message_adapter.validate_json(line, by_name=False))
        except ValueError as error:
            return error

    async def line(self) -> bytes:
        """Return the next line. Raises StopAsyncIteration at the end, or when one does not end."""
        looked = 0
        while (end := self._held.find(b"\n", looked)) < 0:
            looked = len(self._held)
            if looked > MOST_LINE:
                self._fault.why = f"it sent more than {MOST_LINE >> 20} MB in one message"
                raise StopAsyncIteration
            self._held += await anext(self._chunks)
        line = bytes(self._held[:end])
        del self._held[: end + 1]
        return line


class BoundedIn(Stream):
    """What comes from a server, counted between two of our requests, without what nobody here evaluates."""

    def __init__(self, inner: Any, fault: Fault) -> None:
        self._inner = inner
        self._fault = fault
        self.count = 0

    @property
    def last_context(self) -> Any:
        """The context of the sender, where the library keeps it."""
        return getattr(self._inner, "last_context", None)

    async def aclose(self) -> None:
        """Close what it reads from."""
        await self._inner.aclose()

    def __aiter__(self) -> Self:
        return self

    async def receive(self) -> SessionMessage | Exception:
        """Return the next message."""
        return await anext(self)

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            item: SessionMessage | Exception = await anext(self._inner)
        except StopAsyncIteration:
            self._fault.silent = True
            raise
        self.count += 1
        if self.count > MOST_UNASKED:
            self._fault.why = f"it sent more than {MOST_UNASKED:,} messages that nobody asked for"
            self._fault.silent = True
            raise StopAsyncIteration
        return _fit(item)


class CountedOut(Stream):
    """What goes to a server; with each request of ours it may say something again."""

    def __init__(self, inner: Any, incoming: BoundedIn) -> None:
        self._inner = inner
        self._incoming = incoming

    async def aclose(self) -> None:
        """Close what it writes to."""
        await self._inner.aclose()

    async def send(self, item: SessionMessage) -> None:
        """Send a message."""
        if isinstance(item.message, types.JSONRPCRequest):
            self._incoming.count = 0
        await self._inner.send(item)


def _fit(item: SessionMessage | Exception) -> SessionMessage | Exception:
    """Change an answer so that the library can read it, and in no long time."""
    if not isinstance(item, Exception) and isinstance(item.message, types.JSONRPCResponse):
        result = item.message.result
        for key, found in result.items():
            if isinstance(found, list) and len(found) > MOST_PARTS:
                more = len(found) - MOST_PARTS
                found[MOST_PARTS:] = (
                    [_text(f"… and {more:,} more parts, which are left out.")] if key == CONTENT else []
                )
        _without_forms(result.get("tools"))
        _with_known_parts(result.get(CONTENT))
    return item


def _without_forms(tools: Any) -> None:
    """Leave out the forms of results: checking them would run a stranger's expressions, and they promise nothing."""
    for tool in tools if isinstance(tools, list) else ():
        if isinstance(tool, dict):
            tool.pop("outputSchema", None)


def _with_known_parts(content: Any) -> None:
    """Put a sentence in place of parts of a kind that is not known, for which all others would not be read either."""
    for number, part in enumerate(content if isinstance(content, list) else ()):
        if isinstance(part, dict) and part.get("type") not in KNOWN:
            content[number] = _text(f"(a part of a kind that is not known here: {one_line(str(part.get('type')), 40)})")


def _text(said: str) -> dict[str, str]:
    return {"type": "text", "text": said}


@asynccontextmanager
async def bounded(transport: AbstractAsyncContextManager[Streams], fault: Fault) -> AsyncIterator[Streams]:
    """Open a way to a server whose messages are bounded."""
    async with transport as (read, write):
        incoming = BoundedIn(read, fault)
        yield incoming, CountedOut(write, incoming)
