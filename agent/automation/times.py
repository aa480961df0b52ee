"""When a schedule fires: intervals from their beginning, cron in a time zone, or one moment.

Daylight saving is as in Debian's cron, which cronsim follows: a daily time that does not exist on a day is made up for
right after the gap, a time that comes twice fires once, and what fires every hour or minute goes on by real time.
"""

from __future__ import annotations

import math
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.domain.trigger import Trigger

SHORTEST = 1.0
NO_ZONE = "UTC"
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
        every = spec["every"]
        if not isinstance(every, int | float) or isinstance(every, bool) or every < SHORTEST:
            raise ConfigError(f"An interval of {every!r} seconds cannot be kept.", hint="Use at least 1 second.")
    elif "cron" in spec:
        if next(_cron(spec, 0.0), None) is None:
            raise ConfigError(f"The cron expression {spec['cron']!r} never comes true.", hint="Check day and month.")
    elif not isinstance(spec.get("at"), int | float):
        raise ConfigError(f"A schedule of {spec!r} says no time.", hint=SPECS)


def _cron(spec: dict[str, Any], start: float, *, reverse: bool = False) -> Iterator[float]:
    from cronsim import CronSim, CronSimError

    begin = datetime.fromtimestamp(start, UTC).astimezone(zone(str(spec.get("zone") or NO_ZONE)))
    try:
        times = CronSim(str(spec["cron"]), begin, reverse=reverse)
    except CronSimError as error:
        raise ConfigError(
            f"{spec['cron']!r} is not a cron expression: {error}.",
            hint="It has five parts: minute hour day month weekday, such as `0 9 * * 5`.",
        ) from None
    for moment in times:
        yield moment.timestamp()


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
        every = float(spec["every"])
        count = max(1, int((after - anchor) // every) + 1)
        found = anchor + count * every
        return found if found > after else found + every  # rounding must not let a time come twice
    return next((time for time in _cron(spec, after) if time > after), None)


def passed(trigger: Trigger, due: float, now: float, most: int) -> list[float]:
    """Return the newest times of a schedule from `due` to `now`, at most `most`, oldest first."""
    spec = trigger.spec
    now = min(now, spec.get("until", math.inf) - SHORTEST)
    if "at" in spec:
        return [due]
    if "every" in spec:
        every = float(spec["every"])
        last = int((now - due) // every)
        return [due + n * every for n in range(max(0, last - most + 1), last + 1)]
    found: list[float] = []
    for time in _cron(spec, now + 1.0, reverse=True):
        if time < due or len(found) == most:
            break
        if time <= now:
            found.append(time)
    return found[::-1] or [due]
