"""A plan as a picture: levels from top to bottom, drawn as SVG by the page's template.

Where a step stands within its level follows the steps that it needs, so that few lines cross.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.domain.run import StepRecord

WIDE, HIGH, ACROSS, DOWN, MARGIN = 184, 46, 20, 34, 8
MOST_DRAWN = 150
LABEL_CHARS = 24
BEND, BEND_WIDE = "\0", 10  # no step's id begins so


@dataclass(frozen=True, slots=True)
class Node:
    """A step's box, its top left corner in pixels."""

    id: str
    label: str
    status: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Picture:
    """All boxes, and the lines between them as SVG paths."""

    nodes: tuple[Node, ...]
    lines: tuple[str, ...]
    width: float
    height: float


def picture_of(records: Sequence[StepRecord]) -> Picture | None:
    """Return the picture of a plan; None for one without steps, or with more than can be looked at."""
    if not 0 < len(records) <= MOST_DRAWN:
        return None
    needs = _needs_of(records)
    rows, ways = _with_bends(_levels(needs), needs)
    rows = _ordered(rows, _all_above(ways))
    width = 2 * MARGIN + max(_wide(row) for row in rows)
    tops = _corners(rows, width)
    nodes = tuple(
        Node(record.step.id, _short(record.step.label), record.status.value, *tops[record.step.id])
        for record in records
    )
    lines = tuple(_line([tops[name] for name in way], way) for way in ways)
    return Picture(nodes, lines, width, 2 * MARGIN + len(rows) * (HIGH + DOWN) - DOWN)


def _needs_of(records: Sequence[StepRecord]) -> dict[str, tuple[str, ...]]:
    known = {record.step.id for record in records}
    return {
        record.step.id: tuple(name for name in dict.fromkeys(_needs(record)) if name in known) for record in records
    }


def _needs(record: StepRecord) -> tuple[str, ...]:
    step = record.step
    return (*step.depends_on, *(step.pipe.after if step.pipe else ()))


def _levels(needs: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Return the steps by the longest way to them; what a broken plan has in a circle comes last."""
    users: dict[str, list[str]] = {name: [] for name in needs}
    for name, wanted in needs.items():
        for need in wanted:
            users[need].append(name)
    waiting = {name: len(wanted) for name, wanted in needs.items()}
    row = [name for name, count in waiting.items() if not count]
    rows: list[list[str]] = []
    while row:
        rows.append(row)
        following: list[str] = []
        for user in (user for name in row for user in users[name]):
            waiting[user] -= 1
            following += [user] if not waiting[user] else []
        row = following
    drawn = {name for names in rows for name in names}
    left = [name for name in needs if name not in drawn]
    return [*rows, left] if left else rows


def _with_bends(rows: list[list[str]], needs: Mapping[str, Sequence[str]]) -> tuple[list[list[str]], list[list[str]]]:
    """Return the rows with a bend in each that a line only passes, and each line as the names on its way."""
    place = {name: number for number, row in enumerate(rows) for name in row}
    made = [list(row) for row in rows]
    ways = []
    for name, wanted in needs.items():
        for need in wanted:
            way = [need]
            for row in range(place[need] + 1, place[name]):
                way.append(f"{BEND}{need}:{name}:{row}")
                made[row].append(way[-1])
            ways.append([*way, name])
    return made, ways


def _all_above(ways: Iterable[Sequence[str]]) -> dict[str, list[str]]:
    above: dict[str, list[str]] = {}
    for way in ways:
        for start, end in pairwise(way):
            above.setdefault(end, []).append(start)
    return above


def _ordered(rows: list[list[str]], above: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Return each row by where the names above its own stand, in the middle."""
    middle: dict[str, float] = {}
    made = []
    for row in rows:
        middle |= {name: (place + 0.5) / len(row) for place, name in enumerate(row)}
        wanted = {name: _mean([middle[one] for one in above.get(name, ())], middle[name]) for name in row}
        made.append(sorted(row, key=wanted.__getitem__))
        middle |= {name: (place + 0.5) / len(row) for place, name in enumerate(made[-1])}
    return made


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _corners(rows: Iterable[Sequence[str]], width: float) -> dict[str, tuple[float, float]]:
    """Return the top left corner of everything, each row in the middle."""
    made = {}
    for number, row in enumerate(rows):
        x = (width - _wide(row)) / 2
        for name in row:
            made[name] = (x, float(MARGIN + number * (HIGH + DOWN)))
            x += _width(name) + ACROSS
    return made


def _width(name: str) -> int:
    return BEND_WIDE if name.startswith(BEND) else WIDE


def _wide(row: Sequence[str]) -> float:
    return sum(_width(name) + ACROSS for name in row) - ACROSS


def _line(corners: Sequence[tuple[float, float]], names: Sequence[str]) -> str:
    """Return an SVG path from the bottom of the first, straight down through bends, to the top of the last."""
    (x, y), last = corners[0], len(names) - 1
    x, y = x + _width(names[0]) / 2, y + HIGH
    path = f"M{x:.0f} {y:.0f}"
    for number in range(1, last + 1):
        to_x, to_y = corners[number][0] + _width(names[number]) / 2, corners[number][1]
        half = (to_y - y) / 2
        path += f"C{x:.0f} {y + half:.0f} {to_x:.0f} {to_y - half:.0f} {to_x:.0f} {to_y:.0f}"
        x, y = to_x, to_y + (HIGH if number < last else 0)
        path += f"L{x:.0f} {y:.0f}" if number < last else ""
    return path


def _short(label: str) -> str:
    flat = " ".join(label.split())
    return flat if len(flat) <= LABEL_CHARS else flat[: LABEL_CHARS - 1] + "…"
