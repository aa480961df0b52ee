"""The memory and time tools, as plain functions."""

from __future__ import annotations

import re
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest

from plugins.api import ToolFailure
from plugins.memory import forget, recall, remember
from plugins.time import add_to_date, convert_time, days_between, now


class FakeMemory:
    def __init__(self) -> None:
        self.entries: list[str] = []

    async def remember(self, text: str, tag: str = "") -> str:
        self.entries.append(f"- [{tag}] {text}" if tag else f"- {text}")
        return self.entries[-1]

    async def recall(self, query: str = "", limit: int = 20) -> list[str]:
        return [entry for entry in self.entries if query in entry][:limit]

    async def forget(self, query: str) -> list[str]:
        gone = [entry for entry in self.entries if query in entry]
        self.entries = [entry for entry in self.entries if entry not in gone]
        return gone


@pytest.fixture
def ctx() -> Any:
    return SimpleNamespace(memory=FakeMemory(), settings={"time_zone": "Europe/Berlin"})


async def refusal(call: Any) -> str:
    with pytest.raises(ToolFailure) as caught:
        await call
    return f"{caught.value.message} {caught.value.hint}"


# --- memory ---------------------------------------------------------------------------------------------------------


async def test_what_is_remembered_is_recalled_and_can_be_forgotten(ctx: Any):
    assert (await remember(ctx, "I like\n tea", "PREF")).text == "Remembered: [PREF] I like tea"
    assert (await recall(ctx, "tea")).value == ["[PREF] I like tea"]
    assert (await recall(ctx)).text == "- [PREF] I like tea"
    assert (await forget(ctx, "tea")).text == "Forgotten:\n- [PREF] I like tea"
    assert (await recall(ctx, "tea")).text == "I remember nothing about 'tea'."
    assert (await recall(ctx)).text == "I remember nothing yet."
    assert "nothing to forget" in (await forget(ctx, "tea")).text


async def test_nothing_and_too_much_are_not_remembered(ctx: Any):
    assert "nothing to remember" in await refusal(remember(ctx, "  "))
    assert "at most 2,000" in await refusal(remember(ctx, "x" * 3_000))
    assert "Say what to forget" in await refusal(forget(ctx, " "))
    assert ctx.memory.entries == []


# --- time -----------------------------------------------------------------------------------------------------------


async def test_now_is_told_in_the_persons_zone_or_the_one_asked_for(ctx: Any):
    here = await now(ctx)
    assert re.search(r"\(Europe/Berlin, UTC\+0[12]:00\)$", here.text)
    for zone in ("Asia/Tokyo", "tokyo", "+09:00", "UTC+9"):
        assert (await now(ctx, zone)).value.endswith("+09:00")
    assert "America/New_York" in (await now(ctx, "new york")).text
    moment = datetime.fromisoformat((await now(ctx, "UTC")).value)
    assert abs((datetime.now(moment.tzinfo) - moment).total_seconds()) < 5


async def test_without_a_setting_the_machines_zone_is_used(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    assert (await now(SimpleNamespace(settings={}))).value.endswith("+05:30")  # type: ignore[arg-type]


async def test_an_unknown_zone_names_the_nearest(ctx: Any):
    assert "Did you mean Europe/Berlin" in await refusal(now(ctx, "Berln"))
    assert "There is no time zone '../etc/passwd'" in await refusal(now(ctx, "../etc/passwd"))
    assert "Europe/Berlin, or +02:00" in await refusal(now(ctx, "qqqqqq"))


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        ("2026-01-01", "2026-12-31", 364),
        ("2024-02-28", "2024-03-01", 2),
        ("24 December 2026", "1.1.2027", 8),
        ("12/24/2026", "2026-12-25T23:59", 1),
        ("2026-05-02", "2026-05-01", -1),
        ("today", "tomorrow", 1),
        ("yesterday", "heute", 1),
    ],
)
async def test_days_are_counted_between_dates_as_people_write_them(ctx: Any, start: str, end: str, days: int):
    assert (await days_between(ctx, end, start)).value == days


async def test_what_is_no_date_is_refused_with_how_to_write_one(ctx: Any):
    assert "'soonish' is not a date" in await refusal(days_between(ctx, "soonish"))
    assert "is not a date" in await refusal(days_between(ctx, "x" * 100_000))


@pytest.mark.parametrize(
    ("start", "amount", "unit", "result"),
    [
        ("2026-01-31", 1, "months", "2026-02-28"),
        ("2024-02-29", 1, "years", "2025-02-28"),
        ("2026-12-31", 1, "days", "2027-01-01"),
        ("2026-11-20", 1, "weekdays", "2026-11-23"),
        ("2026-11-21", 1, "weekdays", "2026-11-23"),
        ("2026-11-23", -1, "weekdays", "2026-11-20"),
        ("2026-11-18", 10, "weekdays", "2026-12-02"),
        ("2026-11-20", 1, "week", "2026-11-27"),
        ("2026-11-20", 1, "weekday", "2026-11-23"),
        ("2026-11-20", -2, "weeks", "2026-11-06"),
        ("2026-11-20T23:30", 45, "minutes", "2026-11-21T00:15"),
        ("2026-11-20", 2, "hours", "2026-11-20T02:00"),
    ],
)
async def test_amounts_are_added_as_the_calendar_has_it(ctx: Any, start: str, amount: int, unit: Any, result: str):
    assert (await add_to_date(ctx, amount, unit, start)).value == result


async def test_weekdays_agree_with_counting_one_by_one(ctx: Any):
    for start in ("2026-11-16", "2026-11-19", "2026-11-21", "2026-11-22"):
        for amount in (1, 4, 5, 6, 11, -1, -5, -7):
            day = start
            for _ in range(abs(amount)):
                day = (await add_to_date(ctx, 1 if amount > 0 else -1, "weekdays", day)).value
            assert (await add_to_date(ctx, amount, "weekdays", start)).value == day


async def test_a_result_outside_the_calendar_is_refused(ctx: Any):
    assert "outside the calendar" in await refusal(add_to_date(ctx, 9_000, "years", "2026-01-01"))
    assert "more than this can add" in await refusal(add_to_date(ctx, 10**9, "days"))


async def test_a_time_is_converted_between_zones(ctx: Any):
    assert (await convert_time(ctx, "2026-07-01T12:00", "Asia/Tokyo", "UTC")).value == "2026-07-01T21:00+09:00"
    assert (await convert_time(ctx, "2026-07-01 12:00", "UTC")).value == "2026-07-01T10:00+00:00"
    assert (await convert_time(ctx, "2026-07-01T12:00+02:00", "UTC", "Asia/Tokyo")).value == "2026-07-01T10:00+00:00"
    assert "Asia/Tokyo" in (await convert_time(ctx, "9:30", "Tokyo", "Berlin")).text


async def test_a_time_that_the_clocks_skip_is_refused(ctx: Any):
    said = await refusal(convert_time(ctx, "2026-03-29T02:30", "UTC", "Europe/Berlin"))
    assert "02:30 on 29 March 2026 does not exist there" in said
    assert "03:30" in said
