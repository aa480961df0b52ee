"""A job's output as it arrives: the beginning and the end are kept, the middle is counted."""

from __future__ import annotations

from sandbox.api import Captured


class Capture:
    """Keeps at most `limit` bytes of a stream of any length."""

    def __init__(self, limit: int) -> None:
        self._half = max(limit // 2, 1)
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0

    def feed(self, data: bytes) -> None:
        """Take in the next bytes."""
        self.total += len(data)
        room = self._half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        if len(self._tail) > 4 * self._half:  # cut now and then, not on every read
            del self._tail[: -self._half]

    def result(self) -> Captured:
        """Return what was kept, as text."""
        tail = self._tail[-self._half :]
        dropped = self.total - len(self._head) - len(tail)
        if not dropped:
            return Captured(head=(self._head + tail).decode(errors="replace"))
        return Captured(self._head.decode(errors="replace"), tail.decode(errors="replace"), dropped)
