"""Keeps a model's thoughts out of its answer."""

from __future__ import annotations

OPENINGS = ("<think>", "<thinking>")


class ThoughtFilter:
    """Removes one `<think>…</think>` block (or `<thinking>…`) from the start of an answer, however it is cut.

    A tag later in the answer is the model's subject, not its thoughts, and stays.
    """

    __slots__ = ("_closing", "_held", "_state")

    def __init__(self) -> None:
        self._held = ""
        self._closing = ""
        self._state = "start"

    @property
    def thinking(self) -> bool:
        """True while a block is open."""
        return self._state == "thinking"

    def feed(self, text: str) -> str:
        """Return what of the answer can be shown now."""
        if self._state == "answer":
            return text
        self._held += text
        if self._state == "start":
            self._look_for_opening()
        if self._state == "thinking":
            self._look_for_closing()
        if self._state == "gap":
            self._skip_gap()
        return self._release()

    def finish(self) -> str:
        """Return what was held back and turned out to be answer; an unfinished thought is dropped."""
        shown = "" if self._state in {"thinking", "gap"} else self._held
        self._held, self._state = "", "answer"
        return shown

    def _look_for_opening(self) -> None:
        begun = self._held.lstrip()
        for opening in OPENINGS:
            if begun.startswith(opening):
                self._closing = opening.replace("<", "</")
                self._held = begun[len(opening) :]
                self._state = "thinking"
                return
        if begun and not any(opening.startswith(begun) for opening in OPENINGS):
            self._state = "answer"

    def _look_for_closing(self) -> None:
        _, found, after = self._held.partition(self._closing)
        if found:
            self._held = after
            self._state = "gap"
        else:  # only as much is kept as could be the first half of the closing tag
            self._held = self._held[-len(self._closing) :]

    def _skip_gap(self) -> None:
        self._held = self._held.lstrip()
        if self._held:
            self._state = "answer"

    def _release(self) -> str:
        if self._state != "answer":
            return ""
        shown, self._held = self._held, ""
        return shown
