"""Times in Chinese, where nothing stands between the words: 每天9点…, 每周五上午9点提醒我…, 20分钟后提醒我…."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from agent.automation import times
from agent.automation.repeating import every_so_many
from agent.automation.vocabulary import A_DAY, DAY_NAMES
from agent.errors import ConfigError

DIGITS = {"零": 0, "一": 1, "二": 2, "两": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9, "十": 10}
WEEK = {"一": 0, "二": 1, "三": 2, "四": 3, "五": 4, "六": 5, "日": 6, "天": 6}
UNITS = {"分钟": 60, "小时": 3600, "个小时": 3600, "天": 86_400, "周": 604_800, "秒": 1}
AHEAD = {"今天": 0, "今晚": 0, "明天": 1, "明早": 1, "明晚": 1, "后天": 2}
PARTS = {"早上": 8, "早晨": 8, "上午": 9, "中午": 12, "下午": 15, "晚上": 20, "凌晨": 6}
_NUMBER = r"(?:\d{1,4}|[一二两三四五六七八九十]{1,3})"
_CLOCK = (
    r"(?P<part>早上|早晨|上午|中午|下午|晚上|凌晨)?"
    rf"(?:(?P<hour>{_NUMBER})(?:[点點时](?:(?P<half>半)|(?P<minute>\d{{1,2}})分?)?|[:：](?P<colon>\d{{2}})))?"
)
_EVERY = re.compile(
    rf"(?:请)?每(?:隔(?![一1]个?[周星礼天日]))?(?:(?:(?P<skip>隔[一1])|(?P<cycle>{_NUMBER}))个?(?P<of>周|星期|礼拜|天|日)"
    rf"(?:的?(?:周|星期|礼拜)(?P<on>[一二三四五六日天](?:[和、,，][一二三四五六日天])*))?|(?P<count>{_NUMBER})?(?P<unit>分钟|个?小时)|(?P<day>天|日)|个?(?P<work>工作日)|"
    rf"(?:周|星期|个?星期|礼拜)(?P<week>[一二三四五六日天](?:[和、,，][一二三四五六日天])*)|个?月(?P<dom>{_NUMBER})[日号])(?:的)?{_CLOCK}"
)
_SPAN = re.compile(rf"(?:请)?(?:(?P<count>{_NUMBER})(?P<unit>分钟|个?小时|天)|(?P<half_hour>半个?小时))(?:之?后|以后)")
_ONCE = re.compile(
    rf"(?:请)?(?:(?P<ahead>今天|今晚|明天|明早|明晚|后天)|(?P<next>下)?(?:周|星期)(?P<week>[一二三四五六日天])|(?P<month>\d{{1,2}})月(?P<dom>\d{{1,2}})[日号]){_CLOCK}"
)
_REMIND = re.compile(r"(?:请)?提醒我")
_VERB = re.compile(r"请|给我|发|告诉|检查|总结|做|写|查|看|生成|整理|报告|汇报|统计|备份|搜索|列出")


@dataclass(frozen=True, slots=True)
class Found:
    """A time in Chinese, and what is to be asked (`request`) or told (`notice`) then."""

    spec: dict[str, Any]
    said: str
    what: str = ""
    kind: str = "request"


def understand(text: str, now: datetime, zone: str) -> Found | None:
    """Return the schedule or reminder at the beginning of a text; None when there is none. Raises ConfigError."""
    plain = re.sub(r"\s+", "", text).rstrip("。！!.")
    reminds = _REMIND.match(plain)
    rest = plain[reminds.end() :] if reminds else plain
    for pattern in (_EVERY, _SPAN, _ONCE):
        match = pattern.match(rest)
        if match is None:
            continue
        what = rest[match.end() :].lstrip(",，")
        inner = _REMIND.match(what)
        what = what[inner.end() :] if inner else what
        told = bool(reminds or inner)
        if what and (told or _VERB.match(what)):
            spec, said = _made(match, pattern, now.astimezone(times.zone(zone)), zone)
            return Found(spec, said, what, "notice" if told else "request")
    return None


def time_of(text: str, now: datetime, zone: str) -> Found | None:
    """Return a text that is a time and nothing else. Raises ConfigError."""
    plain = re.sub(r"\s+", "", text)
    for pattern in (_EVERY, _SPAN, _ONCE):
        match = pattern.fullmatch(plain)
        if match is not None:
            return Found(*_made(match, pattern, now.astimezone(times.zone(zone)), zone))
    return None


def _made(match: re.Match[str], pattern: re.Pattern[str], there: datetime, zone: str) -> tuple[dict[str, Any], str]:
    found = {name: said for name, said in match.groupdict().items() if said}
    if pattern is _EVERY:
        return _in_cycle(found, there, zone) if "of" in found else _every(found, zone)
    if pattern is _SPAN:
        seconds = 1800 if "half_hour" in found else _number(found["count"]) * UNITS[found["unit"]]
        at = datetime.fromtimestamp(there.timestamp() + seconds, there.tzinfo)
    else:
        at = _moment(found, there)
    if at <= there:
        raise ConfigError(f"{at:%A, %d %B %Y, %H:%M} has passed.", hint="Give a time to come.")
    return {"at": at.timestamp(), "zone": zone}, f"{at:%A, %d %B %Y, %H:%M} {zone}"


def _every(found: dict[str, str], zone: str) -> tuple[dict[str, Any], str]:
    if "unit" in found:
        seconds = _number(found.get("count", "一")) * UNITS[found["unit"]]
        if "hour" in found:
            raise ConfigError("An interval has no time of day.", hint="每天9点…, or 每2小时… without a time.")
        amount, name = (seconds // 3600, "hour") if seconds % 3600 == 0 else (seconds // 60, "minute")
        return {"every": seconds, "zone": zone}, f"every {amount} {name}s" if amount > 1 else f"every {name}"
    days, said = "* * *", "every day"
    if "work" in found:
        days, said = "* * 1-5", "every weekday"
    elif "week" in found:
        numbers = sorted({WEEK[sign] for sign in found["week"] if sign in WEEK})
        days = "* * " + ",".join(str((number + 1) % 7) for number in numbers)
        said = "every " + " and ".join(DAY_NAMES[number] for number in numbers)
    elif "dom" in found:
        days, said = f"{_number(found['dom'])} * *", f"on day {_number(found['dom'])} of each month"
    hour, minute = _clock(found)
    return {"cron": f"{minute} {hour} {days}", "zone": zone}, f"{said} at {hour}:{minute:02d} {zone}"


def _in_cycle(found: dict[str, str], there: datetime, zone: str) -> tuple[dict[str, Any], str]:
    """Return 每两周周一9点: one week, or day, of so many."""
    count = 2 if "skip" in found else _number(found["cycle"])
    unit = "days" if found["of"] in {"天", "日"} else "weeks"
    if "on" not in found and not found.keys() & {"hour", "part"}:
        seconds = count * (A_DAY if unit == "days" else 7 * A_DAY)
        return {"every": seconds, "zone": zone}, every_so_many(count, unit, "")
    numbers = sorted({WEEK[sign] for sign in found.get("on", "") if sign in WEEK}) or [there.weekday()]
    days = "* * *" if unit == "days" else "* * " + ",".join(str((number + 1) % 7) for number in numbers)
    hour, minute = _clock(found)
    spec = {"cron": f"{minute} {hour} {days}", "zone": zone}
    first = times.following(spec, 0.0, there.timestamp())
    assert first is not None, "a day of the week always comes"
    said = every_so_many(count, unit, " and ".join(DAY_NAMES[number] for number in numbers))
    begins = datetime.fromtimestamp(first, there.tzinfo).date().isoformat()
    return {**spec, unit: count, "from": begins}, f"{said} at {hour}:{minute:02d} {zone}"


def _moment(found: dict[str, str], there: datetime) -> datetime:
    today = there.date()
    if "ahead" in found:
        day = today + timedelta(days=AHEAD[found["ahead"]])
    elif "week" in found:
        monday = today - timedelta(days=today.weekday()) + timedelta(days=7 * ("next" in found))
        day = monday + timedelta(days=WEEK[found["week"]])
        day += timedelta(days=7 * (day < today))
    else:
        try:
            day = today.replace(month=int(found["month"]), day=int(found["dom"]))
        except ValueError:
            raise ConfigError(f"There is no day {found['month']}月{found['dom']}日.", hint="Check the date.") from None
        day = day.replace(year=day.year + (day < today))
    usual = {"今晚": ("晚上", 20), "明晚": ("晚上", 20), "明早": ("早上", 8)}.get(found.get("ahead", ""))
    if usual:
        found = {"part": usual[0], **found}
    hour, minute = _clock(found)
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=there.tzinfo)


def _clock(found: dict[str, str]) -> tuple[int, int]:
    part = found.get("part", "")
    if "hour" not in found:
        return PARTS.get(part, 9), 0
    hour = _number(found["hour"])
    minute = 30 if "half" in found else int(found.get("minute") or found.get("colon") or 0)
    if part in {"下午", "晚上"} and hour < 12:
        hour += 12
    if hour > 23 or minute > 59:
        raise ConfigError(f"There is no time {hour}:{minute:02d}.", hint="Give one from 0:00 to 23:59.")
    return hour, minute


def _number(said: str) -> int:
    if said.isdigit():
        return int(said)
    if "十" in said:
        tens, _, ones = said.partition("十")
        return DIGITS.get(tens, 1) * 10 + DIGITS.get(ones, 0)
    return DIGITS.get(said, 1)
