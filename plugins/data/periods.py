"""Calendar periods: which one a date falls into, and what it is called.

A period's number counts from 1970 (year, quarter, month, week, day) or within its cycle (weekday, hour). Weeks are ISO
weeks: they begin on Monday, and the week of 1970-01-01 began on 1969-12-29.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Period = Literal["year", "quarter", "month", "week", "day", "weekday", "hour", "month of year"]
RUNNING: tuple[Period, ...] = ("year", "quarter", "month", "week", "day")
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
PLURALS = {"day": "days", "month of year": "months"}

WORDS: dict[str, Period] = {
    **dict.fromkeys(
        ("month", "monat", "mois", "monatlich", "monthly", "mensuel", "mes", "yearmonth", "calendarmonth"), "month"
    ),
    **dict.fromkeys(
        ("week", "woche", "semaine", "weekly", "wochentlich", "kw", "kalenderwoche", "calendarweek"), "week"
    ),
    **dict.fromkeys(("day", "tag", "jour", "daily", "taglich", "calendarday"), "day"),
    **dict.fromkeys(("quarter", "quartal", "trimestre", "quarterly"), "quarter"),
    **dict.fromkeys(("year", "jahr", "annee", "an", "yearly", "annual", "annually", "jahrlich"), "year"),
    **dict.fromkeys(("weekday", "wochentag", "dayofweek", "dayoftheweek", "jourdelasemaine"), "weekday"),
    **dict.fromkeys(("hour", "stunde", "heure", "hourofday", "timeofday", "uhrzeit", "hourly"), "hour"),
    **dict.fromkeys(("monthofyear", "monthoftheyear", "season", "calendermonthname"), "month of year"),
}


def numbers(dates: NDArray[np.datetime64], period: Period) -> NDArray[np.int64]:
    """Return the number of the period of each date; dates must not hold NaT."""
    import numpy as np

    if period == "hour":
        return (dates.astype("datetime64[h]").astype(np.int64)) % 24
    if period in {"year", "month", "quarter", "month of year"}:
        months = dates.astype("datetime64[M]").astype(np.int64)
        return {"year": months // 12, "month": months, "quarter": months // 3, "month of year": months % 12}[period]
    days = dates.astype("datetime64[D]").astype(np.int64)
    return {"day": days, "week": (days + 3) // 7, "weekday": (days + 3) % 7}[period]


def number(day: dt.date, period: Period) -> int:
    """Return the number of the period that a day falls into."""
    import numpy as np

    return int(numbers(np.array([day], dtype="datetime64[D]"), period)[0])


def start(number: int, period: Period) -> dt.date:
    """Return the first day of a running period."""
    if period in {"day", "week"}:
        return dt.date(1970, 1, 1) + dt.timedelta(days=number if period == "day" else number * 7 - 3)
    months = number * {"year": 12, "quarter": 3, "month": 1}[period]
    return dt.date(1970 + months // 12, months % 12 + 1, 1)


def key(number: int, period: Period) -> str:
    """Return the period in the notation of machines: `2024`, `2024-Q1`, `2024-03`, `2024-W05`, `Monday`."""
    if period in {"weekday", "hour", "month of year"}:
        return label(number, period)
    first = start(number, period)
    week = first.isocalendar()
    return {
        "year": f"{first.year}",
        "quarter": f"{first.year}-Q{first.month // 3 + 1}",
        "month": f"{first:%Y-%m}",
        "week": f"{week.year}-W{week.week:02}",
        "day": first.isoformat(),
    }[period]


def label(number: int, period: Period) -> str:
    """Return the period as people say it: `March 2024`, `Q1 2024`, `week 5 of 2024`, `Monday`, `14:00`."""
    if period == "weekday":
        return WEEKDAYS[number]
    if period == "month of year":
        return MONTHS[number]
    if period == "hour":
        return f"{number:02}:00"
    first = start(number, period)
    week = first.isocalendar()
    return {
        "year": f"{first.year}",
        "quarter": f"Q{first.month // 3 + 1} {first.year}",
        "month": f"{MONTHS[first.month - 1]} {first.year}",
        "week": f"week {week.week} of {week.year}",
        "day": f"{first.day} {MONTHS[first.month - 1]} {first.year}",
    }[period]


def plural(word: str) -> str:
    """Return the plural of a period or column name, for sentences."""
    if word in PLURALS:
        return PLURALS[word]
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return word[:-1] + "ies"
    return word if word.endswith("s") else word + "s"


def fits(precision: str, period: Period) -> bool:
    """Return True when dates of this precision can tell the period apart."""
    allowed: dict[str, tuple[Any, ...]] = {
        "time": (*RUNNING, "weekday", "hour", "month of year"),
        "day": (*RUNNING, "weekday", "month of year"),
        "week": ("week", "year"),
        "month": ("month", "quarter", "year", "month of year"),
        "quarter": ("quarter", "year"),
    }
    return period in allowed[precision]
