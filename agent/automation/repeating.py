"""What repeats: "every weekday", "jeden ersten Montag im Monat", "toutes les 2 heures entre 9h et 17h" → cron."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from agent.automation import clock as clocks
from agent.automation import vocabulary as words
from agent.errors import ConfigError

Made = tuple[str, str]
"""The day part of a cron expression (day, month, weekday), and the days in words."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """A phrase found in a text: `kind` names the rule, `part` the part of the day that it names."""

    kind: str
    end: int
    groups: dict[str, str]

    @property
    def part(self) -> str:
        """The part of the day, "" when none is named."""
        said = self.groups.get("part", "")
        return words.PARTS.get(said) or words.PLURAL_PARTS.get(said, "")


_WORKDAY = (
    r"(?:weekdays?|work(?:ing)?[ -]?days?|business days?|werktags?|werktagen|werktäglich|arbeitstag(?:s|en|e)?|"
    r"jours? ouvrables?|jours? ouvrés?|jours? de (?:la )?semaine|будний день|будням|будни|рабочий день|рабочим дням)"
)
_FREE = r"(?:weekends?|wochenenden?|week-ends?|выходны\w+)"
_UNIT = rf"(?P<unit>{words.one_of(words.UNITS)})(?:s|n|en|e)?"
_DAYS = words.one_of(name + "s" for name in words.WEEKDAY if name.endswith(("day", "tag")))
_RULES: tuple[tuple[str, str], ...] = (
    ("other", rf"{words.EACH}\s+{words.OTHER}\s+(?P<days>{words.DAY_LIST}){words.PART}"),
    ("other", rf"{words.EACH}\s+{words.OTHER}\s+{_UNIT}"),
    ("other", rf"(?:le\s+)?une?\s+(?P<days>{words.DAY})\s+sur\s+deux"),
    ("other", rf"une?\s+{_UNIT}\s+sur\s+deux"),
    (
        "other",
        rf"{words.EACH}\s+fortnight|fortnightly|vierzehntägig|14-tägig|zweiwöchentlich|раз в (?:две|2) недели",
    ),
    ("twofold", r"bi-?weekly"),
    ("interval", rf"{words.EACH}\s+(?:(?P<count>{words.COUNT})\s+)?{_UNIT}"),
    ("half", rf"{words.EACH}\s+(?:half(?: an)? hour|halbe(?:n)? stunde|demi-heure|полчаса)"),
    ("long", rf"{words.EACH}\s+(?:(?P<count>{words.COUNT})\s+)?(?P<long>{words.one_of(words.LONG_UNITS)})(?:s|e|en)?"),
    ("hourly", r"hourly|stündlich|ежечасно"),
    ("daily", r"daily|täglich|quotidiennement|tous les jours|jeden tag|ежедневно"),
    ("weekly", r"weekly|wöchentlich|hebdomadairement|еженедельно"),
    ("long", r"(?P<long>monthly|monatlich|mensuellement|ежемесячно|quarterly|vierteljährlich|quartalsweise)"),
    ("work", rf"(?:{words.EACH}\s+|on\s+|an\s+|am\s+|en\s+semaine|du\s+)?{_WORKDAY}{words.PART}"),
    ("work", r"en semaine"),
    ("free", rf"(?:{words.EACH}\s+|on\s+|at\s+|an\s+|am\s+|le\s+)?(?:the\s+)?{_FREE}{words.PART}"),
    ("part", rf"{words.EACH}\s+(?P<part>{words.one_of(words.PARTS)})s?"),
    ("part", rf"(?:in the |on )?(?P<part>{words.one_of(words.PLURAL_PARTS)})"),
    (
        "range",
        (
            rf"(?:{words.EACH}\s+|from\s+|von\s+|du\s+|с\s+)?(?P<first>{words.DAY})\s*(?:to|through|till|-|–|bis|au|по)\s*"
            rf"(?P<last>{words.DAY})"
        ),
    ),
    ("days", rf"{words.EACH}\s+(?P<days>{words.DAY_LIST}){words.PART}"),
    ("plural", rf"(?:on\s+)?(?P<days>{_DAYS}(?:{words.AND}{_DAYS})*)"),
    ("nth", rf"{words.THE}(?:{words.EACH}\s+)?(?P<nth>{words.NTH})\s+(?P<days>{words.DAY})\s+{words.OF_MONTH}"),
    ("nth", rf"{words.EACH}\s+(?P<nth>{words.NTH})\s+(?P<days>{words.DAY})"),  # a second one is `other`, before
    (
        "dom",
        (
            rf"{words.THE}(?P<dom>\d{{1,2}}){words.SUFFIX}(?:(?:\s*,\s*|\s+(?:and|und|et|и)\s+)(?:the\s+)?"
            rf"(?P<dom2>\d{{1,2}}){words.SUFFIX})?\s+(?:day\s+)?{words.OF_MONTH}"
        ),
    ),
    (
        "dom",
        (
            rf"(?:{words.EACH}\s+(?:month|monat|mois|месяц)|monthly|monatlich)\s+(?:on\s+|am\s+|le\s+)(?:the\s+)?"
            rf"(?P<dom>\d{{1,2}}|{words.NTH}){words.SUFFIX}(?:\s+(?:and|und|et|и)\s+(?:the\s+)?(?P<dom2>\d{{1,2}}){words.SUFFIX})?"
        ),
    ),
    ("dom", rf"{words.EACH}\s+(?P<dom>\d{{1,2}})(?:st|nd|rd|th|\.)(?!\s*{words.MONTH_NAME})"),
    (
        "last",
        (
            rf"{words.THE}(?:last day {words.OF_MONTH}|letzten? tag\s+{words.OF_MONTH}|dernier jour {words.OF_MONTH}|"
            rf"последний день {words.OF_MONTH}|end of (?:each|every) month|monatsende|ende jedes monats|"
            r"fin de chaque mois)|à la fin de chaque mois"
        ),
    ),
    ("lastwork", rf"{words.THE}(?:last|letzten|dernier)\s+{_WORKDAY}\s+{words.OF_MONTH}"),
    (
        "yearly",
        (
            rf"(?:{words.EACH}\s+(?:year|jahr|année|ans?|год)|yearly|jährlich)\s+(?:(?:on|am|le)\s+)?(?:the\s+)?"
            rf"(?P<dom>\d{{1,2}}){words.SUFFIX}\s+(?:of\s+)?(?P<month>{words.MONTH_NAME})"
        ),
    ),
    (
        "yearly",
        rf"(?:{words.EACH}\s+(?:year|jahr)|yearly)\s+(?:on\s+)?(?P<month>{words.MONTH_NAME})\s+(?P<dom>\d{{1,2}}){words.SUFFIX}",
    ),
    ("yearly", rf"{words.EACH}\s+(?P<dom>\d{{1,2}}){words.SUFFIX}\s+(?:of\s+)?(?P<month>{words.MONTH_NAME})"),
    ("yearly", rf"{words.EACH}\s+(?P<month>{words.MONTH_NAME})\s+(?P<dom>\d{{1,2}}){words.SUFFIX}"),
)
_BETWEEN = re.compile(r"[\s,]+(?:between|from|zwischen|von|entre|de|с)\s+(?P<rest>.+)\Z", re.IGNORECASE | re.DOTALL)
_TO = re.compile(r"\s*(?:and|to|until|till|-|–|und|bis|et|à|до)\s*", re.IGNORECASE)


@functools.cache
def _rules() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Compile the rules when a text may hold one."""
    return tuple((kind, re.compile(rf"(?:{pattern})(?!\w)", re.IGNORECASE)) for kind, pattern in _RULES)


def phrase(text: str, at: int) -> Repeated | None:
    """Return the longest phrase for something that repeats at `at`."""
    found = [(kind, match) for kind, pattern in _rules() if (match := pattern.match(text, at))]
    if not found:
        return None
    kind, match = max(found, key=lambda one: one[1].end())
    return Repeated(kind, match.end(), {name: said.lower() for name, said in match.groupdict().items() if said})


def window(text: str, at: int) -> tuple[tuple[int, int], tuple[int, int], int] | None:
    """Return the two times of "between 9 and 17" at `at`, and where that ends."""
    begin = _BETWEEN.match(text, at)
    first = clocks.bare(text, begin.start("rest")) if begin else None
    link = _TO.match(text, first[1]) if first else None
    last = clocks.bare(text, link.end()) if link else None
    return (first[0], last[0], last[1]) if first and last else None


def days_of(found: Repeated, now: datetime) -> Made | None:
    """Return when a phrase repeats; None for an interval that is shorter than a day, or longer than cron knows.

    Raises ConfigError for what is understood and cannot be said in cron.
    """
    maker = _MAKERS.get(found.kind)
    return maker(found, now) if maker else None


def interval(found: Repeated) -> int:
    """Return the seconds of an interval; 0 when the phrase names none."""
    if found.kind in {"hourly", "half"}:
        return words.HOUR if found.kind == "hourly" else words.HOUR // 2
    if found.kind == "other":
        return 2 * words.UNITS[found.groups.get("unit", "week")]
    if found.kind != "interval":
        return 0
    return words.UNITS[found.groups["unit"]] * _number(found.groups.get("count", "1"))


def cycle(found: Repeated) -> tuple[str, int] | None:
    """Return ("weeks", 2) or ("days", 3) for what comes in one week or day of so many; None for anything else."""
    seconds = interval(found)
    for unit, size in (("weeks", words.WEEK), ("days", words.A_DAY)):
        if seconds and seconds % size == 0:
            return (unit, seconds // size) if seconds > size else None
    return None


def on_days(text: str, at: int) -> Repeated | None:
    """Return the days of "every 2 weeks on Monday and Thursday" at `at`."""
    match = _on_days().match(text, at)
    return (
        Repeated("days", match.end(), {name: said.lower() for name, said in match.groupdict().items() if said})
        if match
        else None
    )


@functools.cache
def _on_days() -> re.Pattern[str]:
    before = r"(?:on|am|an|le|les|по|в|во)\s+"
    return re.compile(rf"(?:{before})?(?P<days>{words.DAY_LIST}){words.PART}(?!\w)", re.IGNORECASE)


def every_so_many(count: int, unit: str, days: str) -> str:
    """Return "every 2 weeks on Monday" in words; `days` as `days_of` has it."""
    if unit == "days":
        return f"every {count} days"
    return f"every {count} weeks" + (f" on {days.removeprefix('every ')}" if days else "")


def in_words(seconds: int) -> str:
    """Return an interval in words."""
    for name, size in (("week", words.WEEK), ("day", words.A_DAY), ("hour", words.HOUR), ("minute", words.MINUTE)):
        if seconds % size == 0:
            count = seconds // size
            return f"every {count} {name}s" if count > 1 else f"every {name}"
    raise ConfigError("I can't do that so often.", hint="Every minute is the most: “every 5 minutes …”.")


def within(seconds: int, first: tuple[int, int], last: tuple[int, int], days: Made) -> tuple[str, str]:
    """Return cron and words of an interval within some hours of the day. Raises ConfigError for what cron can't say."""
    (begin, minute), (end, _) = first, last
    if not begin < end:
        raise ConfigError("Those hours go over midnight, or backwards.", hint="Say it as two schedules.")
    hours, minutes = divmod(seconds, words.HOUR)
    if hours and not minutes:
        cron = f"{minute} {begin}-{end}{f'/{hours}' if hours > 1 else ''} {days[0]}"
    elif seconds < words.HOUR and words.HOUR % seconds == 0 and not minute:
        cron = f"*/{seconds // words.MINUTE} {begin}-{end - 1} {days[0]}"
    else:
        raise ConfigError(f"{in_words(seconds)} between hours does not come out even.", hint="Use 5, 10, 15, 20 or 30.")
    on = "" if days[1] == "every day" else f", {days[1]}"
    return cron, f"{in_words(seconds)} between {begin}:{minute:02d} and {end}:00{on}"


# --- the kinds ----------------------------------------------------------------------------------------------------
def _every_day(_found: Repeated, _now: datetime) -> Made:
    return "* * *", "every day"


def _interval_days(found: Repeated, now: datetime) -> Made | None:
    seconds = interval(found)
    if seconds == words.A_DAY:
        return "* * *", "every day"
    return _weekly(found, now) if seconds == words.WEEK else None


def _weekly(_found: Repeated, now: datetime) -> Made:
    return f"* * {(now.weekday() + 1) % 7}", f"every {words.DAY_NAMES[now.weekday()]}"


def _named(found: Repeated, _now: datetime) -> Made:
    chosen = sorted({number for name in re.findall(r"\w+", found.groups["days"]) if (number := _day(name)) is not None})
    told = [words.DAY_NAMES[number] for number in chosen]
    together = " and ".join([", ".join(told[:-1]), told[-1]] if len(told) > 1 else told)
    return f"* * {','.join(str((number + 1) % 7) for number in chosen)}", f"every {together}"


def _range(found: Repeated, _now: datetime) -> Made | None:
    first, last = _day(found.groups["first"]), _day(found.groups["last"])
    if first is None or last is None or first == last:
        return None
    numbers = [(first + step) % 7 for step in range((last - first) % 7 + 1)]
    if numbers == [0, 1, 2, 3, 4]:
        return "* * 1-5", "every weekday"
    cron = ",".join(str((number + 1) % 7) for number in sorted(numbers))
    return f"* * {cron}", f"from {words.DAY_NAMES[first]} to {words.DAY_NAMES[last]}"


def _nth(found: Repeated, _now: datetime) -> Made | None:
    number, day = words.ORDINAL[found.groups["nth"]], _day(found.groups["days"])
    if day is None:
        return None
    said = next(word for word in ("first", "second", "third", "fourth", "last") if words.ORDINAL[word] == number)
    name = f"on the {said} {words.DAY_NAMES[day]} of each month"
    return f"* * {(day + 1) % 7}{'L' if number < 0 else f'#{number}'}", name


def _dom(found: Repeated, _now: datetime) -> Made | None:
    numbers = [_number(found.groups[name]) for name in ("dom", "dom2") if name in found.groups]
    if not all(1 <= number <= 31 for number in numbers):
        return None
    told = " and ".join(map(str, numbers))
    rare = " that has it" if max(numbers) > 28 else ""
    return f"{','.join(map(str, numbers))} * *", f"on day {told} of each month{rare}"


def _long(found: Repeated, _now: datetime) -> Made | None:
    unit = found.groups["long"]
    count = _number(found.groups.get("count", "1"))
    unit = words.LONG_UNITS.get(unit) or ("quarter" if unit.startswith(("q", "v")) else "month")
    if unit == "quarter" or (unit == "month" and count == 3):
        return ("1 1,4,7,10 *", "on the first day of each quarter") if unit == "month" or count == 1 else None
    if unit == "month" and count == 1:
        return "1 * *", "on day 1 of each month"
    raise ConfigError(
        "I need a day for that.", hint="Say it like “every year on 24 December” or “on the 1st of each month”."
    )


def _yearly(found: Repeated, _now: datetime) -> Made | None:
    month, day = words.MONTH[found.groups["month"]], int(found.groups["dom"])
    try:
        datetime(2028, month, day)  # noqa: DTZ001 - only whether there is such a day, in a leap year
    except ValueError:
        return None
    return f"{day} {month} *", f"every year on {day} {words.MONTH_NAMES[month - 1]}"


def _twofold(_found: Repeated, _now: datetime) -> Made:
    raise ConfigError(
        "“Biweekly” may be twice a week, or every 2 weeks.",
        hint="Say “every 2 weeks on Monday”, or name both days: “every Monday and Thursday”.",
    )


_MAKERS: dict[str, Callable[[Repeated, datetime], Made | None]] = {
    "interval": _interval_days,
    "twofold": _twofold,
    "daily": _every_day,
    "part": _every_day,
    "weekly": _weekly,
    "long": _long,
    "work": lambda _found, _now: ("* * 1-5", "every weekday"),
    "free": lambda _found, _now: ("* * 0,6", "every Saturday and Sunday"),
    "range": _range,
    "days": _named,
    "plural": _named,
    "nth": _nth,
    "dom": _dom,
    "last": lambda _found, _now: ("L * *", "on the last day of each month"),
    "lastwork": lambda _found, _now: ("LW * *", "on the last weekday of each month"),
    "yearly": _yearly,
}


def _number(said: str) -> int:
    return int(said) if said.isdigit() else words.NUMBER.get(said) or words.ORDINAL.get(said, 1)


def _day(name: str) -> int | None:
    plain = name.lower()
    return words.WEEKDAY.get(plain, words.WEEKDAY.get(plain.removesuffix("s")))
