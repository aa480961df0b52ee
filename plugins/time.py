"""Dates, times and time zones.

Times are ISO 8601. Zones are IANA names such as `Europe/Berlin`, cities, or offsets such as `+02:00`. Without one the
person's is meant: the setting `time_zone` of this plugin, or else the machine's. That is why these tools run on the
host: inside the walls neither is known.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Literal

from plugins.api import Button, Context, Field, Form, Menu, Output, Plugin, ToolFailure, tool

plugin = Plugin(
    settings={"time_zone": "Your time zone, such as Europe/Berlin; without it, the machine's."},
    ui=(
        Menu("Time", (Button("What time is it?", "what time is it"),)),
        Form("Count days", "days_between", (Field("end", "Until when?", "date"), Field("start", "From when?", "date"))),
    ),
)

Unit = Literal[
    "minutes", "hours", "days", "weekdays", "weeks", "months", "years",
    "minute", "hour", "day", "weekday", "week", "month", "year",
]  # fmt: skip
"""People say both "1 week" and "2 weeks", and the planner without a model reads what they say."""
OFFSET = re.compile(r"^(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d{2}))?$", re.IGNORECASE)
WORDS = {"today": 0, "tomorrow": 1, "yesterday": -1, "heute": 0, "morgen": 1, "gestern": -1}
SATURDAY = 5
MAX_AMOUNT = 1_000_000


@tool(
    host=True,
    effect="pure",
    produces=("text",),
    examples=(
        "what time is it",
        "what time is it in {time_zone}",
        "time in {time_zone}",
        "what is the time in {time_zone}",
        "what is the time",
        "which day is it",
        "what is the day today",
        "welcher tag ist heute",
        "wie viel uhr ist es",
        "current time in {time_zone}",
        "what day is it",
        "what day is it today",
        "what is the date today",
        "what is the date",
        "today's date",
        "wie spät ist es",
        "wie spät ist es in {time_zone}",
        "quelle heure est-il à {time_zone}",
        "quelle heure est-il",
    ),
)
async def now(ctx: Context, time_zone: str = "") -> Output:
    """Tell the current date and time, here or in a time zone."""
    moment = datetime.now(_zone(ctx, time_zone)).replace(microsecond=0)
    return Output(moment.isoformat(), f"{moment:%A, %d %B %Y, %H:%M} ({_zone_name(moment)})")


@tool(
    host=True,
    effect="pure",
    produces=("number",),
    examples=(
        "how many days between {start} and {end}",
        "how many days from {start} to {end}",
        "days until {end}",
        "days between {start} and {end}",
        "how long until {end}",
        "how many days are there until {end}",
        "how many days since {start} until {end}",
        "wie viele tage bis {end}",
        "combien de jours jusqu'à {end}",
        "how many days until {end}",
        "wie viele tage zwischen {start} und {end}",
        "combien de jours entre {start} et {end}",
    ),
)
async def days_between(ctx: Context, end: str, start: str = "today") -> Output:
    """Count the days from one date to another; negative when it is past."""
    first, last = _moment(ctx, start), _moment(ctx, end)
    days = (last.date() - first.date()).days
    weeks = f", that is {days / 7:.1f} weeks" if abs(days) > 13 else ""  # two weeks read well as days
    return Output(days, f"From {first:%A, %d %B %Y} to {last:%A, %d %B %Y} it is {_plural(days, 'day')}{weeks}.")


@tool(
    host=True,
    effect="pure",
    produces=("text",),
    examples=(
        "what date is {amount} {unit} after {start}",
        "what date is {amount} {unit} from {start}",
        "add {amount} {unit} to {start}",
        "what is the date in {amount} {unit}",
        "what date is in {amount} {unit}",
        "what date will it be in {amount} {unit}",
        "what day is it in {amount} {unit}",
        "which date is in {amount} {unit}",
        "date in {amount} {unit}",
        "welches datum ist in {amount} {unit}",
    ),
)
async def add_to_date(ctx: Context, amount: int, unit: Unit = "days", start: str = "today") -> Output:
    """Add an amount of time (negative to go back) to a date or time; `weekdays` skips Saturdays and Sundays."""
    if abs(amount) > MAX_AMOUNT:
        raise ToolFailure(f"{amount} {unit} is more than this can add.", hint=f"Use at most {MAX_AMOUNT:,}.")
    begin = _moment(ctx, start)
    unit = unit.removesuffix("s") + "s"  # type: ignore[assignment]
    try:
        result = _added(begin, amount, unit)
    except (OverflowError, ValueError) as problem:
        raise ToolFailure(f"{start} and {amount} {unit} is outside the calendar (years 1 to 9999).") from problem
    timed = unit in {"minutes", "hours"} or "T" in start or ":" in start
    value = result.isoformat(timespec="minutes") if timed else result.date().isoformat()
    words = f"{result:%A, %d %B %Y, %H:%M}" if timed else f"{result:%A, %d %B %Y}"
    return Output(value, f"{amount:+d} {unit} from {begin:%d %B %Y}: {words}.")


@tool(
    host=True,
    effect="pure",
    produces=("text",),
    examples=(
        "convert {time} from {from_zone} to {to_zone}",
        "what is {time} from {from_zone} in {to_zone}",
        "{time} in {from_zone} to {to_zone}",
    ),
)
async def convert_time(ctx: Context, time: str, to_zone: str, from_zone: str = "") -> Output:
    """Convert a time or date and time from one time zone to another."""
    moment = _moment(ctx, time)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=_zone(ctx, from_zone))
        _refuse_gap(moment)
    there = moment.astimezone(_zone(ctx, to_zone))
    text = f"{moment:%d %B %Y, %H:%M} ({_zone_name(moment)}) is {there:%d %B %Y, %H:%M} ({_zone_name(there)})."
    return Output(there.isoformat(timespec="minutes"), text)


def _added(begin: datetime, amount: int, unit: Unit) -> datetime:
    if unit in {"months", "years"}:
        from dateutil.relativedelta import relativedelta

        # 31 January and one month is the last of February.
        moved: datetime = begin + (relativedelta(months=amount) if unit == "months" else relativedelta(years=amount))
        return moved
    if unit == "weekdays":
        return _weekdays_added(begin, amount)
    if unit in {"minutes", "hours"} and begin.tzinfo is not None:
        # An hour is an hour, also across a change to summer time.
        return (begin.astimezone(UTC) + timedelta(**{unit: amount})).astimezone(begin.tzinfo)
    return begin + timedelta(**{unit: amount})


def _weekdays_added(begin: datetime, amount: int) -> datetime:
    step = 1 if amount >= 0 else -1
    # Whole weeks at once: five weekdays are seven days from any weekday on.
    while begin.weekday() >= SATURDAY and amount:
        begin -= timedelta(days=step)
    begin += timedelta(weeks=step * (abs(amount) // 5))
    for _ in range(abs(amount) % 5):
        begin += timedelta(days=step)
        while begin.weekday() >= SATURDAY:
            begin += timedelta(days=step)
    return begin


def _moment(ctx: Context, text: str) -> datetime:
    """Read an ISO date or time, `today`, `tomorrow`, or a date as people write it (`3 March 2027`, `24.12.2026`)."""
    plain = text.strip()
    if plain.lower() == "now":
        return datetime.now(_zone(ctx, ""))
    today = datetime.now(_zone(ctx, "")).date()
    if plain.lower() in WORDS:
        day = today + timedelta(days=WORDS[plain.lower()])
        return datetime(day.year, day.month, day.day)  # noqa: DTZ001  # a calendar day has no zone
    try:
        return datetime.fromisoformat(plain)
    except ValueError:
        return _as_people_write(plain, today)


def _as_people_write(plain: str, today: date) -> datetime:
    from dateutil import parser

    try:
        # 24.12.2026 is day first, 12/24/2026 month first, as their separators are used.
        default = datetime.combine(today, datetime.min.time())
        moment: datetime = parser.parse(plain[:100], default=default, dayfirst=bool(re.match(r"\d{1,2}\.\d", plain)))
    except (ValueError, OverflowError, TypeError) as problem:
        raise ToolFailure(
            f"{plain[:100]!r} is not a date or time that I can read.",
            hint="Write it as 2026-12-24, 2026-12-24T18:30, or 24 December 2026.",
        ) from problem
    return moment


def _zone(ctx: Context, name: str) -> tzinfo | None:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    plain = name.strip()
    if not plain or plain.lower() in {"local", "here"}:
        plain = ctx.settings.get("time_zone", "")
    if not plain:
        return _machine_zone()
    offset = OFFSET.match(plain)
    if offset:
        away = timedelta(hours=int(offset[2]), minutes=int(offset[3] or 0))
        if away < timedelta(hours=24):
            return timezone(-away if offset[1] == "-" else away)
    try:
        return ZoneInfo(_known_zone(plain))
    except (ZoneInfoNotFoundError, ValueError, OSError) as problem:
        raise ToolFailure(f"There is no time zone {plain!r}.", hint=_like(plain)) from problem


def _machine_zone() -> tzinfo | None:
    """Return the machine's zone with its rules where /etc names it, else its present offset."""
    import os
    from zoneinfo import ZoneInfo

    named = os.environ.get("TZ", "") or os.path.realpath("/etc/localtime").rpartition("zoneinfo/")[2]
    try:
        return ZoneInfo(named)
    except (ValueError, OSError):
        return datetime.now().astimezone().tzinfo


def _known_zone(plain: str) -> str:
    """Return the IANA name for a zone or city in any case, such as `Europe/Berlin` for `berlin`."""
    from zoneinfo import available_timezones

    wanted = plain.replace(" ", "_").lower()
    zones = sorted(available_timezones(), key=lambda zone: ("/" not in zone, zone))
    exact = [zone for zone in zones if zone.lower() == wanted]
    cities = [zone for zone in zones if zone.rpartition("/")[2].lower() == wanted]
    return next(iter(exact or cities), plain)


def _like(plain: str) -> str:
    import difflib
    from zoneinfo import available_timezones

    names = {zone.rpartition("/")[2].lower(): zone for zone in sorted(available_timezones())}
    near = [names[city] for city in difflib.get_close_matches(plain.rpartition("/")[2].lower(), names, n=3)]
    return f"Did you mean {' or '.join(near)}?" if near else "Use an IANA name such as Europe/Berlin, or +02:00."


def _refuse_gap(moment: datetime) -> None:
    there_and_back = moment.astimezone(UTC).astimezone(moment.tzinfo)
    if there_and_back.replace(tzinfo=None) != moment.replace(tzinfo=None):
        raise ToolFailure(
            f"{moment:%H:%M} on {moment:%d %B %Y} does not exist there: the clocks go forward over it.",
            hint=f"The next time that exists is {there_and_back:%H:%M}.",
        )


def _zone_name(moment: datetime) -> str:
    key = getattr(moment.tzinfo, "key", None)
    offset = f"UTC{moment.isoformat()[-6:]}"
    return f"{key}, {offset}" if key else offset


def _plural(number: int, word: str) -> str:
    return f"{number:,} {word}" + ("" if abs(number) == 1 else "s")
