"""A table with typed columns: what each column holds, how many cells are blank, and how many can't be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from plugins.data import dates, files, numbers
from plugins.data.dates import Precision
from plugins.data.sheets import Sheet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Kind = Literal["number", "date", "text", "empty"]
ENOUGH = 0.6
"""A column is of a kind when at least this share of its filled cells is."""

SKETCHED = 500
"""So many rows are enough to tell what a column holds."""


@dataclass(frozen=True, slots=True)
class Column:
    """A typed column. All arrays are as long as the table.

    `codes` gives each row's index in `distinct` (the raw cells in order of appearance). `numbers` are float64 with
    NaN, `dates` datetime64[s] with NaT; they are filled for columns of that kind only. `decimals` is the most digits
    after the point of any number (more than 15 means binary fractions). `unit` is `€`, `%`, … or "". `blank` and `bad`
    count cells.
    """

    name: str
    kind: Kind
    distinct: tuple[Any, ...]
    codes: NDArray[np.int64]
    blank: int = 0
    bad: int = 0
    bad_sample: str = ""
    numbers: NDArray[np.float64] | None = None
    dates: NDArray[np.datetime64] | None = None
    decimals: int = 0
    unit: str = ""
    precision: Precision = "day"
    notes: tuple[str, ...] = ()

    def texts(self) -> list[str]:
        """The distinct cells as text, trimmed; blank ones as ""."""
        return ["" if numbers.is_blank(cell) else " ".join(str(cell).split()) for cell in self.distinct]

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(slots=True)
class Table:
    """A sheet whose columns are typed when they are first asked for. `notes` grow with what a person should know."""

    file: str
    sheet: Sheet
    notes: list[str] = field(default_factory=list)
    _known: dict[str, Column] = field(default_factory=dict)
    _sketches: dict[str, Column] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The columns' names in the order of the file."""
        return self.sheet.names

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self.sheet.rows

    def column(self, name: str) -> Column:
        """Return a column by its exact name."""
        if name not in self._known:
            cells = self.sheet.columns[self.sheet.names.index(name)]
            self._known[name] = read(name, cells, comma_likely=self.sheet.comma_likely)
        return self._known[name]

    def quietly(self) -> Table:
        """Return the same table, sharing its typed columns, with notes of its own."""
        return Table(self.file, self.sheet, [], self._known, self._sketches)

    def all(self) -> list[Column]:
        """Return every column."""
        return [self.column(name) for name in self.names]

    def sketches(self) -> list[Column]:
        """Return every column as a part of its rows shows it: enough to tell its kind, and quick for long tables."""
        return [self._sketch(name) for name in self.names]

    def _sketch(self, name: str) -> Column:
        if name in self._known or self.rows <= 2 * SKETCHED:
            return self.column(name)
        if name not in self._sketches:
            cells = self.sheet.columns[self.sheet.names.index(name)][:: self.rows // SKETCHED]
            drawn = read(name, cells, comma_likely=self.sheet.comma_likely)
            self._sketches[name] = self.column(name) if drawn.kind == "empty" else drawn
        return self._sketches[name]

    def note(self, text: str) -> None:
        """Remember something that a person should know, once."""
        if text and text not in self.notes:
            self.notes.append(text)

    def note_column(self, column: Column) -> None:
        """Remember what was assumed about a column that is used."""
        for note in column.notes:
            self.note(f"In '{column.name}', {note}.")

    def note_unreadable(self, column: Column) -> None:
        """Remember how many cells of a column count as missing because they can't be read."""
        if column.bad:
            what = f"{column.bad:,} cell{'s' * (column.bad != 1)} of '{column.name}' (such as '{column.bad_sample}')"
            self.note(f"{what} can't be read as a {column.kind} and count as missing.")


def open_table(file: str, sheet: str = "") -> Table:
    """Read a file of the workspace; raise ToolFailure when it can't be read or has no rows."""
    found = files.load(file, sheet)
    return Table(file.rpartition("/")[2], found, list(found.notes))


def read(name: str, cells: Sequence[Any], *, comma_likely: bool = False) -> Column:
    """Find out what a column holds."""
    distinct, codes = factorize(cells)
    counts = _counts(codes, len(distinct))
    blanks = [numbers.is_blank(cell) for cell in distinct]
    blank = sum(count for count, empty in zip(counts, blanks, strict=True) if empty)
    if blank == len(cells):
        return Column(name, "empty", distinct, codes, blank=blank)
    filled = len(cells) - blank
    sample = [cell for cell, empty in zip(distinct, blanks, strict=True) if not empty]
    sample = sample[:: max(len(sample) // 200, 1)]
    for attempt in (_as_dates, _as_numbers):
        if attempt(name, tuple(sample), None, [1] * len(sample), len(sample), comma_likely=comma_likely, least=0.4):
            found = attempt(name, distinct, codes, counts, filled, comma_likely=comma_likely, least=ENOUGH)
            if found:
                return found
    return Column(name, "text", distinct, codes, blank=blank)


def factorize(cells: Sequence[Any]) -> tuple[tuple[Any, ...], NDArray[np.int64]]:
    """Return the distinct cells in order of appearance, and each cell's index among them."""
    import numpy as np

    known: dict[Any, int] = {}
    codes = np.fromiter((known.setdefault(cell, len(known)) for cell in cells), dtype=np.int64, count=len(cells))
    return tuple(known), codes


def _counts(codes: NDArray[np.int64], size: int) -> list[int]:
    import numpy as np

    return [int(n) for n in np.bincount(codes, minlength=size)]


def _as_dates(
    name: str,
    distinct: tuple[Any, ...],
    codes: NDArray[np.int64] | None,
    counts: list[int],
    filled: int,
    *,
    comma_likely: bool,
    least: float,
) -> Column | None:
    import numpy as np

    found = dates.read(distinct, name=name, day_first_likely=comma_likely)
    readable = sum(count for moment, count in zip(found.found, counts, strict=True) if moment)
    if readable < least * filled or not readable:
        return None
    if codes is None:
        codes = np.arange(len(distinct))
    values = np.array([moment.at if moment else None for moment in found.found], dtype="datetime64[s]")
    precisions = {moment.precision for moment in found.found if moment}
    coarse = [p for p in ("quarter", "month", "week", "day", "time") if p in precisions]
    return Column(
        name,
        "date",
        distinct,
        codes,
        dates=values[codes],
        precision=coarse[0],
        notes=(found.note,) if found.note else (),
        **_unread(distinct, counts, [moment is None for moment in found.found]),
    )


def _as_numbers(
    name: str,
    distinct: tuple[Any, ...],
    codes: NDArray[np.int64] | None,
    counts: list[int],
    filled: int,
    *,
    comma_likely: bool,
    least: float,
) -> Column | None:
    import numpy as np

    found = numbers.read(distinct, comma_likely=comma_likely)
    readable = sum(count for number, count in zip(found.found, counts, strict=True) if number)
    if readable < least * filled or not readable:
        return None
    if codes is None:
        codes = np.arange(len(distinct))
    values = np.array([number[0] if number else np.nan for number in found.found], dtype=np.float64)
    notes = [found.style.note] if found.style.note else []
    if len(found.units) > 1:
        notes.append(f"the units {' and '.join(found.units)} are mixed, and were taken as if they were one")
    return Column(
        name,
        "number",
        distinct,
        codes,
        numbers=values[codes],
        notes=tuple(notes),
        decimals=max(number[1] for number in found.found if number),
        unit=found.units[0] if len(found.units) == 1 else "",
        **_unread(distinct, counts, [number is None for number in found.found]),
    )


def _unread(distinct: tuple[Any, ...], counts: list[int], missing: list[bool]) -> dict[str, Any]:
    """Count blank and unreadable cells and keep one of the latter to show."""
    blank = bad = 0
    sample = ""
    for cell, count, gone in zip(distinct, counts, missing, strict=True):
        if gone and numbers.is_blank(cell):
            blank += count
        elif gone:
            bad += count
            sample = sample or str(cell)[:40]
    return {"blank": blank, "bad": bad, "bad_sample": sample}
