"""Server-sent events, decoded from bytes that may be cut anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.errors import ModelRubbish

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_LINE = 16 * 1024 * 1024
DONE = b"[DONE]"


class EventDecoder:
    """Turns the bytes of a stream into the payloads of its events.

    Lines end with LF or CRLF. Several `data:` lines of one event are joined with a line feed; comments and other fields
    are skipped. A bare line that starts with `{` counts as an event too: some servers write their errors that way.
    Raises ModelRubbish for a line of more than 16 MiB. Works on bytes throughout, so that a character which is cut in
    two by a packet is whole again before it is decoded.
    """

    __slots__ = ("_data", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the payload of every event that `chunk` completes."""
        lines = (self._rest + chunk).split(b"\n") if self._rest else chunk.split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > LONGEST_LINE:
            raise ModelRubbish("The model server sent a line of more than 16 MiB.", hint="Check the server's log.")
        for line in lines:
            yield from self._line(line)

    def finish(self) -> Iterator[bytes]:
        """Yield what the end of the stream completes; servers do leave out the last empty line."""
        if self._rest:
            yield from self._line(self._rest)
            self._rest = b""
        yield from self._line(b"")

    def _line(self, line: bytes) -> Iterator[bytes]:
        line = line.removesuffix(b"\r")
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
        elif not line:
            if self._data:
                yield self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                self._data = []
        elif line.startswith(b"{"):
            yield line
