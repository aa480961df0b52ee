"""A table as it was read, before anything is typed: its header found, its rows evened out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from plugins.api import ToolFailure
from plugins.data import dates, numbers

MOST_CELLS = 20_000_000


@dataclass(slots=True)
class Sheet:
    """A table as read: `columns[i]` are the raw cells of `names[i]`, all equally long."""

    name: str
    names: list[str]
    columns: list[list[Any]]
    notes: list[str] = field(default_factory=list)
    comma_likely: bool = False
    headed: bool = True

    @property
    def rows(self) -> int:
        """The number of rows, without the header."""
        return len(self.columns[0]) if self.columns else 0


def from_rows(name: str, rows: list[list[Any]], notes: list[str], *, comma_likely: bool = False) -> Sheet:
    """Make a sheet of rows: find the header, even the rows out, and say what was odd."""
    if not rows:
        return Sheet(name, [], [])
    if len(rows) * max(len(rows[0]), 1) > MOST_CELLS:
        raise ToolFailure(f"'{name}' has more than {MOST_CELLS:,} cells.", hint="Use a smaller extract of it.")
    width = Counter(_width(row) for row in rows[:1000]).most_common(1)[0][0] or max(map(_width, rows[:1000]))
    skipped = 0
    while skipped < min(len(rows) - 1, 20) and _width(rows[skipped]) < max(width * 0.6, min(width, 2)):
        skipped += 1
    if skipped:
        notes.append(f"{count(skipped, 'line')} above the table's header {'was' if skipped == 1 else 'were'} skipped.")
    body = rows[skipped:]
    width = max(width, _width(body[0]))
    headed = _is_header(body)
    names = distinct_names(body[0] if headed else [], width)
    if not headed:
        notes.append(f"The file has no header line, so its columns are called {names[0]} to {names[-1]}.")
    body = body[1:] if headed else body
    odd = sum(_width(row) > width for row in body)
    if odd:
        notes.append(f"{count(odd, 'row')} had more cells than the header; the surplus was left out.")
    blank: list[Any] = [""] * width
    even = [row if len(row) == width else (row + blank)[:width] for row in body]
    columns = [list(cells) for cells in zip(*even, strict=True)] if even else [[] for _ in range(width)]
    return Sheet(name, names, columns, notes, comma_likely, headed)


def _width(row: Sequence[Any]) -> int:
    """The number of cells up to the last filled one."""
    width = len(row)
    while width and row[width - 1] in ("", None):
        width -= 1
    return width


def _is_header(rows: list[list[Any]]) -> bool:
    """A first line is a header unless it holds numbers or dates, or only repeats what stands below it."""
    first = [cell for cell in rows[0] if cell not in ("", None)]
    if not first:
        return True
    if any(_is_value(cell) for cell in first) and not all(_is_yearly(cell) or not _is_value(cell) for cell in first):
        return False
    texts = [str(cell).strip().casefold() for cell in first]
    if len(rows) > 3 and not any(_is_value(cell) for row in rows[1:20] for cell in row):
        return not any(
            t in {str(c).strip().casefold() for c in column}
            for t, column in zip(texts, zip(*_even(rows[1:500]), strict=True), strict=False)
        )
    return True


def _even(rows: list[list[Any]]) -> list[list[Any]]:
    width = max(map(len, rows))
    return [row + [""] * (width - len(row)) for row in rows]


def _is_value(cell: Any) -> bool:
    if not isinstance(cell, str):
        return True
    return numbers.written(cell) is not None or dates.parse(cell) is not None


def _is_yearly(cell: Any) -> bool:
    """Years, months and quarters head the columns of pivoted tables: `region, 2023, 2024`."""
    text = str(cell).removesuffix(".0").strip()
    if re.fullmatch(r"(19|20)\d\d", text):
        return True
    moment = dates.parse(text)
    return isinstance(moment, dates.Moment) and moment.precision in {"month", "quarter", "week"}


def distinct_names(header: Sequence[Any], width: int) -> list[str]:
    """Give every column a name of its own."""
    names: list[str] = []
    for index in range(width):
        cell = header[index] if index < len(header) else ""
        if isinstance(cell, float) and cell.is_integer():
            cell = int(cell)
        base = " ".join(str("" if cell is None else cell).split()) or f"column_{index + 1}"
        name, number = base, 2
        while name.casefold() in {known.casefold() for known in names}:
            name, number = f"{base}_{number}", number + 1
        names.append(name)
    return names


def count(number: int, noun: str) -> str:
    """Return `1 row` or `12,345 rows`."""
    return f"{number:,} {noun if number == 1 else noun + 's'}"
