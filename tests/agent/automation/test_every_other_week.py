"""One week or day in so many: exact over years, across daylight saving and restarts, in files as in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.automation.telling import described
from agent.automation.times import _cron, check, following, passed
from agent.domain.messages import Destination
from agent.domain.trigger import Misfire, Overlap, Trigger, TriggerKind
from agent.errors import ConfigError
from agent.testing import Bot

VIENNA = ZoneInfo("Europe/Vienna")
FORTNIGHT = {"cron": "30 2 * * 1,4", "zone": "Europe/Vienna", "weeks": 2, "from": "2026-11-26"}  # a Thursday


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=VIENNA).timestamp()


def local(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, VIENNA):%Y-%m-%d %H:%M}"


def all_times(spec: dict, anchor: float, first: float, last: float) -> list[float]:
    found = []
    while (first := following(spec, anchor, first) or last) < last:
        found.append(first)
    return found


def test_the_weeks_that_count_are_those_of_the_first_day_and_every_second_after_it():
    found = [local(one)[:10] for one in all_times(FORTNIGHT, 0.0, at("2026-11-24"), at("2026-12-31"))]
    assert found == ["2026-11-26", "2026-12-07", "2026-12-10", "2026-12-21", "2026-12-24"]


def test_years_of_them_keep_week_and_time_of_day_across_daylight_saving():
    spec = {**FORTNIGHT, "cron": "0 9 * * 1", "from": "2026-11-23"}
    found = [datetime.fromtimestamp(one, VIENNA) for one in all_times(spec, 0.0, at("2026-11-22"), at("2036-11-22"))]
    assert len(found) == 261
    assert {(one.weekday(), one.hour, one.minute) for one in found} == {(0, 9, 0)}
    assert {(b.date() - a.date()).days for a, b in pairwise(found)} == {14}


def test_an_interval_of_weeks_keeps_its_time_of_day_and_one_of_hours_does_not():
    begun = at("2026-10-12 09:15")
    weeks = all_times({"every": 1_209_600.0, "zone": "Europe/Vienna"}, begun, begun, at("2026-12-01"))
    hours = all_times({"every": 1_206_000.0, "zone": "Europe/Vienna"}, begun, begun, at("2026-11-01"))
    assert [local(one) for one in weeks] == ["2026-10-26 09:15", "2026-11-09 09:15", "2026-11-23 09:15"]
    assert [local(one) for one in hours] == ["2026-10-26 07:15"]
    assert all_times({"every": 86_400.0}, begun, begun, begun + 200_000) == [begun + 86_400.0, begun + 172_800.0]


def test_a_time_of_day_that_the_clocks_skip_comes_right_after_and_only_once():
    begun = at("2027-03-14 02:30")
    found = all_times({"every": 604_800.0, "zone": "Europe/Vienna"}, begun, begun, at("2027-04-12"))
    assert [local(one) for one in found] == [
        "2027-03-21 02:30", "2027-03-28 03:30", "2027-04-04 02:30", "2027-04-11 02:30",
    ]  # fmt: skip


@given(
    st.sampled_from([FORTNIGHT, {**FORTNIGHT, "weeks": 1, "days": 3}, {"every": 172_800.0, "zone": "Europe/Vienna"}]),
    st.integers(0, 500),
    st.integers(1, 400),
    st.integers(1, 30),
)
def test_what_passed_while_nobody_was_there_is_what_would_have_fired(spec, start, length, most):
    begun, dest = at("2026-11-23 02:30"), Destination("test", "1")
    trigger = Trigger("t1", "x", TriggerKind.SCHEDULE, {"notice": "x"}, "test:1", dest, spec, created_at=begun)
    due = following(spec, begun, begun + start * 86_400)
    now = due + length * 43_200.0
    would = [due, *all_times(spec, begun, due, now + 1)]
    assert passed(trigger, due, now, most) == would[-most:]


@pytest.mark.parametrize(
    ("change", "said"),
    [({"weeks": 0}, "Every 0 weeks"), ({"weeks": 2.5}, "Every 2.5 weeks"), ({"from": "soon"}, "needs a first day")],
)
def test_what_cannot_be_counted_is_said(change, said):
    with pytest.raises(ConfigError, match=said):
        check({**FORTNIGHT, **change})


def test_lists_say_which_weeks_count(a_trigger):
    assert described(a_trigger(FORTNIGHT)) == "cron 30 2 * * 1,4 Europe/Vienna, every 2 weeks from 2026-11-26"


async def test_each_of_its_times_fires_once_also_by_another_process(automation, clock, store, a_trigger, a_desk):
    first = datetime.fromtimestamp(clock.now, UTC).date() + timedelta(days=3)
    spec = {"cron": "0 9 * * *", "zone": "UTC", "weeks": 1, "days": 2, "from": first.isoformat()}
    await automation.create(a_trigger(spec, misfire=Misfire.ALL, misfire_cap=99, overlap=Overlap.ALLOW))
    for one in (automation, type(automation)(store, a_desk(), clock, wait=clock.wait, longest_sleep=1e12)):
        await one.start()
        await clock.travel(one, 20 * 86_400)
        await one.stop()
        clock.now += 5 * 86_400  # nobody is there

    await automation._round()
    days = [datetime.fromtimestamp(fire.due_at, UTC).date() for fire in reversed(await store.fires_of("t1", 99))]
    assert days == [first + timedelta(days=2 * n) for n in range(len(days))]
    assert 23 <= len(days) <= 25


PIPELINE = "name: p\nsteps: [{id: a, use: value, args: {value: 1}}]\ntriggers: [{schedule: %s}]\n"


async def test_a_files_other_monday_goes_on_as_it_was_begun_and_an_interval_of_weeks_is_one(bot: Bot, clock):
    folder = bot.config.folder / "pipelines"
    folder.mkdir(parents=True)
    (folder / "p.yaml").write_text(PIPELINE % "every other Monday at 9")
    (folder / "q.yaml").write_text(PIPELINE.replace("name: p", "name: q") % "{every: 2 weeks}")
    scheduled = bot.app.scheduled
    scheduled._clock = clock
    assert (await scheduled.set_schedules()).problems == {}
    before = {one.source: one for one in await bot.app.store.triggers()}

    clock.now += 8 * 86_400  # said anew now, it would begin with another Monday
    again = await scheduled.set_schedules()

    assert (again.created, again.changed, again.deleted) == ((), (), ())
    assert {one.source: one for one in await bot.app.store.triggers()} == before
    assert (before["p"].spec["weeks"], before["q"].spec["every"]) == (2, 1_209_600.0)
    (folder / "p.yaml").write_text(PIPELINE % "every other Monday at 10")
    assert (await scheduled.set_schedules()).changed == ("p",)


RARE = [
    {"cron": "* * * * *", "zone": "Europe/Vienna", "weeks": 2, "from": "2026-11-23"},
    {"cron": "*/5 * * * *", "zone": "America/Havana", "weeks": 520, "days": 1, "from": "2199-01-01"},
    {"cron": "* * * * * *", "zone": "Asia/Beirut", "days": 519, "from": "2026-11-26"},
    {"cron": "30 2 * * 1,4", "zone": "Europe/Vienna", "weeks": 3, "days": 2, "from": "2026-11-26"},
]


@pytest.mark.parametrize("spec", RARE)
def test_what_lies_years_ahead_is_found_at_once_and_is_the_first_that_counts(spec, monkeypatch):
    from agent.automation import times

    looked_at = []
    counts = times._day_that_counts
    monkeypatch.setattr(times, "_day_that_counts", lambda *a, **named: looked_at.append(a) or counts(*a, **named))
    check(spec)
    begun = at("2026-11-20")
    found = following(spec, 0.0, begun)
    zone, first = ZoneInfo(spec["zone"]), datetime.fromisoformat(spec["from"]).date()
    day = datetime.fromtimestamp(found, zone).date()
    assert (day - first).days >= 0
    assert (day - first).days % spec.get("days", 1) == 0
    assert ((day - first).days + first.weekday()) // 7 % spec.get("weeks", 1) == 0
    after_a_gap = following(spec, 0.0, found + 15 * 86_400)
    assert after_a_gap > found + 15 * 86_400
    assert len(looked_at) < 200  # a minute at a time there would be millions


@pytest.mark.parametrize("zone", ["Europe/Vienna", "America/Havana", "Asia/Beirut"])
@pytest.mark.parametrize("cron", ["*/20 * * * *", "0 0 * * *", "15 0,23 * * *"])
@pytest.mark.parametrize("start", ["2026-03-01", "2026-10-20"])
def test_leaping_leaves_nothing_out_where_clocks_change_at_midnight(zone, cron, start):
    plain = {"cron": cron, "zone": zone}
    spec = {**plain, "days": 3, "from": start}
    there, begin, first = ZoneInfo(zone), at(start), datetime.fromisoformat(start).date()
    end = begin + 40 * 86_400
    days = {one: datetime.fromtimestamp(one, there).date() for one in takewhile(lambda t: t < end, _cron(plain, begin))}
    wanted = [one for one, day in days.items() if day >= first and not (day - first).days % 3]
    assert list(takewhile(lambda t: t < end, _cron(spec, begin))) == wanted
    trigger = Trigger("t", "x", TriggerKind.SCHEDULE, {"notice": "x"}, "s", Destination("test", "1"), spec)
    assert passed(trigger, wanted[0], end - 1, 10_000) == wanted


@pytest.mark.parametrize(
    "spec",
    [
        {"every": float("nan")},
        {"every": 1e308},
        {"at": 1e18},
        {"at": True},
        {"every": 60, "until": "soon"},
        {**FORTNIGHT, "from": "9999-12-31"},
        {"cron": "0 0 29 2 *", "days": 519, "from": "2026-11-23"},
    ],
)
def test_times_that_no_calendar_has_are_refused(spec):
    with pytest.raises(ConfigError):
        check(spec)
