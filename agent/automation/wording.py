"""What people mean by "every Friday at 9": schedules and reminders from words, by fixed rules and without a model.

What is not understood for certain is no wish: it goes the way of every other message. What is understood and may be two
things, or cannot be, is said.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from agent.automation import clock as clocks
from agent.automation import moments, repeating, times
from agent.automation import vocabulary as words
from agent.automation.clock import Clock
from agent.automation.moments import Once
from agent.automation.repeating import Repeated
from agent.errors import ConfigError

LONGEST = 2_000
GAP = re.compile(r"[\s,]+")
_FLAGS = re.IGNORECASE
REMIND = re.compile(words.REMIND + r"(?!\w)", _FLAGS)
LINK = re.compile(words.LINK, _FLAGS)
NOT_MEANT = re.compile(
    r"(?:\b(?:for|per|of|in|by|from|since|until|on|für|pro|von|pour|par|and|und|et|за|с|по|для))$", _FLAGS
)
# "weekly report" is a thing, not a time and a request.
NOUN = re.compile(
    r"(?:hourly|daily|weekly|monthly|quarterly|every \w+)\s+"
    r"(?:report|review|plan|list|chart|plot|count|test|run|check|call|print|copy|update|search|scan|share|post|export)s?"
    r"(?!\s+(?:me|us|my|our|the|this|that|all|if|for|whether|what|on|about|how)\b)",
    _FLAGS,
)
UNTIL = re.compile(r"[\s,]+(?:until|till|up to|bis(?: zum)?|jusqu['’](?:à|au|en)|до)\s+", _FLAGS)
Made = tuple[dict[str, Any], str]


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
    """A time phrase found in a text: where it stands, the phrase, its clock, and its hours or last day."""

    start: int
    end: int
    found: Repeated | Once | None
    clock: Clock | None
    hours: tuple[tuple[int, int], tuple[int, int]] | None = None
    also: Repeated | None = None
    until: Once | None = None

    @property
    def repeats(self) -> bool:
        return isinstance(self.found, Repeated)

    @property
    def zone(self) -> str:
        return self.clock.zone if self.clock else ""


def understand(text: str, now: datetime, zone: str) -> Wish | None:
    """Return the schedule or reminder that a message asks for, None when it asks for neither.

    `now` is the present time in `zone` (an IANA name), which counts unless the message names another. Raises
    ConfigError for one that is understood and cannot be, such as a time that has passed, or that may be two things.
    """
    plain = " ".join(text.split())
    if len(plain) > LONGEST or not words.may_tell_time(plain):
        return None
    if words.is_chinese(plain):
        from agent.automation import chinese

        found = chinese.understand(plain, now, zone)
        return Wish(found.spec, {found.kind: found.what}, found.said) if found else None
    reminds = REMIND.match(plain)
    rest = plain[reminds.end() :].strip(" ,") if reminds else plain
    for repeats in (True, False):
        when = _when(rest, repeats=repeats, reminds=reminds is not None)
        if when is None:
            continue
        what = _what(rest, when, reminds=reminds is not None)
        made = _spec(when, now, zone) if what else None
        if made is not None:
            return Wish(made[0], {"notice" if reminds else "request": what}, made[1])
    return None


def time_of(text: str, now: datetime, zone: str) -> Made | None:
    """Return spec and words of a text that is a time and nothing else, repeated or once; None for anything else.

    Raises ConfigError like `understand`.
    """
    plain = " ".join(text.split()).strip(" .!?。！")
    if not plain or len(plain) > LONGEST:
        return None
    if words.is_chinese(plain):
        from agent.automation import chinese

        found = chinese.time_of(plain, now, zone)
        return (found.spec, found.said) if found else None
    for repeats in (True, False):
        whole = [when for when in _at(plain, 0, repeats=repeats) if when.end == len(plain)]
        for when in whole:
            if made := _spec(when, now, zone):
                return made
    return None


@functools.cache
def _verb() -> re.Pattern[str]:
    return re.compile(rf"(?:{words.VERBS})(?!\w)", _FLAGS)


# --- finding the phrase -------------------------------------------------------------------------------------------
def _when(text: str, *, repeats: bool, reminds: bool) -> _When | None:
    """Return the phrase at the beginning or the end of the text."""
    for first in _at(text, 0, repeats=repeats):
        if _leads(text, first, reminds=reminds):
            return first
    for gap in GAP.finditer(text):
        for last in _at(text, gap.end(), repeats=repeats):
            if text[last.end :].strip(" .!?"):
                continue
            before = text[: gap.start()].rstrip(" ,")
            if not NOT_MEANT.search(before) and (reminds or _is_sure(text, last)):
                return last
    return None


def _leads(text: str, when: _When, *, reminds: bool) -> bool:
    rest = text[when.end :].lstrip(" ,:")
    if reminds:
        return bool(rest)
    noun = when.clock is None and text[when.end :].startswith(" ") and NOUN.match(text[when.start :])
    return _verb().match(rest) is not None and not noun


def _is_sure(text: str, when: _When) -> bool:
    """Say whether a phrase at the end of a request is its time: "send me the news every day at 8"."""
    if not _verb().match(text):
        return False
    if isinstance(when.found, Repeated):
        certain = when.hours is not None or when.also is not None or "count" in when.found.groups
        return certain or when.clock is not None
    if when.found is None:
        return False
    return (when.clock is not None and "ahead" in when.found.groups) or when.found.is_span


def _at(text: str, start: int, *, repeats: bool) -> Iterator[_When]:
    """Yield the phrases that stand at `start`: the day and then the time, the time and then the day, or one of them."""
    find: Callable[[str, int], Repeated | Once | None] = repeating.phrase if repeats else moments.phrase
    found = find(text, start)
    if found is not None:
        yield _completed(text, start, found)
        return
    clock = clocks.read(text, start)
    if clock is None:
        return
    found = find(text, _behind_gap(text, clock.end))
    if found is not None:
        yield _with_until(text, _When(start, found.end, found, clock.towards(found.part)))
    elif not repeats:
        yield _When(start, clock.end, None, clock)


def _completed(text: str, start: int, found: Repeated | Once) -> _When:
    """Return a phrase with what follows it: its hours, days, clock and last day."""
    end, also, hours = found.end, None, None
    if isinstance(found, Repeated) and repeating.cycle(found):
        also = None if "days" in found.groups else repeating.on_days(text, _behind_gap(text, end))
        end = also.end if also else end
    elif isinstance(found, Repeated) and found.kind in {"interval", "half", "hourly"}:
        if window := repeating.window(text, end):
            hours, end = window[:2], window[2]
        days = repeating.phrase(text, _behind_gap(text, end))
        if days is not None and days.kind in {"work", "free", "days", "plural", "range", "daily"}:
            also, end = days, days.end
            if hours is None and (window := repeating.window(text, end)):
                hours, end = window[:2], window[2]
    clock = clocks.read(text, _behind_gap(text, end)) if hours is None else None
    if clock is not None:
        end, clock = clock.end, clock.towards(found.part)
    return _with_until(text, _When(start, end, found, clock, hours, also))


def _with_until(text: str, when: _When) -> _When:
    begin = UNTIL.match(text, when.end) if when.repeats else None
    last = moments.phrase(text, begin.end()) if begin else None
    if last is None or last.is_span:
        return when
    return _When(when.start, last.end, when.found, when.clock, when.hours, when.also, last)


def _behind_gap(text: str, at: int) -> int:
    gap = GAP.match(text, at)
    return gap.end() if gap else at


def _what(text: str, when: _When, *, reminds: bool) -> str:
    before, after = text[: when.start].strip(" ,"), text[when.end :].strip(" ,:")
    what = f"{before} {after}".strip() if re.search(r"\w", after) else before
    if reminds:
        what = what[match.end() :] if (match := LINK.match(what)) else what
    return what.strip(" ,")


# --- what it means ------------------------------------------------------------------------------------------------
def _spec(when: _When, now: datetime, zone: str) -> Made | None:
    zone = when.zone or zone
    there = now.astimezone(times.zone(zone))
    if not isinstance(when.found, Repeated):
        return _once(when, when.found, there, zone)
    made = _repeated(when, when.found, there, zone)
    return _ending(made, when.until, there) if made and when.until else made


def _repeated(when: _When, found: Repeated, there: datetime, zone: str) -> Made | None:
    if (cycle := repeating.cycle(found)) and (when.clock or when.also or "days" in found.groups):
        return _alternating(when, found, cycle, there, zone)
    seconds = repeating.interval(found)
    days = repeating.days_of(when.also, there) if when.also else None
    if when.hours is not None:
        if not 0 < seconds < words.A_DAY:
            return None
        cron, said = repeating.within(seconds, *when.hours, days or ("* * *", "every day"))
        return {"cron": cron, "zone": zone}, f"{said} {zone}"
    if days is not None:
        if seconds not in {words.HOUR, words.HOUR // 2} or when.clock:
            return None
        minute = "0" if seconds == words.HOUR else "*/30"
        return {"cron": f"{minute} * {days[0]}", "zone": zone}, f"{repeating.in_words(seconds)}, {days[1]} {zone}"
    return _plain_interval(when, seconds, zone) or _daily(when, found, there, zone)


def _plain_interval(when: _When, seconds: int, zone: str) -> Made | None:
    if not seconds or seconds == words.A_DAY or (seconds == words.WEEK and "count" not in when.found.groups):  # type: ignore[union-attr]
        return None
    said = repeating.in_words(seconds)
    if when.clock is not None:
        raise ConfigError(f"I can't do {said} at a given time of day.", hint="Leave the time out: “every 2 hours”.")
    return {"every": seconds, "zone": zone}, said


def _alternating(when: _When, found: Repeated, cycle: tuple[str, int], there: datetime, zone: str) -> Made | None:
    """Return "every 2 weeks on Monday at 9": a cron expression that counts in one week of two, from the next one on."""
    unit, count = cycle
    named = when.also or (Repeated("days", found.end, found.groups) if "days" in found.groups else None)
    week = Repeated("weekly", found.end, {})
    day = ("* * *", "") if unit == "days" else repeating.days_of(named or week, there)
    if day is None:
        return None
    if unit == "days" and named is not None:
        raise ConfigError(
            "Every so many days and on certain days can't both be.", hint="Say it in weeks: “every 2 weeks on Monday”."
        )
    spec, said = _at_clock(when, named or found, (day[0], repeating.every_so_many(count, unit, day[1])), zone)
    first = times.following(spec, 0.0, there.timestamp())
    assert first is not None, "a day of the week always comes"
    begins = datetime.fromtimestamp(first, there.tzinfo).date()
    return {**spec, unit: count, "from": begins.isoformat()}, said


def _daily(when: _When, found: Repeated, there: datetime, zone: str) -> Made | None:
    day = repeating.days_of(found, there)
    return None if day is None else _at_clock(when, found, day, zone)


def _at_clock(when: _When, found: Repeated, day: repeating.Made, zone: str) -> Made:
    """Return days with the time of day that was said for them, or the usual one."""
    clock = when.clock.times if when.clock else ((words.PART_HOURS.get(found.part, 9), 0),)
    minutes = {minute for _, minute in clock}
    if len(minutes) > 1:
        raise ConfigError("One schedule can't do those times.", hint="Ask once for each time of day.")
    hours = ",".join(str(hour) for hour, _ in sorted(clock))
    told = " and ".join(f"{hour}:{minute:02d}" for hour, minute in sorted(clock))
    return {"cron": f"{minutes.pop()} {hours} {day[0]}", "zone": zone}, f"{day[1]} at {told} {zone}"


def _ending(made: Made, until: Once, there: datetime) -> Made:
    day = moments.last_day(until, there)
    if day is None:
        raise ConfigError("I don't understand until when.", hint="Say it like “until Friday” or “until 24 December”.")
    after = day + timedelta(days=1)
    end = datetime(after.year, after.month, after.day, tzinfo=there.tzinfo)
    if end <= there:
        raise ConfigError(f"{day:%A, %d %B %Y} has passed.", hint="Give a day to come.")
    return {**made[0], "until": end.timestamp()}, f"{made[1]}, until {day:%A, %d %B %Y}"


def _once(when: _When, found: Once | None, there: datetime, zone: str) -> Made | None:
    clock = when.clock.times[0] if when.clock else None
    if when.clock and len(when.clock.times) > 1:
        raise ConfigError("One reminder can't come at two times.", hint="Ask once for each.")
    half = when.clock.half if when.clock else False
    if found is None:
        return _made(moments.coming(clock, there, half=half), zone) if clock else None
    at = moments.moment(found, clock, there, half=half)
    return _made(at, zone) if at is not None else None


def _made(at: datetime, zone: str) -> Made:
    local = datetime.fromtimestamp(at.timestamp(), at.tzinfo)  # a time that the clocks skip becomes the one after
    return {"at": at.timestamp(), "zone": zone}, f"{local:%A, %d %B %Y, %H:%M} {zone}"
