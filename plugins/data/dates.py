"""Dates as people write them: ISO, `31.12.2024`, `12/31/2024 2:05 PM`, `3 March 2024`, `2024-Q1`, `2024-W05`.

Whether `03/04/2024` is in March or April is decided for a whole column, from all its cells.
"""

# ruff: noqa: DTZ001  # a date stays the one that was written; no time zone is made up

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Precision = Literal["time", "day", "week", "month", "quarter"]
Order = Literal["dmy", "mdy"]

_TIME = (
    r"(?:[T ,]\s*(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,]\d{1,9})?)?"
    r"\s*(?P<half>[ap])?\.?(?:m\.?)?\s*(?:uhr)?\s*(?:z|utc|gmt|[+-]\d{2}:?\d{2})?)?"
)
_ISO = re.compile(rf"(?P<y>\d{{4}})(?P<sep>[-/.])(?P<m>\d{{1,2}})(?:(?P=sep)(?P<d>\d{{1,2}}){_TIME})?", re.IGNORECASE)
_NUMERIC = re.compile(
    rf"(?P<a>\d{{1,2}})(?P<sep>[./-])(?P<b>\d{{1,2}})(?P=sep)(?P<y>\d{{4}}|\d{{2}}){_TIME}", re.IGNORECASE
)
_MONTH_YEAR = re.compile(r"(?P<m>\d{1,2})[./-](?P<y>(?:19|20)\d{2})")
_COMPACT = re.compile(r"(?P<y>(?:19|20)\d{2})(?P<m>\d{2})(?P<d>\d{2})")
_QUARTER = re.compile(r"(?P<y>\d{4})[-/ ]?[qt](?P<q>[1-4])|[qt](?P<q2>[1-4])[-/ ]?(?P<y2>\d{4})", re.IGNORECASE)
_WEEK = re.compile(
    r"(?P<y>\d{4})[-/ ]?(?:w|kw)(?P<w>\d{1,2})|(?:w|kw)\s?(?P<w2>\d{1,2})[-/ ](?P<y2>\d{4})", re.IGNORECASE
)
_NAMED_TIME = re.compile(_TIME[:-1] + "$", re.IGNORECASE)
_WORDS = re.compile(r"[^\W\d_]+|\d+")

_MONTHS = (
    "january januar jänner janvier enero gennaio jan janv",
    "february februar février febrero febbraio feb févr fevr fev",
    "march märz mars marzo mar mär maerz mrz",
    "april avril abril aprile apr avr",
    "may mai mayo maggio",
    "june juni juin junio giugno jun",
    "july juli juillet julio luglio jul juil",
    "august août agosto aug aout",
    "september septembre septiembre settembre sep sept",
    "october oktober octobre octubre ottobre oct okt",
    "november novembre noviembre nov",
    "december dezember décembre diciembre dicembre dec dez déc",
)
MONTH_NUMBERS = {word: number for number, words in enumerate(_MONTHS, 1) for word in words.split()}
_WEEKDAYS = (
    "monday montag lundi mon mo lun",
    "tuesday dienstag mardi tue tues di mar",
    "wednesday mittwoch mercredi wed mi mer",
    "thursday donnerstag jeudi thu thur thurs do jeu",
    "friday freitag vendredi fri fr ven",
    "saturday samstag samedi sonnabend sat sa sam",
    "sunday sonntag dimanche sun so dim",
)
WEEKDAY_NUMBERS = {word: number for number, words in enumerate(_WEEKDAYS) for word in words.split()}
_FILLERS = frozenset(("of", "the", "de", "le", "th", "st", "nd", "rd", "er", "den", "der")) | {
    word for word in WEEKDAY_NUMBERS if word not in MONTH_NUMBERS
}
_DATE_NAME = re.compile(r"date|datum|time|zeit|stamp|\bts\b|created|erstellt|\bday\b|\btag\b|\bjour\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time as written and how exact it is."""

    at: dt.datetime
    precision: Precision = "day"


@dataclass(frozen=True, slots=True)
class Unsure:
    """`a/b/year`: day and month are told apart only by the whole column."""

    a: int
    b: int
    year: int
    separator: str
    clock: tuple[int, int, int] | None

    def moment(self, order: Order) -> Moment | None:
        """Return the moment in the given order, or in the only order that is possible."""
        day, month = (self.a, self.b) if order == "dmy" else (self.b, self.a)
        if month > 12 >= day:
            day, month = month, day
        return _moment(self.year, month, day, self.clock)


@dataclass(frozen=True, slots=True)
class Read:
    """What a column's distinct cells are as dates: a moment or None each, and what had to be assumed."""

    found: tuple[Moment | None, ...]
    note: str = ""


def read(cells: Sequence[Any], *, name: str = "", day_first_likely: bool = False) -> Read:
    """Read the distinct cells of the column `name`, in the order of the file, as dates."""
    parts = [_part(cell) for cell in cells]
    if not any(parts) and _DATE_NAME.search(name.replace("_", " ")):
        return _serial(cells)
    unsure = [part for part in parts if isinstance(part, Unsure)]
    order, note = _order(unsure, day_first_likely=day_first_likely) if unsure else ("dmy", "")
    found = tuple(part.moment(order) if isinstance(part, Unsure) else part for part in parts)
    return Read(found, note)


def _part(cell: Any) -> Moment | Unsure | None:
    if isinstance(cell, str):
        return parse(cell)
    if isinstance(cell, dt.datetime):
        bare = cell.replace(tzinfo=None)
        return Moment(bare, "day" if bare.time() == dt.time() else "time")
    if isinstance(cell, dt.date):
        return Moment(dt.datetime(cell.year, cell.month, cell.day))  # dates are wall-clock as written
    if isinstance(cell, int) and 19000101 <= cell <= 21001231:
        return parse(str(cell))
    return None


def parse(cell: str) -> Moment | Unsure | None:  # noqa: PLR0911  # one return per form
    """Read one cell. Offsets such as `+02:00` are dropped: the date stays the one that was written."""
    text = cell.strip()
    if not 4 < len(text) < 50 or not any(char.isdigit() for char in text):
        return None
    if match := _ISO.fullmatch(text):
        if match["d"] is None:
            if match["sep"] == ".":  # `1500.5` is a number
                return None
            return _moment(int(match["y"]), int(match["m"]), 1, None, "month")
        return _moment(int(match["y"]), int(match["m"]), int(match["d"]), _clock(match))
    if match := _NUMERIC.fullmatch(text):
        return Unsure(int(match["a"]), int(match["b"]), _year(match["y"]), match["sep"], _clock(match))
    if match := _COMPACT.fullmatch(text):
        return _moment(int(match["y"]), int(match["m"]), int(match["d"]), None)
    return _coarse(text) or (_named(text) if any(char.isalpha() for char in text) else None)


def _coarse(text: str) -> Moment | None:
    """Months, quarters and weeks."""
    if match := _MONTH_YEAR.fullmatch(text):
        return _moment(int(match["y"]), int(match["m"]), 1, None, "month")
    if match := _QUARTER.fullmatch(text):
        quarter = int(match["q"] or match["q2"])
        return _moment(int(match["y"] or match["y2"]), quarter * 3 - 2, 1, None, "quarter")
    if match := _WEEK.fullmatch(text):
        try:
            day = dt.date.fromisocalendar(int(match["y"] or match["y2"]), int(match["w"] or match["w2"]), 1)
        except ValueError:
            return None
        return _moment(day.year, day.month, day.day, None, "week")
    return None


def _named(text: str) -> Moment | None:
    """`3 March 2024`, `Mar 3, 2024`, `Sunday, 3. März 2024`, `Mar-24`, `2024 March`."""
    timed = _NAMED_TIME.search(text)
    clock = _clock(timed) if timed else None
    words = _WORDS.findall(text[: timed.start()] if timed else text)
    months = [MONTH_NUMBERS[word.casefold()] for word in words if word.casefold() in MONTH_NUMBERS]
    numbers = [word for word in words if word.isdigit()]
    others = [
        w for w in words if not w.isdigit() and w.casefold() not in MONTH_NUMBERS and w.casefold() not in _FILLERS
    ]
    if others or not months or len(months) > 2 or not 1 <= len(numbers) <= 2:
        return None
    if len(numbers) == 1:  # `Mar 2024`, `Mar-24`
        return _moment(_year(numbers[0]), months[-1], 1, None, "month") if len(numbers[0]) in {2, 4} else None
    day, year = (numbers[1], numbers[0]) if len(numbers[0]) == 4 else (numbers[0], numbers[1])
    return _moment(_year(year), months[-1], int(day), clock)


def _year(text: str) -> int:
    year = int(text)
    return year if len(text) > 2 else year + (2000 if year < 69 else 1900)


def _clock(match: re.Match[str]) -> tuple[int, int, int] | None:
    if match["hour"] is None:
        return None
    hour = int(match["hour"])
    if match["half"]:
        hour = hour % 12 + (12 if match["half"].lower() == "p" else 0)
    return hour, int(match["minute"]), int(match["second"] or 0)


def _moment(
    year: int,
    month: int,
    day: int,
    clock: tuple[int, int, int] | None,
    precision: Precision = "day",
) -> Moment | None:
    hour, minute, second = clock or (0, 0, 0)
    try:
        at = dt.datetime(year, month, day, hour, minute, min(second, 59))  # wall-clock as written
    except ValueError:
        return None
    return Moment(at, "time" if clock else precision) if 1000 <= year <= 2999 else None


def _order(unsure: Sequence[Unsure], *, day_first_likely: bool) -> tuple[Order, str]:
    """Tell day from month by what the column proves, then by its regularity, then by custom (which is said)."""
    day_first = sum(part.a > 12 for part in unsure)
    month_first = sum(part.b > 12 for part in unsure)
    if day_first or month_first:
        order: Order = "dmy" if day_first >= month_first else "mdy"
        odd = min(day_first, month_first)
        return order, f"{odd} dates can only be read in the other order of day and month than the rest" if odd else ""
    if len(unsure) > 2 and (regular := _regular(unsure)):
        return regular, ""
    order = "mdy" if unsure[0].separator == "/" and not day_first_likely else "dmy"
    sample = unsure[0]
    shown = f"{sample.a:02}{sample.separator}{sample.b:02}{sample.separator}{sample.year}"
    meant = sample.moment(order)
    if unsure[0].separator == "." or meant is None or all(part.a == part.b for part in unsure):
        return order, ""
    return order, f"'{shown}' was read as {meant.at.day} {meant.at:%B %Y}"


def _regular(unsure: Sequence[Unsure]) -> Order | None:
    """The first of every month shows by its constant 1; a sorted column by the order that sorts it."""
    ones = ({part.a for part in unsure} == {1}, {part.b for part in unsure} == {1})
    if ones[0] != ones[1]:
        return "dmy" if ones[0] else "mdy"
    sorted_as = []
    for order in ("dmy", "mdy"):
        moments = [part.moment(order) for part in unsure]
        days = [moment.at for moment in moments if moment]
        if days in (sorted(days), sorted(days, reverse=True)):
            sorted_as.append(order)
    return sorted_as[0] if len(sorted_as) == 1 else None  # type: ignore[return-value]


def _serial(cells: Sequence[Any]) -> Read:
    """Numbers in a column that is named like a date: Unix seconds or milliseconds, or Excel's day count."""
    numbers = []
    for cell in cells:
        try:
            numbers.append(float(cell) if not isinstance(cell, bool) else None)
        except (TypeError, ValueError):
            numbers.append(None)
    known = [number for number in numbers if number is not None]
    for low, high, unit, origin, words in (
        (6e8, 4.2e9, 1.0, dt.datetime(1970, 1, 1), "Unix seconds (UTC)"),
        (6e11, 4.2e12, 0.001, dt.datetime(1970, 1, 1), "Unix milliseconds (UTC)"),
        (20_000, 80_000, 86_400.0, dt.datetime(1899, 12, 30), "Excel day numbers"),
    ):
        if known and sum(low <= number <= high for number in known) >= 0.9 * len(known):
            moments = tuple(
                None
                if n is None or not low <= n <= high
                else Moment(_whole(origin + dt.timedelta(seconds=n * unit)), "time")
                for n in numbers
            )
            return Read(moments, f"its numbers were read as {words}")
    return Read((None,) * len(cells))


def _whole(at: dt.datetime) -> dt.datetime:
    return at.replace(microsecond=0)
