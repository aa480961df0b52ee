"""What people mean by "every Friday at 9": schedules and reminders from words, by fixed rules and without a model.

What is not understood for certain is no wish: it goes the way of every other message.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from agent.automation import times
from agent.automation import vocabulary as words
from agent.errors import ConfigError

NINE = (9, 0)
CLOCK = re.compile(words.CLOCK, re.IGNORECASE)
GAP = r"[\s,]+"
_FLAGS = re.IGNORECASE
EVERY = re.compile(words.EVERY, _FLAGS)
ONCE = re.compile(words.ONCE, _FLAGS)
REMIND = re.compile(words.REMIND + r"\b", _FLAGS)
LINK = re.compile(words.LINK, _FLAGS)
VERB = re.compile(rf"(?:{words.VERBS})\b", _FLAGS)
NOT_MEANT = re.compile(r"(?:\b(?:for|per|of|in|by|from|since|until|für|pro|von|pour|par|and|und|et))$", _FLAGS)
MORE_TIMES = re.compile(r"(?:and|und|et|or|,)\s*(?:at\s+|um\s+)?\d", _FLAGS)


@dataclass(frozen=True, slots=True)
class Wish:
    """A schedule as somebody worded it. `said` is the schedule in plain words; `target` as a Trigger has it."""

    spec: dict[str, Any]
    target: dict[str, Any]
    said: str

    @property
    def text(self) -> str:
        """What is to be done or told."""
        return str(self.target.get("request") or self.target.get("notice") or self.target.get("pipeline"))

    @property
    def is_reminder(self) -> bool:
        """True for a reminder that comes once."""
        return "notice" in self.target and "at" in self.spec


@dataclass(frozen=True, slots=True)
class _When:
    """A time phrase found in a text: where it stands, its clock time if it names one, and its match."""

    start: int
    end: int
    found: re.Match[str] | None
    clock: tuple[int, int] | None
    half: bool
    zone: str


def understand(text: str, now: datetime, zone: str) -> Wish | None:
    """Return the schedule or reminder that a message asks for, None when it asks for neither.

    `now` is the present time in `zone` (an IANA name), which counts unless the message names another. Raises
    ConfigError for one that is understood and cannot be, such as a time that has passed.
    """
    plain = " ".join(text.split())
    reminds = REMIND.match(plain)
    rest = plain[reminds.end() :].strip(" ,") if reminds else plain
    for pattern, spec_of in ((EVERY, _repeated), (ONCE, _once)):
        when = _when(rest, pattern, reminds=reminds is not None)
        if when is None:
            continue
        what = _what(rest, when, reminds=reminds is not None)
        made = spec_of(when, now, when.zone or zone) if what else None
        if made is not None:
            return Wish(made[0], {"notice" if reminds else "request": what}, made[1])
    return None


def time_of(text: str, now: datetime, zone: str) -> tuple[dict[str, Any], str] | None:
    """Return spec and words of a text that is a time and nothing else, repeated or once; None for anything else.

    Raises ConfigError like `understand`.
    """
    plain = " ".join(text.split()).strip(" .!?")
    for pattern, spec_of in ((EVERY, _repeated), (ONCE, _once)):
        when = _at(plain, 0, pattern)
        if when is not None and not plain[when.end :].strip(" .!?"):
            return spec_of(when, now, when.zone or zone)
    return None


# --- finding the phrase -------------------------------------------------------------------------------------------
def _when(text: str, pattern: re.Pattern[str], *, reminds: bool) -> _When | None:
    """Return the phrase at the beginning or the end of the text."""
    first = _at(text, 0, pattern)
    if first is not None and _leads(text, first, reminds=reminds):
        return first
    starts = [0, *(match.end() for match in re.finditer(GAP, text))]
    for start in starts[1:]:
        last = _at(text, start, pattern)
        if last is None or text[last.end :].strip(" .!?"):
            continue
        sure = last.clock is not None or (pattern is EVERY and "count" in _named(last))
        wanted = pattern is EVERY or ("ahead" in _named(last) and VERB.match(text) is not None)
        if not NOT_MEANT.search(text[:start].rstrip(" ,")) and (reminds or (sure and wanted)):
            return last
    return None


def _leads(text: str, when: _When, *, reminds: bool) -> bool:
    rest = text[when.end :].lstrip(" ,:")
    if reminds:
        return bool(rest)
    return bool(VERB.match(rest)) and not MORE_TIMES.match(rest)


def _named(when: _When) -> set[str]:
    return {name for name, value in (when.found.groupdict() if when.found else {}).items() if value}


def _at(text: str, start: int, pattern: re.Pattern[str]) -> _When | None:
    """Read a phrase that stands at `start`: the day and then the time, the time and then the day, or one of them."""
    found = pattern.match(text, start)
    if found is not None:
        gap = re.compile(r"[\s,]*").match(text, found.end())
        clock = CLOCK.match(text, gap.end() if gap else found.end())
        return _made(start, clock.end() if clock else found.end(), found, clock)
    clock = CLOCK.match(text, start)
    if clock is None:
        return None
    gap = re.compile(r"[\s,]*").match(text, clock.end())
    found = pattern.match(text, gap.end() if gap else clock.end())
    if found is None and pattern is EVERY:
        return None
    return _made(start, found.end() if found else clock.end(), found, clock)


def _made(start: int, end: int, found: re.Match[str] | None, clock: re.Match[str] | None) -> _When | None:
    if clock is None:
        return _When(start, end, found, None, half=False, zone="")
    if clock["word"]:
        noon = clock["word"].lower() in {"noon", "mittag", "midi"}
        return _When(start, end, found, (12 if noon else 0, 0), half=True, zone=clock["zone"] or "")
    hour, minute = int(clock["hour"]), int(clock["minute"] or 0)
    half = (clock["half"] or "").lower().replace(".", "")
    if half and not 1 <= hour <= 12:
        return None
    hour = hour % 12 + 12 * (half == "pm") if half else hour
    if hour > 23 or minute > 59:
        return None
    return _When(start, end, found, (hour, minute), half=bool(half), zone=clock["zone"] or "")


def _what(text: str, when: _When, *, reminds: bool) -> str:
    before, after = text[: when.start].strip(" ,"), text[when.end :].strip(" ,")
    what = f"{before} {after}".strip() if re.search(r"\w", after) else before
    if reminds:
        what = what[match.end() :] if (match := LINK.match(what)) else what
    return what.strip(" ,")


# --- repeated -----------------------------------------------------------------------------------------------------
def _repeated(when: _When, now: datetime, zone: str) -> tuple[dict[str, Any], str] | None:
    assert when.found is not None
    found = {name: value.lower() for name, value in when.found.groupdict().items() if value}
    times.zone(zone)
    if "hourly" in found:
        return {"every": 3600, "zone": zone}, "every hour"
    seconds = words.UNITS.get(found.get("unit", ""), 0) * int(found.get("count", 1))
    if "unit" in found and (seconds < 86400 or ("count" in found and seconds > 86400 and when.clock is None)):
        return _interval(found, seconds, zone) if when.clock is None else None
    if "count" in found and seconds != 86400:
        return None  # every 2 days at 9: cron cannot say it
    if found.get("unit") in {"week", "woche", "semaine"}:
        found["days"] = words.DAY_NAMES[now.weekday()].lower()
    hour, minute = when.clock or (words.PARTS.get(found.get("part", ""), 9), 0)
    day, said = _days(found)
    if not day:
        return None
    spec = {"cron": f"{minute} {hour} {day}", "zone": zone}
    return spec, f"{said} at {hour}:{minute:02d} {zone}"


def _interval(found: dict[str, str], seconds: int, zone: str) -> tuple[dict[str, Any], str] | None:
    if seconds < 60:
        raise ConfigError("I can't do that so often.", hint="Every minute is the most: “every 5 minutes …”.")
    count = int(found.get("count", 1))
    unit = next(name for name in ("week", "day", "hour", "minute") if seconds // count % words.UNITS[name] == 0)
    return {"every": seconds, "zone": zone}, f"every {count} {unit}s" if count > 1 else f"every {unit}"


def _days(found: dict[str, str]) -> tuple[str, str]:
    if found.keys() & {"work", "werktag"}:
        return "* * 1-5", "every weekday"
    if "last" in found:
        return "L * *", "on the last day of each month"
    if "dom" in found:
        return (f"{int(found['dom'])} * *", f"on day {int(found['dom'])} of each month") if _dom(found) else ("", "")
    if names := found.get("days") or found.get("plain"):
        picked = [_weekday(name) for name in re.findall(r"\w+", names) if _weekday(name) is not None]
        chosen = sorted({number for number in picked if number is not None})
        told = [words.DAY_NAMES[number] for number in chosen]
        together = " and ".join([", ".join(told[:-1]), told[-1]] if len(told) > 1 else told)
        return f"* * {','.join(str((number + 1) % 7) for number in chosen)}", f"every {together}"
    return "* * *", "every day"


def _dom(found: dict[str, str]) -> bool:
    return 1 <= int(found["dom"]) <= 31


def _weekday(name: str) -> int | None:
    plain = name.lower()
    return words.WEEKDAY.get(plain, words.WEEKDAY.get(plain.removesuffix("s")))


# --- once ---------------------------------------------------------------------------------------------------------
def _once(when: _When, now: datetime, zone: str) -> tuple[dict[str, Any], str] | None:
    there = now.astimezone(times.zone(zone))
    found = {name: value.lower() for name, value in (when.found.groupdict() if when.found else {}).items() if value}
    unit = found.get("unit") or found.get("unit_fr")
    if unit:
        count = found.get("count") or found.get("count_fr") or "1"
        number = int(count) if count.isdigit() else 0.5 if count == "half an" else 1
        moment = now.timestamp() + number * words.UNITS[unit]
        if words.UNITS[unit] >= 86400 and when.clock:
            day = datetime.fromtimestamp(moment, there.tzinfo).date()
            moment = _moment(day, when.clock, there).timestamp()
        return _at_moment(moment, there, zone)
    if when.found is None and when.clock:
        return _at_moment(_next(when, there).timestamp(), there, zone)
    day_ = _day(found, there)
    if day_ is None:
        return None
    moment_ = _moment(day_, when.clock or _default(found), there)
    if moment_ <= there and day_ == there.date() and when.clock and not when.half and when.clock[0] < 12:
        moment_ = _moment(day_, (when.clock[0] + 12, when.clock[1]), there)  # "today at 5", said at noon
    if moment_ <= there and "weekday" in found:
        moment_ = _moment(day_ + timedelta(days=7), when.clock or NINE, there)
    if moment_ <= there:
        raise ConfigError(f"{moment_:%A, %d %B %Y, %H:%M} has passed.", hint="Give a time to come.")
    return _at_moment(moment_.timestamp(), there, zone)


def _at_moment(moment: float, there: datetime, zone: str) -> tuple[dict[str, Any], str]:
    local = datetime.fromtimestamp(moment, there.tzinfo)
    return {"at": moment, "zone": zone}, f"{local:%A, %d %B %Y, %H:%M} {zone}"


def _next(when: _When, there: datetime) -> datetime:
    assert when.clock is not None
    hour, minute = when.clock
    choices = [(hour, minute)] if when.half or hour >= 12 else [(hour, minute), (hour + 12, minute)]
    today = [_moment(there.date(), choice, there) for choice in choices]
    upcoming = [moment for moment in today if moment > there]
    return upcoming[0] if upcoming else _moment(there.date() + timedelta(days=1), when.clock, there)


def _default(found: dict[str, str]) -> tuple[int, int]:
    if found.get("ahead") == "tonight" or found.get("part") in {"evening", "abend", "soir"}:
        return (18, 0) if found.get("ahead") != "tonight" else (20, 0)
    return (18, 0) if words.AHEAD.get(found.get("ahead", ""), 1) == 0 else NINE


def _moment(day: date, clock: tuple[int, int], there: datetime) -> datetime:
    return datetime(day.year, day.month, day.day, *clock, tzinfo=there.tzinfo)


def _day(found: dict[str, str], there: datetime) -> date | None:
    if "ahead" in found:
        return there.date() + timedelta(days=words.AHEAD[found["ahead"]])
    if "weekday" in found:
        number = _weekday(found["weekday"])
        return None if number is None else there.date() + timedelta(days=(number - there.weekday()) % 7)
    try:
        if "iso" in found:
            return date.fromisoformat(found["iso"])
        return _calendar_day(found, there)
    except ValueError:
        return None


def _calendar_day(found: dict[str, str], there: datetime) -> date:
    name = found.get("month") or found.get("month_us")
    month = words.MONTH[name] if name else int(found["month_de"])
    number = int(found.get("day") or found.get("day_us") or found["day_de"])
    year = found.get("year") or found.get("year_us") or found.get("year_de")
    if year:
        return date(int(year), month, number)
    this_year = date(there.year, month, number)
    return this_year if this_year >= there.date() else date(there.year + 1, month, number)
