"""What host and box say to each other, in JSON.

*Control* is a pair of sequenced-packet sockets: one packet is one record, and a job's descriptors ride along with it.
*Events* is a pipe per job, from the job itself: four bytes of length, then a record. What arrives there was written by
code nobody trusts, so lengths are bounded and anything odd is an error of that job alone.
"""

from __future__ import annotations

import json
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PACKET = 32_768
EVENT_LIMIT = 4_000_000

_LENGTH = struct.Struct(">I")


class BadFrame(Exception):
    """The other side sent something that is no frame."""


def encode(record: dict[str, Any]) -> bytes:
    """Return a record as bytes."""
    return json.dumps(record, separators=(",", ":")).encode()


def decode(raw: bytes) -> dict[str, Any]:
    """Read what `encode` wrote; raise BadFrame for anything else."""
    try:
        record = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BadFrame("this is not JSON") from error
    if not isinstance(record, dict):
        raise BadFrame("this is not a record")
    return record


def framed(record: dict[str, Any]) -> bytes:
    """Return a record with its length before it; raise BadFrame when it is too large to be read on the other side."""
    body = encode(record)
    if len(body) > EVENT_LIMIT:
        raise BadFrame(f"{len(body)} bytes are more than {EVENT_LIMIT}")
    return _LENGTH.pack(len(body)) + body


class FrameReader:
    """Cuts a stream of bytes into records. After the first bad frame it takes in nothing more."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.broken = False

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Take in bytes and return the records that are complete."""
        if self.broken:
            return []
        self._buffer += data
        found: list[dict[str, Any]] = []
        at = 0
        try:
            while (end := self._end(at)) is not None:
                found.append(decode(bytes(self._buffer[at + _LENGTH.size : end])))
                at = end
        except BadFrame:
            self.stop()
        del self._buffer[:at]  # once for all of them: each time it moves what is left
        return found

    def stop(self) -> None:
        """Take in nothing more."""
        self.broken = True
        self._buffer.clear()

    def _end(self, at: int) -> int | None:
        """Return where the frame at `at` ends, None while it is not complete."""
        if len(self._buffer) < at + _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer, at)
        if length > EVENT_LIMIT:
            raise BadFrame("too long")
        end = at + _LENGTH.size + length
        return None if len(self._buffer) < end else end
