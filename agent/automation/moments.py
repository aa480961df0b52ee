"""What comes once: "in 20 minutes", "tomorrow morning", "next Tuesday", "am 24. Dezember" → a moment."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from agent.automation import vocabulary as words
from agent.errors import ConfigError

NINE = (9, 0)


@dataclass(frozen=True, slots=True)
class Once:
    """A phrase found in a text: `kind` names the rule, `part` the part of the day that it names."""

    kind: str
    end: int
    groups: dict[str, str]

    @property
    def part(self) -> str:
        """The part of the day, "" when none is named."""
        if self.groups.get("ahead") == "tonight":
            return "evening"
        return words.PARTS.get(self.groups.get("part", ""), "")

    @property
    def is_span(self) -> bool:
        """True for "in 20 minutes", which needs no time of day."""
        return self.kind in {"span", "half", "more"}


_COUNT = rf"(?P<count>\d{{1,4}}(?:[.,]5)?|an?|{words.one_of(words.NUMBER)})"
_UNIT = rf"(?P<unit>{words.one_of(words.UNITS)})(?:s|n|en)?"
_IN = r"(?:in|dans|через)\s+"
_RULES: tuple[tuple[str, str], ...] = (
    (
        "more",
        (
            rf"{_IN}(?P<count>\d{{1,3}}|an?|{words.one_of(words.NUMBER)})\s+(?:hours?|stunden?|heures?)\s+(?:and|und|et)\s+"
            r"(?P<more>\d{1,3}|a half|einer halben|demie?)(?:\s+(?:minutes?|minuten))?"
        ),
    ),
    ("half", rf"{_IN}(?:half an hour|a half hour|einer halben stunde|(?:une )?demi-heure|полчаса)"),
    ("half", r"half an hour from now"),
    ("span", rf"{_IN}(?:{_COUNT}\s+)?{_UNIT}"),
    ("span", rf"{_COUNT}\s+{_UNIT}\s+from\s+now"),
    ("ahead", rf"(?P<ahead>{words.one_of(words.AHEAD)}){words.PART}"),
    ("part", rf"(?:this|heute|ce|cet|cette|diesen?|сегодня)\s+(?P<part>{words.one_of(words.PARTS)})"),
    ("next", rf"(?:next|nächste[nr]?|kommende[nr]?|следующ\w+)\s+(?P<weekday>{words.DAY}){words.PART}"),
    ("next", rf"(?:on\s+|le\s+)?(?P<weekday>{words.DAY})\s+prochain"),
    (
        "day",
        rf"(?:on\s+|this\s+|coming\s+|am\s+|diesen\s+|le\s+|ce\s+|в\s+|во\s+)?(?P<weekday>{words.DAY}){words.PART}",
    ),
    ("week", r"(?P<week>next week|nächste woche|la semaine prochaine|на следующей неделе)"),
    ("month", r"(?P<month>next month|nächsten monat|le mois prochain|в следующем месяце)"),
    ("iso", r"(?:on |am |le )?(?P<iso>\d{4}-\d{2}-\d{2})"),
    (
        "date",
        (
            rf"(?:on |am |le )?(?:the )?(?P<day>\d{{1,2}}){words.SUFFIX}\s+(?:of )?(?P<name>{words.MONTH_NAME})\.?"
            r"(?:,?\s+(?P<year>\d{4}))?"
        ),
    ),
    (
        "date",
        (
            rf"(?:on )?(?P<name>{words.MONTH_NAME})\.?\s+(?:the )?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?"
            r"(?:,?\s+(?P<year>\d{4}))?"
        ),
    ),
    ("date", r"(?:on |am |le )?(?P<day>\d{1,2})\.\s?(?P<number>\d{1,2})\.(?:\s?(?P<year>\d{4}))?"),
    ("slash", r"(?:on |am |le )?(?P<one>\d{1,2})/(?P<two>\d{1,2})(?:/(?P<year>\d{4}))?"),
    (
        "dom",
        r"(?:on the |am |le )(?P<day>\d{1,2})(?:st|nd|rd|th|\.|er)(?!\s*\w)|on the (?P<day2>\d{1,2})(?:st|nd|rd|th)",
    ),
)


@functools.cache
def _rules() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Compile the rules when a text may hold one."""
    return tuple((kind, re.compile(rf"(?:{pattern})(?!\w)", re.IGNORECASE)) for kind, pattern in _RULES)


def phrase(text: str, at: int) -> Once | None:
    """Return the longest phrase for something that comes once at `at`."""
    found = [(kind, match) for kind, pattern in _rules() if (match := pattern.match(text, at))]
    if not found:
        return None
    kind, match = max(found, key=lambda one: one[1].end())
    return Once(kind, match.end(), {name: said.lower() for name, said in match.groupdict().items() if said})


def moment(found: Once, clock: tuple[int, int] | None, there: datetime, *, half: bool) -> datetime | None:
    """Return when it is, in the zone of `there`, which is now; None for a day that there is not.

    `half` says that the clock's half of the day is known. Raises ConfigError for what has passed or may be two days.
    """
    if found.is_span:
        return _span(found, clock, there)
    day = _day(found, there)
    if day is None:
        return None
    at = _at(day, clock or _default(found), there)
    if at <= there and day == there.date() and clock and not half and clock[0] < 12:
        at = _at(day, (clock[0] + 12, clock[1]), there)  # "today at 5", said at noon
    if at <= there and found.kind == "day":
        at = _at(day + timedelta(days=7), clock or _default(found), there)
    if at <= there:
        raise ConfigError(f"{at:%A, %d %B %Y, %H:%M} has passed.", hint="Give a time to come.")
    return at


def coming(clock: tuple[int, int], there: datetime, *, half: bool) -> datetime:
    """Return the next time that a clock shows this; of a time whose half of the day is open, the sooner one."""
    hour, minute = clock
    choices = [(hour, minute)] if half or hour >= 12 else [(hour, minute), (hour + 12, minute)]
    today = [at for choice in choices if (at := _at(there.date(), choice, there)) > there]
    return today[0] if today else _at(there.date() + timedelta(days=1), clock, there)


def last_day(found: Once, there: datetime) -> date | None:
    """Return the day of "until Friday"; None for a phrase that is no day."""
    return None if found.is_span else _day(found, there)


def _span(found: Once, clock: tuple[int, int] | None, there: datetime) -> datetime | None:
    if found.kind == "half":
        seconds = words.HOUR / 2
    elif found.kind == "more":
        more = found.groups["more"]
        seconds = _count(found) * words.HOUR + (int(more) * words.MINUTE if more.isdigit() else words.HOUR / 2)
    else:
        seconds = _count(found) * words.UNITS[found.groups["unit"]]
    at = datetime.fromtimestamp(there.timestamp() + seconds, there.tzinfo)
    if clock is None:
        return at
    return _at(at.date(), clock, there) if words.UNITS.get(found.groups.get("unit", ""), 0) >= words.A_DAY else None


def _count(found: Once) -> float:
    said = found.groups.get("count", "1").replace(",", ".")
    return words.NUMBER.get(said) or (1 if said in {"a", "an"} else float(said))


def _default(found: Once) -> tuple[int, int]:
    if found.groups.get("ahead") == "tonight":
        return (20, 0)
    if found.part:
        return (words.PART_HOURS[found.part], 0)
    return (18, 0) if words.AHEAD.get(found.groups.get("ahead", ""), 1) == 0 else NINE


def _at(day: date, clock: tuple[int, int], there: datetime) -> datetime:
    return datetime(day.year, day.month, day.day, *clock, tzinfo=there.tzinfo)


def _day(found: Once, there: datetime) -> date | None:
    today = there.date()
    if found.kind in {"ahead", "part"}:
        return today + timedelta(days=words.AHEAD.get(found.groups.get("ahead", ""), 0))
    if found.kind in {"day", "next"}:
        return _weekday(found, today)
    if found.kind == "week":
        return today + timedelta(days=7 - today.weekday())
    if found.kind == "month":
        return date(today.year + today.month // 12, today.month % 12 + 1, 1)
    try:
        return date.fromisoformat(found.groups["iso"]) if found.kind == "iso" else _calendar(found, today)
    except ValueError:
        return None


def _weekday(found: Once, today: date) -> date | None:
    name = found.groups["weekday"]
    number = words.WEEKDAY.get(name, words.WEEKDAY.get(name.removesuffix("s")))
    if number is None:
        return None
    ahead = (number - today.weekday()) % 7
    if found.kind == "day":
        return today + timedelta(days=ahead)
    first = today + timedelta(days=ahead or 7)
    if first.isocalendar()[:2] == today.isocalendar()[:2]:
        later = first + timedelta(days=7)
        said = f"“next {words.DAY_NAMES[number]}” may be {first:%d %B} or {later:%d %B}."
        raise ConfigError(said, hint=f"Say “this {words.DAY_NAMES[number]}”, or the date.")
    return first


def _calendar(found: Once, today: date) -> date:
    groups = found.groups
    if found.kind == "dom":
        return _next_dom(int(groups.get("day") or groups["day2"]), today)
    if found.kind == "slash":
        day, month = _slashed(int(groups["one"]), int(groups["two"]))
    else:
        day, month = int(groups["day"]), words.MONTH.get(groups.get("name", "")) or int(groups["number"])
    if "year" in groups:
        return date(int(groups["year"]), month, day)
    this_year = date(today.year, month, day)
    return this_year if this_year >= today else date(today.year + 1, month, day)


def _slashed(one: int, two: int) -> tuple[int, int]:
    """Return day and month of "24/12"; Raises ConfigError when it may be either."""
    if one <= 12 and two <= 12 and one != two:
        said = f"{one}/{two} may be {one} {words.MONTH_NAMES[two - 1]} or {two} {words.MONTH_NAMES[one - 1]}."
        raise ConfigError(said, hint=f"Write the month as a word: “{one} {words.MONTH_NAMES[two - 1]}”.")
    return (one, two) if one > 12 or one == two else (two, one)


def _next_dom(day: int, today: date) -> date:
    """Return the next day with this number. Raises ValueError for one that no month has."""
    year, month = today.year, today.month
    for _ in range(12):
        try:
            if (found := date(year, month, day)) >= today:
                return found
        except ValueError:
            if not 1 <= day <= 31:
                raise
        year, month = year + month // 12, month % 12 + 1
    raise ValueError(day)
