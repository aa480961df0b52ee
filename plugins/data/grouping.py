"""Rows into groups: by a calendar period, by a column's values, by ranges of a number."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from plugins.api import ToolFailure
from plugins.data import dates, names, periods, vocabulary
from plugins.data.tables import Column, Table
from plugins.data.wording import rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Grouping:
    """Which group each row is in: `codes` index `keys` and `labels` (-1: in none). `noun` is what a group is called.

    `ordered` groups have an order of their own (time, sizes). `steps` are a running period's numbers, ascending.
    """

    noun: str
    codes: NDArray[np.int64]
    keys: tuple[str | int | float, ...]
    labels: tuple[str, ...]
    ordered: bool
    period: periods.Period | None = None
    steps: tuple[int, ...] = ()
    dates: Column | None = None

    @property
    def running(self) -> bool:
        """True when the groups follow each other in time."""
        return self.period in periods.RUNNING


def group(table: Table, by: str, kept: NDArray[np.bool_], *, coarse: bool = False) -> Grouping:
    """Group the kept rows by a column or a calendar period. `coarse` joins many days to weeks or months."""
    named = next((name for name in table.names if vocabulary.plain(name) == vocabulary.plain(by)), None)
    if named is not None:
        column = table.column(named)
        period, _ = names.period_in(by)
        if column.kind != "date" and period in {"month", "quarter", "week"}:
            dated = _parts(table, column, period, kept)
            if dated is not None:
                return dated
        return _by_column(table, column, period, kept, coarse=coarse)
    period, rest = names.period_in(by)
    if period is not None:
        column_or_none = names.date_column(table, rest)
        if column_or_none is not None:
            return _by_period(table, column_or_none, period, kept)
        if not rest:
            return _no_dates(table, by, period, kept)
    return _by_column(table, names.find(table, by), None, kept, coarse=coarse)


def _no_dates(table: Table, by: str, period: periods.Period, kept: NDArray[np.bool_]) -> Grouping:
    """No column holds dates: then one that is named like the period may still do (`Monat`, `order_month`)."""
    for name in table.names:
        if any(periods.WORDS.get(vocabulary.singular(word)) == period for word in vocabulary.words(name)):
            column = table.column(name)
            table.note(f"'{by}' was taken to be the column '{column.name}'.")
            dated = _parts(table, column, period, kept)
            return dated if dated is not None else _by_column(table, column, None, kept, coarse=False)
    raise ToolFailure(
        f"{table.file} has no column of dates, so it can't be grouped by {by}.",
        hint=f"Its columns are {names.inventory(table)}.",
    )


def _by_column(
    table: Table,
    column: Column,
    period: periods.Period | None,
    kept: NDArray[np.bool_],
    *,
    coarse: bool,
) -> Grouping:
    if column.kind == "date":
        natural = period or _natural(column, kept, coarse=coarse)
        return _by_period(table, column, natural, kept, noun=_noun(column) if natural == "day" else natural)
    if column.kind == "empty":
        raise ToolFailure(
            f"The column '{column.name}' of {table.file} is empty.", hint=f"Its columns are {names.inventory(table)}."
        )
    table.note_column(column)
    if column.kind == "number":
        return _by_number(table, column, kept)
    return _by_text(table, column, kept)


def _natural(column: Column, kept: NDArray[np.bool_], *, coarse: bool) -> periods.Period:
    """The period that a bare date column is shown by."""
    import numpy as np

    if column.precision in {"month", "quarter", "week"}:
        return column.precision
    if not coarse:
        return "day"
    assert column.dates is not None
    known = column.dates[kept & ~np.isnat(column.dates)]
    span = int((known.max() - known.min()) / np.timedelta64(1, "D")) if len(known) else 0
    return "day" if span <= 120 else "week" if span <= 800 else "month"


def _by_period(
    table: Table,
    column: Column,
    period: periods.Period,
    kept: NDArray[np.bool_],
    noun: str = "",
) -> Grouping:
    import numpy as np

    if not periods.fits(column.precision, period):
        raise ToolFailure(
            f"'{column.name}' of {table.file} only names the {column.precision}, so it can't be grouped by {period}.",
            hint="Group by a longer period.",
        )
    table.note_column(column)
    assert column.dates is not None
    dated = kept & ~np.isnat(column.dates)
    _left_out(table, column, int((kept & ~dated).sum()), "date")
    steps, inverse = np.unique(periods.numbers(column.dates[dated], period), return_inverse=True)
    codes = np.full(len(column), -1, dtype=np.int64)
    codes[dated] = inverse
    numbers = tuple(int(step) for step in steps)
    return Grouping(
        noun or period,
        codes,
        tuple(periods.key(n, period) for n in numbers),
        tuple(periods.label(n, period) for n in numbers),
        ordered=True,
        period=period,
        steps=numbers,
        dates=column,
    )


def _noun(column: Column) -> str:
    """`Month` as a column's name reads better as a word."""
    return column.name.lower() if vocabulary.plain(column.name) in periods.WORDS else column.name


def _left_out(table: Table, column: Column, number: int, what: str) -> None:
    if number:
        bad = f" (such as '{column.bad_sample}')" if column.bad_sample else ""
        verb = "was" if number == 1 else "were"
        table.note(f"{rows(number)} without a readable {what} in '{column.name}'{bad} {verb} left out.")


def _by_number(table: Table, column: Column, kept: NDArray[np.bool_]) -> Grouping:
    import numpy as np

    assert column.numbers is not None
    known = kept & ~np.isnan(column.numbers)
    _left_out(table, column, int((kept & ~known).sum()), "number")
    values, inverse = np.unique(column.numbers[known], return_inverse=True)
    codes = np.full(len(column), -1, dtype=np.int64)
    codes[known] = inverse
    keys = tuple(int(v) if float(v).is_integer() else float(v) for v in values)
    return Grouping(
        _noun(column),
        codes,
        keys,
        tuple(f"{key:g}" if isinstance(key, float) else str(key) for key in keys),
        ordered=True,
    )


def _by_text(table: Table, column: Column, kept: NDArray[np.bool_]) -> Grouping:
    """Spellings that differ only in case or spaces are one group, named as most rows name it."""
    import numpy as np

    counts = np.bincount(column.codes[kept], minlength=len(column.distinct))
    texts = column.texts()
    spellings: dict[str, Counter[str]] = {}
    for text, number in zip(texts, counts, strict=True):
        if text and number:
            spellings.setdefault(text.casefold(), Counter())[text] += int(number)
    order = {folded: index for index, folded in enumerate(spellings)}
    of_cell = np.array([order.get(text.casefold(), -1) if text else -1 for text in texts], dtype=np.int64)
    codes = np.where(kept, of_cell[column.codes], -1)
    _left_out(table, column, int((kept & (codes < 0)).sum()), "value")
    labels = tuple(found.most_common(1)[0][0] for found in spellings.values())
    merged = next((found for found in spellings.values() if len(found) > 1), None)
    if merged:
        table.note(f"Spellings such as {names.listed(sorted(merged)[:3])} in '{column.name}' were counted as one.")
    return _in_calendar_order(Grouping(_noun(column), codes, labels, labels, ordered=False))


def _in_calendar_order(found: Grouping) -> Grouping:
    """Names of months or weekdays keep the calendar's order."""
    import numpy as np

    for known in (dates.MONTH_NUMBERS, dates.WEEKDAY_NUMBERS):
        ranks = [known.get(label.casefold().strip(".")) for label in found.labels]
        if len(ranks) > 1 and None not in ranks:
            order = sorted(range(len(ranks)), key=lambda index: ranks[index] or 0)
            place = np.empty(len(order) + 1, dtype=np.int64)
            place[order] = np.arange(len(order))
            place[-1] = -1
            labels = tuple(found.labels[index] for index in order)
            return Grouping(found.noun, place[found.codes], labels, labels, ordered=True)
    return found


def _parts(table: Table, column: Column, period: periods.Period, kept: NDArray[np.bool_]) -> Grouping | None:
    """A month, quarter or week in a column of its own, with the year in another: join them to `March 2024`."""
    import numpy as np

    year = next(
        (table.column(n) for n in table.names if periods.WORDS.get(vocabulary.singular(vocabulary.plain(n))) == "year"),
        None,
    )
    if year is None or year.numbers is None:
        return None
    if column.numbers is not None:
        part = column.numbers
    else:
        part = np.array([dates.MONTH_NUMBERS.get(text.casefold().strip("."), np.nan) for text in column.texts()])[
            column.codes
        ]
    most = {"month": 12, "quarter": 4, "week": 53}[period]
    with np.errstate(invalid="ignore"):
        known = kept & (part >= 1) & (part <= most) & (year.numbers > 1000)
    if not known.any() or (kept & ~known).sum() > 0.2 * kept.sum():
        return None
    _left_out(table, column, int((kept & ~known).sum()), period)
    steps, inverse = np.unique(
        _step(year.numbers[known].astype(np.int64), part[known].astype(np.int64), period), return_inverse=True
    )
    codes = np.full(len(column), -1, dtype=np.int64)
    codes[known] = inverse
    numbers = tuple(int(step) for step in steps)
    table.note(f"The {period} was taken from '{year.name}' and '{column.name}'.")
    return Grouping(
        period,
        codes,
        tuple(periods.key(n, period) for n in numbers),
        tuple(periods.label(n, period) for n in numbers),
        ordered=True,
        period=period,
        steps=numbers,
    )


def _step(years: NDArray[np.int64], parts: NDArray[np.int64], period: periods.Period) -> NDArray[np.int64]:
    import numpy as np

    if period == "week":
        fourth = np.array([f"{year}-01-04" for year in years], dtype="datetime64[D]").astype(np.int64)
        return np.asarray((fourth + 3) // 7 + parts - 1, dtype=np.int64)
    return np.asarray((years - 1970) * (12 if period == "month" else 4) + parts - 1, dtype=np.int64)
