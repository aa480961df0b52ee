"""When a schedule fires: intervals from their beginning, cron in a time zone, or one moment.

Daylight saving is as in Debian's cron, which cronsim follows: a daily time that does not exist on a day is made up for
right after the gap, a time that comes twice fires once, and what fires every hour or minute goes on by real time. An
interval of whole days or weeks keeps its time of day, too. With `weeks` or `days` only one week (day) in so many of a
cron expression counts, beginning with that of the date `from`.
"""

from __future__ import annotations

import math
import os
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from agent.domain.trigger import Misfire
from agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.domain.trigger import Trigger

SHORTEST = 1.0
GRACE = 60.0  # what is less late than this was not missed
NO_ZONE = "UTC"
A_DAY = 86_400
MOST_APART = 520
LATEST = 32_503_680_000.0  # the year 3000: what comes later no calendar can show
YEARS = range(1970, 2201)
LONGEST_WAIT = 50  # years in which a cron expression has to come true
SPECS = 'Give {"every": seconds}, {"cron": "0 9 * * 5", "zone": "Europe/Vienna"} or {"at": seconds since 1970}.'


def zone(name: str) -> ZoneInfo:
    """Return a time zone by its IANA name. Raises ConfigError with the nearest names."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(f"There is no time zone {name!r}.", hint=_nearest(name)) from None


def _nearest(name: str) -> str:
    import difflib
    from zoneinfo import available_timezones

    names = {one.rpartition("/")[2].lower(): one for one in sorted(available_timezones())}
    near = [names[city] for city in difflib.get_close_matches(name.rpartition("/")[2].lower(), names, n=3)]
    return f"Did you mean {' or '.join(near)}?" if near else "Use an IANA name such as Europe/Vienna."


def local_zone(wanted: str = "") -> str:
    """Return the name of the person's zone: the one that is `wanted`, or else the machine's, or else UTC."""
    if wanted:
        return zone(wanted).key
    named = os.environ.get("TZ", "") or os.path.realpath("/etc/localtime").rpartition("zoneinfo/")[2]
    try:
        return ZoneInfo(named).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return NO_ZONE


def persons_zone(wanted: str) -> str:
    """Return a person's zone as `local_zone` does; the machine's where the wanted one is none."""
    try:
        return local_zone(wanted)
    except ConfigError:
        return local_zone()


def check(spec: dict[str, Any]) -> None:
    """Raise ConfigError when a schedule's spec is wrong, or never fires."""
    if "every" in spec:
        if not _is_number(spec["every"]) or not SHORTEST <= spec["every"] <= LATEST:
            raise ConfigError(
                f"An interval of {spec['every']!r} seconds cannot be kept.", hint="Use at least 1 second."
            )
    elif "cron" in spec:
        _check_cycle(spec)
        if next(_cron(spec, 0.0), None) is None:
            raise ConfigError(f"The cron expression {spec['cron']!r} never comes true.", hint="Check day and month.")
    elif not _is_number(spec.get("at")) or not spec["at"] <= LATEST:
        raise ConfigError(f"A schedule of {spec!r} says no time.", hint=SPECS)
    if "until" in spec and not _is_number(spec["until"]):
        raise ConfigError(f"A schedule until {spec['until']!r} cannot be kept.", hint="Give seconds since 1970.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_cycle(spec: dict[str, Any]) -> None:
    """Raise ConfigError for "one week in so many" that cannot be counted."""
    for unit in ("weeks", "days"):
        count = spec.get(unit, 1)
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MOST_APART:
            raise ConfigError(f"Every {count!r} {unit} cannot be kept.", hint=f"Use 1 to {MOST_APART}.")
        if unit in spec and _first_day(spec) is None:
            raise ConfigError(
                f"A schedule of every {count} {unit} needs a first day.", hint='Give {"from": "2026-11-23"}.'
            )


def _first_day(spec: dict[str, Any]) -> date | None:
    try:
        first = date.fromisoformat(str(spec.get("from")))
    except ValueError:
        return None
    return first if first.year in YEARS else None


def _day_that_counts(spec: dict[str, Any], day: date, *, back: bool) -> date | None:
    """Return the nearest day from `day` on, or back, that belongs to the weeks and days that count; None: none does.

    Weeks begin on Monday. Whole stretches are leapt over: there may be years of minutes in them.
    """
    first = _first_day(spec)
    if first is None or (day < first and not back):
        return first or day
    while day >= first:
        days = (day - first).days
        week = (days + first.weekday()) // 7 % int(spec.get("weeks", 1))
        apart = days % int(spec.get("days", 1))
        if week:
            leap = -day.weekday() - 1 - 7 * (week - 1) if back else 7 * (int(spec["weeks"]) - week) - day.weekday()
        elif apart:
            leap = -apart if back else int(spec["days"]) - apart
        else:
            return day
        day += timedelta(days=leap)
    return None


def _cron(spec: dict[str, Any], start: float, *, down_to: float | None = None) -> Iterator[float]:
    """Yield the times after `start`, or, newest first, those before it down to another time."""
    begin = datetime.fromtimestamp(start, UTC).astimezone(zone(str(spec.get("zone") or NO_ZONE)))
    last = max(begin.date(), _first_day(spec) or date.min).year + LONGEST_WAIT
    back = down_to is not None
    moments = _moments(spec, begin, back=back)
    while (moment := next(moments, None)) is not None and moment.year <= last:
        if down_to is not None and moment.timestamp() < down_to:
            return
        day = _day_that_counts(spec, moment.date(), back=back)
        if day is None:
            return
        if day == moment.date():
            yield moment.timestamp()
        else:
            moments = _moments(spec, _edge(moment, day, back=back), back=back)


def _moments(spec: dict[str, Any], begin: datetime, *, back: bool) -> Iterator[datetime]:
    from cronsim import CronSim, CronSimError

    try:
        return CronSim(str(spec["cron"]), begin, reverse=back)
    except CronSimError as error:
        raise ConfigError(
            f"{spec['cron']!r} is not a cron expression: {error}.",
            hint="It has five parts: minute hour day month weekday, such as `0 9 * * 5`.",
        ) from None


def _edge(moment: datetime, day: date, *, back: bool) -> datetime:
    """Return where to go on with a day, right before it or, going back, right after it; never behind `moment`."""
    midnight = datetime.combine(day + timedelta(days=back), datetime.min.time(), moment.tzinfo)
    edge = midnight - timedelta(seconds=not back)
    return min(moment, edge, key=datetime.timestamp) if back else max(moment, edge, key=datetime.timestamp)


def following(spec: dict[str, Any], anchor: float, after: float) -> float | None:
    """Return the first time after `after` (seconds since 1970); `anchor` is where an interval begins. None: never.

    A spec with `until` (seconds since 1970) has no time from then on.
    """
    found = _following(spec, anchor, after)
    return None if found is None or found >= spec.get("until", math.inf) else found


def _following(spec: dict[str, Any], anchor: float, after: float) -> float | None:
    if "at" in spec:
        return float(spec["at"]) if spec["at"] > after else None
    if "every" in spec:
        count = max(1, int((after - anchor) // float(spec["every"])))
        while (found := _nth(spec, anchor, count)) <= after:  # rounding must not let a time come twice
            count += 1
        return found
    return next((time for time in _cron(spec, after) if time > after), None)


def _nth(spec: dict[str, Any], anchor: float, count: int) -> float:
    """Return the time of an interval that comes `count` after its beginning."""
    every = float(spec["every"])
    if every % A_DAY or not spec.get("zone"):
        return anchor + count * every
    there = zone(str(spec["zone"]))
    begin = datetime.fromtimestamp(anchor, UTC).astimezone(there).replace(tzinfo=None)
    return (begin + timedelta(seconds=count * every)).replace(tzinfo=there).timestamp()


def passed(trigger: Trigger, due: float, now: float, most: int) -> list[float]:
    """Return the newest times of a schedule from `due` to `now`, at most `most`, oldest first."""
    spec = trigger.spec
    now = min(now, spec.get("until", math.inf) - SHORTEST)
    if "at" in spec:
        return [due]
    if "every" in spec:
        return _passed_intervals(trigger, due, now, most)
    found: list[float] = []
    for time in _cron(spec, now + 1.0, down_to=due):
        if len(found) == most:
            break
        if time <= now:
            found.append(time)
    return found[::-1] or [due]


def _passed_intervals(trigger: Trigger, due: float, now: float, most: int) -> list[float]:
    """Return the newest times of an interval, counted from its beginning as `following` does."""
    spec, anchor = trigger.spec, trigger.created_at
    last = int((now - anchor) // float(spec["every"])) + 1  # one more where the clocks were put forward meanwhile
    found = [_nth(spec, anchor, count) for count in range(max(1, last - most - 1), last + 1)]
    return [time for time in found if due <= time <= now][-most:] or [due]


def to_fire(trigger: Trigger, due: float, now: float) -> list[float]:
    """Return the times from `due` to `now` that fire: what has just come always, what was missed by the policy."""
    most = trigger.misfire_cap if trigger.misfire is Misfire.ALL else 1
    found = passed(trigger, due, now, most)
    if trigger.misfire is Misfire.SKIP and now - found[-1] > GRACE:
        return []
    return found
