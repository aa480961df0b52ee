"""Notices that a model has begun to repeat itself, at a cost that stays linear in the length of the text."""

from __future__ import annotations

WINDOW = 6_000
EVERY = 256
NEEDLE = 24
CANDIDATES = 100
LEAST_REPEATS = 5
LEAST_SPAN = 1_500


class RepetitionGuard:
    """Watches the end of a text for a line or phrase that comes again and again without anything in between.

    It speaks up when the last 1,500 characters or more are one passage of at most 1,200 characters, five times or more
    in a row. A long rule of dashes or a short list of equal values is therefore left alone.
    """

    __slots__ = ("_new", "_parts", "_tail")

    def __init__(self) -> None:
        self._tail = ""
        self._parts: list[str] = []
        self._new = 0

    def feed(self, text: str) -> bool:
        """Take more text; return True when the model is going round in circles."""
        self._parts.append(text)
        self._new += len(text)
        if self._new < EVERY:
            return False
        self._tail = (self._tail + "".join(self._parts))[-WINDOW:]
        self._parts.clear()
        self._new = 0
        return repeats(self._tail)


def repeats(text: str) -> bool:
    """Return True when the end of `text` is one passage over and over."""
    needle = text[-NEEDLE:]
    found = len(text) - NEEDLE
    for _ in range(CANDIDATES):  # a passage may itself hold its last words several times
        found = text.rfind(needle, 0, found + NEEDLE - 1)
        if found < 0:
            return False
        period = len(text) - NEEDLE - found
        span = max(LEAST_SPAN, period * LEAST_REPEATS)
        if span > len(text):
            return False
        if text[period - span :] == text[-span:-period]:
            return True
    return False
