"""What reading a plan yields, whichever notation it is in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.domain.plan import PlanStep

Signatures = Mapping[str, Sequence[str]]
"""Tool name → its parameter names in order, so that arguments may be given by position."""

MAX_LINE = 64_000
"""Characters of one step. A longer one is refused and skipped: an endless line costs no more than its length."""

MAX_NESTING = 32
"""Levels of lists and dictionaries within an argument."""


@dataclass(frozen=True, slots=True)
class ReadStep:
    """A whole step, well formed; whether it makes sense is the planner's to check. `line` is how it was written."""

    step: PlanStep
    line: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that was meant as a step and is not one. `line` is shortened, `reason` says what to change."""

    line: str
    reason: str
    step_id: str = ""


@dataclass(frozen=True, slots=True)
class Title:
    """The plan's title."""

    text: str


@dataclass(frozen=True, slots=True)
class Prose:
    """A line that is no part of a plan."""

    text: str


@dataclass(frozen=True, slots=True)
class AnswerText:
    """A piece of an answer that is given instead of a plan."""

    text: str


@dataclass(frozen=True, slots=True)
class End:
    """The plan says that it is complete."""


Read = ReadStep | Refused | Title | Prose | AnswerText | End


class Reader(Protocol):
    """Reads a plan piece by piece."""

    def feed(self, text: str) -> list[Read]:
        """Take the next piece of the model's answer and return what became complete with it."""

    def close(self) -> list[Read]:
        """Return what is left at the end of the answer."""


class Unreadable(ValueError):
    """A line that does not follow the notation; the message says where and how."""


def shortened(line: str, limit: int = 160) -> str:
    """Return the line on one row, printable, at most `limit` characters."""
    flat = " ".join(line[: limit * 2].split())
    printable = "".join(char if char.isprintable() else "?" for char in flat)
    return printable if len(printable) <= limit and len(line) <= limit * 2 else printable[: limit - 1] + "…"
