"""Conditions on rows, as people write them: `region = North and year = 2024`, `product contains tea`, `2024`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from plugins.api import ToolFailure
from plugins.data import dates, names, numbers, periods, vocabulary
from plugins.data.tables import Column, Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_AND = re.compile(r"\s+(?:and|und|et)\s+|\s*[;&]+\s*", re.IGNORECASE)
_TEST = re.compile(
    r"(?P<name>.+?)\s*(?P<how>!=|<>|>=|<=|==|=|>|<|\bcontains\b|\bis not\b|\bis\b|\bin\b)\s*(?P<value>.+)",
    re.IGNORECASE | re.DOTALL,
)
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "==": operator.eq,
    "is": operator.eq,
    "in": operator.eq,
    "!=": operator.ne,
    "<>": operator.ne,
    "is not": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}


def keep(table: Table, where: str) -> NDArray[np.bool_]:
    """Return which rows fulfil the condition; rows whose cell is blank or unreadable fulfil none."""
    import numpy as np

    kept = np.ones(table.rows, dtype=bool)
    for part in _AND.split(where.strip()):
        kept &= _one(table, part.strip())
    if not kept.any():
        raise ToolFailure(
            f"No row of {table.file} fulfils '{where}'.", hint="Check the spelling of the value, or leave it out."
        )
    return kept


def _one(table: Table, text: str) -> NDArray[np.bool_]:
    match = _TEST.fullmatch(text)
    if match is None:
        return _bare(table, text)
    how = " ".join(match["how"].lower().split())
    value = match["value"].strip().strip("'\"")
    period, rest = names.period_in(match["name"])
    if period and not any(vocabulary.plain(name) == vocabulary.plain(match["name"]) for name in table.names):
        column = names.date_column(table, rest)
        if column is not None:
            return _period(column, period, how, value)
    return _column(names.find(table, match["name"].strip()), how, value)


def _bare(table: Table, text: str) -> NDArray[np.bool_]:
    """`2024`, `March 2024` or a value that stands in exactly one column, such as `North`."""
    if re.fullmatch(r"(19|20)\d\d", text) and (column := names.date_column(table)):
        return _period(column, "year", "=", text)
    moment = dates.parse(text)
    if isinstance(moment, dates.Moment) and (column := names.date_column(table)):
        period: periods.Period = "day" if moment.precision == "time" else moment.precision
        return _period(column, period, "=", text)
    wanted = text.strip("'\"").casefold()
    having = [column for column in table.all() if any(cell.casefold() == wanted for cell in column.texts())]
    if len(having) == 1:
        return _column(having[0], "=", text)
    raise ToolFailure(
        f"The condition '{text}' is not understood.", hint="Write it like: region = North and amount > 100."
    )


def _period(column: Column, period: periods.Period, how: str, value: str) -> NDArray[np.bool_]:
    import numpy as np

    assert column.dates is not None
    valid = ~np.isnat(column.dates)
    found = np.zeros(len(column), dtype=bool)
    distinct = {int(n) for n in np.unique(periods.numbers(column.dates[valid], period))}
    named = [n for n in distinct if value.casefold() in _spellings(n, period)]
    target = named[0] if named else _period_number(value, period)
    found[valid] = _COMPARE[how](periods.numbers(column.dates[valid], period), target)
    return found


def _spellings(number: int, period: periods.Period) -> set[str]:
    label = periods.label(number, period).casefold()
    return {
        label,
        periods.key(number, period).casefold(),
        label[:3] if period in {"weekday", "month of year"} else label,
    }


def _period_number(value: str, period: periods.Period) -> int:
    import numpy as np

    moment = dates.parse(value)
    if re.fullmatch(r"\d{4}", value) and period == "year":
        return int(value) - 1970
    if isinstance(moment, dates.Moment) and periods.fits(moment.precision, period):
        return int(periods.numbers(np.array([moment.at], dtype="datetime64[s]"), period)[0])
    word = value.casefold()
    if period == "month" and word in dates.MONTH_NUMBERS:
        raise ToolFailure(
            f"'{value}' names no year.", hint=f"Write for example: month = {value} 2024, or: month of year = {value}."
        )
    return -(10**9)


def _column(column: Column, how: str, value: str) -> NDArray[np.bool_]:
    import numpy as np

    if how == "contains":
        hit = [value.casefold() in cell.casefold() for cell in column.texts()]
        return np.array(hit, dtype=bool)[column.codes]
    compare = _COMPARE[how]
    if column.kind == "number" and column.numbers is not None:
        number = numbers.read([value]).found[0]
        if number is None:
            raise ToolFailure(
                f"'{column.name}' holds numbers, and '{value}' is none.", hint="Compare it with a number."
            )
        with np.errstate(invalid="ignore"):
            return np.asarray(compare(column.numbers, number[0]) & ~np.isnan(column.numbers), dtype=bool)
    if column.kind == "date" and column.dates is not None:
        return _dates(column, how, value)
    wanted = value.casefold()
    hit = [bool(cell) and bool(compare(cell.casefold(), wanted)) for cell in column.texts()]
    return np.array(hit, dtype=bool)[column.codes]


def _dates(column: Column, how: str, value: str) -> NDArray[np.bool_]:
    moment = dates.parse(value)
    if isinstance(moment, dates.Unsure):
        moment = moment.moment("dmy")
    if re.fullmatch(r"\d{4}", value):
        return _period(column, "year", how, value)
    if not isinstance(moment, dates.Moment):
        raise ToolFailure(f"'{value}' is no date.", hint="Write it like 2024-03-31.")
    period: periods.Period = "day" if moment.precision == "time" else moment.precision
    return _period(column, period, how, moment.at.date().isoformat() if period == "day" else value)
