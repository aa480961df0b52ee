"""Numbers per group: exact sums, averages, medians, counts, and what had to be left out."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from plugins.api import ToolFailure
from plugins.data import filters, names, periods, vocabulary
from plugins.data.grouping import Grouping, group
from plugins.data.names import Measure
from plugins.data.tables import Column, Table, open_table
from plugins.data.vocabulary import How
from plugins.data.wording import quantity, rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Number = int | float | None


@dataclass(frozen=True, slots=True)
class Totals:
    """A number per group. `values[i]` belongs to `groups.labels[i]`; None where there is nothing to average.

    `total` is the same over all rows in a group; `used` and `counts` say how many rows stand behind the numbers.
    """

    table: Table
    title: str
    how: How
    groups: Grouping
    values: tuple[Number, ...]
    counts: tuple[int, ...]
    total: Number
    used: int
    unit: str = ""
    decimals: int = 2

    @property
    def notes(self) -> list[str]:
        """What a person should know about these numbers."""
        return self.table.notes

    @property
    def phrase(self) -> str:
        """What the numbers are: `revenue`, `average price`, `number of orders`."""
        spoken = {"average": "average ", "median": "median ", "count": "number of ", "distinct": "number of different "}
        spoken |= {"min": "lowest ", "max": "highest ", "sum": ""}
        return spoken[self.how] + self.title

    @property
    def adds_up(self) -> bool:
        """True when the numbers are parts of a whole."""
        return self.how in {"sum", "count"} and all(value is not None and value >= 0 for value in self.values)

    def show(self, value: Number) -> str:
        """Return a number in words, with its unit."""
        return quantity(value, self.unit, self.decimals)


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be computed: `y` per `by` (nothing: over all rows), `how`, of which rows, of which sheet."""

    file: str
    y: str
    by: str
    how: str = "sum"
    where: str = ""
    sheet: str = ""


def compute(asked: Question) -> Totals:
    """Read the file and compute the answer; raise ToolFailure with the way on when that is not possible."""
    table = open_table(asked.file, asked.sheet)
    return of_table(table, asked.y, asked.by, asked.how, where=asked.where)


def of_table(table: Table, y: str, by: str, how: str = "sum", *, where: str = "", coarse: bool = False) -> Totals:
    """Compute `y` per `by` of a table. An empty `by` gives one group with everything."""
    import numpy as np

    if not table.rows:
        raise ToolFailure(f"{table.file} has a header but no rows.", hint="Send a file with data.")
    kept = filters.keep(table, where) if where.strip() else np.ones(table.rows, dtype=bool)
    measure = names.measure(table, y or "rows")
    settled = _averaged(table, measure, settle(measure, how, y))
    groups = group(table, by, kept, coarse=coarse) if by.strip() else _everything(kept)
    if not groups.labels:
        raise ToolFailure(
            f"No row of {table.file} has a readable {groups.noun}.", hint=f"Its columns are {names.inventory(table)}."
        )
    found = per_group(table, measure, settled, groups)
    return found if groups.ordered else _largest_first(found)


def _everything(kept: NDArray[np.bool_]) -> Grouping:
    import numpy as np

    return Grouping("all", np.where(kept, 0, -1).astype(np.int64), ("all",), ("all",), ordered=True)


def settle(measure: Measure, how: str, y: str) -> How:
    """What was said with the column (`average price`) counts for more than the default."""
    asked = vocabulary.HOWS.get(vocabulary.plain(how))
    if asked is None:
        raise ToolFailure(
            f"'{how}' is no way to sum up '{y}'.",
            hint=f"Known are {', '.join(dict.fromkeys(vocabulary.HOWS.values()))}.",
        )
    if measure.how is not None and (asked == "sum" or measure.column is None):
        return measure.how
    return asked


def _averaged(table: Table, measure: Measure, how: How) -> How:
    """Rates, scores and temperatures make no sense when they are added up."""
    column = measure.column
    if how != "sum" or column is None or measure.times is not None or column.kind != "number":
        return how
    if column.unit != "%" and not vocabulary.LEVELS & set(vocabulary.words(column.name)):
        return how
    table.note(f"'{column.name}' was averaged: its sum would mean nothing.")
    return "average"


def per_group(table: Table, measure: Measure, how: How, groups: Grouping) -> Totals:
    """Compute the measure for every group."""
    import numpy as np

    size = len(groups.labels)
    column = measure.column
    if column is not None:
        table.note_column(column)
    if column is None or how == "count":
        inside = groups.codes >= 0
        if column is not None:
            inside &= _filled(column)
        counts = np.bincount(groups.codes[inside], minlength=size)
        sizes = tuple(int(n) for n in counts)
        return Totals(table, measure.title, how, groups, sizes, sizes, sum(sizes), sum(sizes), decimals=0)
    if how == "distinct":
        return _distinct(table, measure.title, column, groups)
    if column.numbers is None:
        raise ToolFailure(
            f"'{column.name}' of {table.file} holds {_held(column)}, so it has no {how}.", hint=_countable(table)
        )
    numbers, decimals = _numbers(table, column, measure.times)
    inside = (groups.codes >= 0) & ~np.isnan(numbers)
    _unreadable(table, column, groups, inside)
    if not inside.any():
        raise ToolFailure(f"No row of {table.file} has a number in '{column.name}'.", hint=_countable(table))
    values, total = _reduced(numbers[inside], groups.codes[inside], size, how, decimals)
    counts = np.bincount(groups.codes[inside], minlength=size)
    whole = how in {"sum", "min", "max"}
    shown = min(decimals, 2) if whole else 2
    unit = column.unit if measure.times is None else measure.times.unit
    return Totals(
        table,
        measure.title,
        how,
        groups,
        values,
        tuple(int(n) for n in counts),
        total,
        int(inside.sum()),
        unit,
        shown,
    )


def _held(column: Column) -> str:
    return {"text": "text", "date": "dates", "empty": "nothing"}.get(column.kind, column.kind)


def _countable(table: Table) -> str:
    found = [column.name for column in table.sketches() if column.kind == "number"]
    return (
        f"Columns of numbers are {', '.join(found)}."
        if found
        else "There is no column of numbers; rows can be counted."
    )


def _filled(column: Column) -> NDArray[np.bool_]:
    import numpy as np

    return np.array([bool(text) for text in column.texts()], dtype=bool)[column.codes]


def _numbers(table: Table, column: Column, times: Column | None) -> tuple[NDArray[np.float64], int]:
    assert column.numbers is not None
    if times is None:
        return column.numbers, column.decimals
    assert times.numbers is not None
    table.note_column(times)
    return column.numbers * times.numbers, column.decimals + times.decimals


def _unreadable(table: Table, column: Column, groups: Grouping, inside: NDArray[np.bool_]) -> None:
    missing = int(((groups.codes >= 0) & ~inside).sum())
    if missing:
        bad = f" ({column.bad:,} not readable, such as '{column.bad_sample}')" if column.bad else ""
        table.note(
            f"{rows(missing)} without a number in '{column.name}'{bad} {'was' if missing == 1 else 'were'} left out."
        )


def _distinct(table: Table, title: str, column: Column, groups: Grouping) -> Totals:
    import numpy as np

    inside = (groups.codes >= 0) & _filled(column)
    pairs = np.unique(np.stack([groups.codes[inside], column.codes[inside]]), axis=1)
    values = tuple(int(n) for n in np.bincount(pairs[0], minlength=len(groups.labels)))
    counts = tuple(int(n) for n in np.bincount(groups.codes[inside], minlength=len(groups.labels)))
    total = len(np.unique(column.codes[inside]))
    return Totals(table, title, "distinct", groups, values, counts, total, int(inside.sum()), decimals=0)


def _reduced(
    numbers: NDArray[np.float64],
    codes: NDArray[np.int64],
    size: int,
    how: How,
    decimals: int,
) -> tuple[tuple[Number, ...], Number]:
    """Return (value per group, value over all)."""
    if how in {"sum", "average"}:
        sums = exact_sums(numbers, codes, size, decimals)
        if how == "sum":
            return tuple(_plain(number, decimals) for number in sums), _plain(sum(sums), decimals)
        return _averages(sums, codes, size)
    return _ordered(numbers, codes, size, how, decimals)


def exact_sums(numbers: NDArray[np.float64], codes: NDArray[np.int64], size: int, decimals: int) -> list[Decimal]:
    """Add decimal fractions without rounding: as whole numbers of the last digit, or with fsum where that can't be."""
    import numpy as np

    scale = 10.0**decimals if decimals <= 9 else math.inf
    biggest = float(np.abs(numbers).max(initial=0.0)) * scale
    if biggest < 2**53 and biggest * len(numbers) < 2**62:
        totals = np.zeros(size, dtype=np.int64)
        np.add.at(totals, codes, np.rint(numbers * scale).astype(np.int64))
        return [Decimal(int(total)).scaleb(-decimals) for total in totals]
    order = np.argsort(codes, kind="stable")
    edges = np.searchsorted(codes[order], np.arange(size + 1))
    parts = [numbers[order[edges[i] : edges[i + 1]]] for i in range(size)]
    return [Decimal(repr(math.fsum(part.tolist()))) for part in parts]


def _plain(number: Decimal | int, decimals: int) -> Number:
    """The nearest JSON number: whole where it is whole."""
    if isinstance(number, int):
        return number
    return int(number) if decimals == 0 and number == number.to_integral() else float(number)


def _averages(sums: list[Decimal], codes: NDArray[np.int64], size: int) -> tuple[tuple[Number, ...], Number]:
    import numpy as np

    counts = [int(n) for n in np.bincount(codes, minlength=size)]
    values = tuple(float(total / count) if count else None for total, count in zip(sums, counts, strict=True))
    return values, float(sum(sums, Decimal(0)) / len(codes))


def _ordered(
    numbers: NDArray[np.float64],
    codes: NDArray[np.int64],
    size: int,
    how: How,
    decimals: int,
) -> tuple[tuple[Number, ...], Number]:
    import numpy as np

    pick: dict[str, Callable[[Any], Any]] = {"median": np.median, "min": np.min, "max": np.max}
    order = np.argsort(codes, kind="stable")
    edges = np.searchsorted(codes[order], np.arange(size + 1))
    parts = [numbers[order[edges[i] : edges[i + 1]]] for i in range(size)]
    settled = [_whole(float(pick[how](part)), decimals) if len(part) else None for part in parts]
    return tuple(settled), _whole(float(pick[how](numbers)), decimals)


def _whole(number: float, decimals: int) -> Number:
    return int(number) if decimals == 0 and number.is_integer() else number


def _largest_first(found: Totals) -> Totals:
    """Groups without an order of their own are shown by size."""
    key = [
        (-(value if value is not None else -math.inf), found.groups.labels[i]) for i, value in enumerate(found.values)
    ]
    order = sorted(range(len(key)), key=key.__getitem__)
    return select(found, order)


def select(found: Totals, order: list[int]) -> Totals:
    """Return the totals with the groups in the given order; groups that are not in it are dropped."""
    import numpy as np

    place = np.full(len(found.values) + 1, -1, dtype=np.int64)
    place[order] = np.arange(len(order))
    groups = replace(
        found.groups,
        codes=place[found.groups.codes],
        keys=tuple(found.groups.keys[i] for i in order),
        labels=tuple(found.groups.labels[i] for i in order),
        steps=tuple(found.groups.steps[i] for i in order) if found.groups.steps else (),
    )
    return replace(
        found,
        groups=groups,
        values=tuple(found.values[i] for i in order),
        counts=tuple(found.counts[i] for i in order),
    )


def extent(found: Totals) -> tuple[Any, Any] | None:
    """Return (first day, last day) of the data behind running periods."""
    import numpy as np

    column = found.groups.dates
    if column is None or column.dates is None or not found.groups.running or column.precision not in {"day", "time"}:
        return None
    days = column.dates[found.groups.codes >= 0].astype("datetime64[D]")
    return (np.min(days).item(), np.max(days).item()) if len(days) else None


def incomplete(found: Totals) -> list[int]:
    """Return the first and last period where the data begins or ends within it, beyond its usual gaps."""
    import numpy as np

    days, period, column = extent(found), found.groups.period, found.groups.dates
    if days is None or period is None or period == "day" or column is None or column.dates is None:
        return []
    known = np.unique(column.dates[found.groups.codes >= 0].astype("datetime64[D]")).astype(np.int64)
    gap = int(np.diff(known).max(initial=0))
    if not gap:
        return []
    steps = found.groups.steps
    missing = {0: days[0] - periods.start(steps[0], period)}
    last = len(steps) - 1
    missing[last] = max(
        missing.get(last, dt.timedelta()), periods.start(steps[-1] + 1, period) - days[1] - dt.timedelta(1)
    )
    return [
        index for index, lacking in missing.items() if lacking.days > max(gap - 1, 0.07 * _length(steps[index], period))
    ]


def _length(step: int, period: periods.Period) -> int:
    """Return the days of a period. A few missing at its end do not make it incomplete."""
    return (periods.start(step + 1, period) - periods.start(step, period)).days
