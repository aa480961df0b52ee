"""Schedules in simulated time: exact, once each, by their policies."""

from __future__ import annotations

import asyncio
import itertools
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from agent.automation import times
from agent.automation.scheduler import LONGEST_SLEEP, AutomationScheduler
from agent.catalogue import Catalogue
from agent.domain.states import Status
from agent.domain.trigger import FireStatus, Misfire, Overlap, TriggerKind
from agent.errors import ConfigError, NotFound
from agent.pipelines import Pipelines
from agent.store.sql import SqlStore

YEAR_BEGINS = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
YEAR = 365 * 86400.0
ZONES = ["Europe/Vienna", "America/New_York", "Australia/Lord_Howe"]


async def due_times(store, trigger_id="t1", limit=10_000):
    return [fire.due_at for fire in reversed(await store.fires_of(trigger_id, limit))]


def local(moment: float, zone: str) -> datetime:
    return datetime.fromtimestamp(moment, ZoneInfo(zone))


@pytest.fixture
async def running(automation: AutomationScheduler):
    await automation.start()
    yield automation
    await automation.stop()


# --- a simulated year ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("zone", ZONES)
async def test_a_year_of_a_daily_time_fires_once_on_each_local_day_at_that_time(running, clock, store, a_trigger, zone):
    clock.now = clock.limit = YEAR_BEGINS
    await running.create(a_trigger({"cron": "30 2 * * *", "zone": zone}))

    await clock.travel(running, YEAR)

    fired = [local(moment, zone) for moment in await due_times(store)]
    days = [moment.date() for moment in fired]
    first = days[0]
    assert days == [first + timedelta(days=n) for n in range(365)]
    odd = [moment for moment in fired if (moment.hour, moment.minute) != (2, 30)]
    # The one day on which 2:30 does not exist fires when the gap ends; Lord Howe's gap is 2:00 to 2:30.
    assert len(odd) == (0 if zone == "Australia/Lord_Howe" else 1)
    assert all((moment.hour, moment.minute) == (3, 0) for moment in odd)


@pytest.mark.parametrize("zone", ZONES)
def test_a_year_of_an_hourly_cron_comes_once_in_each_real_hour(zone):
    spec = {"cron": "15 * * * *", "zone": zone}
    fired = [YEAR_BEGINS]
    while fired[-1] < YEAR_BEGINS + YEAR:
        fired.append(times.following(spec, YEAR_BEGINS, fired[-1]))
    del fired[0]

    if zone == "Australia/Lord_Howe":  # its clocks move by half an hour: 15 past is half an hour nearer, or further
        assert {later - earlier for earlier, later in itertools.pairwise(fired)} <= {1800.0, 3600.0, 5400.0}
    else:
        assert {later - earlier for earlier, later in itertools.pairwise(fired)} == {3600.0}
    assert all(local(moment, zone).minute == 15 for moment in fired)
    assert len(fired) in range(8759, 8762)


async def test_weekdays_at_eight_in_three_zones_are_what_the_calendar_says(running, clock, store, a_trigger):
    clock.now = clock.limit = YEAR_BEGINS
    for zone in ZONES:
        await running.create(a_trigger({"cron": "0 8 * * 1-5", "zone": zone}, id=zone))

    await clock.travel(running, YEAR)

    for zone in ZONES:
        day = local(YEAR_BEGINS, zone).replace(hour=8, minute=0)
        wanted = []
        while (moment := day.replace(fold=0).timestamp()) <= YEAR_BEGINS + YEAR:
            if day.weekday() < 5 and moment > YEAR_BEGINS:
                wanted.append(moment)
            day += timedelta(days=1)
        assert await due_times(store, zone) == wanted


async def test_an_interval_keeps_to_its_beginning(running, clock, store, a_trigger):
    begun = clock.now
    await running.create(a_trigger({"every": 900}))

    await clock.travel(running, 86400)

    assert await due_times(store) == [begun + 900 * n for n in range(1, 97)]


# --- being late ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("policy", "expected"),
    [(Misfire.SKIP, []), (Misfire.ONCE, [10]), (Misfire.ALL, [6, 7, 8, 9, 10])],
)
@pytest.mark.parametrize("spec", [{"every": 3600}, {"cron": "40 * * * *", "zone": "UTC"}], ids=["interval", "cron"])
async def test_what_was_missed_while_down_follows_the_policy(
    automation, clock, store, a_trigger, policy, expected, spec
):
    clock.now = clock.limit = 1_790_001_600.0  # 14:40 UTC
    begun = clock.now
    await automation.create(a_trigger(spec, misfire=policy, misfire_cap=5))
    clock.now += 10 * 3600 + 1800

    await automation.start()
    await clock.travel(automation, 0)
    fired = [fire.due_at for fire in await store.fires_of("t1") if fire.status is FireStatus.TOLD]
    upcoming = (await automation.get("t1")).next_fire
    await automation.stop()

    assert sorted(fired) == [begun + 3600 * n for n in expected]
    assert upcoming == begun + 11 * 3600


async def test_a_late_reminder_comes_and_says_when_it_was_due(automation, clock, store, a_trigger):
    await automation.create(a_trigger({"at": clock.now + 60, "zone": "UTC"}, target={"notice": "call Ada"}))
    clock.now += 86400

    await automation.start()
    await clock.travel(automation, 0)
    await automation.stop()

    (message,) = await store.messages_of("test:1")
    assert message.payload["text"].startswith("⏰ call Ada\n(This was due on Monday, 21 September at ")
    trigger = await automation.get("t1")
    assert (trigger.enabled, trigger.next_fire) == (False, None)


async def test_a_clock_that_is_set_back_fires_nothing_twice(running, clock, store, a_trigger):
    begun = clock.now
    await running.create(a_trigger({"every": 60}))
    await clock.travel(running, 300)

    clock.now -= 240
    await clock.travel(running, 600)

    assert await due_times(store) == [begun + 60 * n for n in range(1, 12)]


# --- overlaps -----------------------------------------------------------------------------------------------------
async def finish(store, run_id, orchestrator):
    leased = await store.lease_run(run_id, "me", 60)
    for status in (Status.READY, Status.RUNNING):
        await store.change_run(run_id, leased.epoch, status=status)
    await store.finish_run(run_id, leased.epoch, status=Status.COMPLETED)
    for tell in orchestrator.when_finished:
        tell(run_id)


async def test_an_overlapping_fire_is_skipped_waits_or_runs(running, clock, store, a_trigger):
    for policy in Overlap:
        trigger = a_trigger({"every": 60}, id=policy.value, target={"request": "say hi"}, overlap=policy)
        await running.create(trigger)

    await clock.travel(running, 185)

    found = {policy: [fire.status.value for fire in reversed(await store.fires_of(policy.value))] for policy in Overlap}
    assert found == {
        Overlap.SKIP: ["started", "skipped", "skipped"],
        Overlap.QUEUE: ["started", "waiting", "waiting"],
        Overlap.ALLOW: ["started", "started", "started"],
    }


async def test_queued_fires_run_one_after_the_other(running, clock, store, a_trigger):
    desk = running.launcher.orchestrator
    await running.create(a_trigger({"every": 60}, target={"request": "say hi"}, overlap=Overlap.QUEUE))
    await clock.travel(running, 185)
    assert len(desk.submitted) == 1

    for number in (1, 2):
        await finish(store, desk.submitted[-1].id, desk)
        await clock.travel(running, 0)
        await clock.travel(running, 0)
        assert len(desk.submitted) == number + 1

    statuses = [fire.status.value for fire in await store.fires_of("t1")]
    assert statuses == ["started", "started", "started"]
    assert [fire.run_status for fire in await store.fires_of("t1")] == [
        Status.PENDING,
        Status.COMPLETED,
        Status.COMPLETED,
    ]


# --- life of a trigger --------------------------------------------------------------------------------------------
async def test_a_paused_trigger_does_not_fire_and_goes_on_from_now(running, clock, store, a_trigger):
    begun = clock.now
    await running.create(a_trigger({"every": 100}))
    await running.disable("t1")
    await clock.travel(running, 1050)
    assert await due_times(store) == []

    await running.enable("t1")
    await clock.travel(running, 100)

    assert await due_times(store) == [begun + 1100]


async def test_a_deleted_trigger_is_gone(running, clock, store, a_trigger):
    await running.create(a_trigger({"every": 100}))
    await clock.travel(running, 100)
    await running.delete("t1")
    await clock.travel(running, 1000)

    assert await store.fires_of("t1") == []
    with pytest.raises(NotFound, match="There is no schedule or trigger 't1'"):
        await running.get("t1")


async def test_a_fire_by_hand_works_for_a_trigger_of_any_kind_also_when_it_is_off(running, store, a_trigger):
    await running.create(a_trigger({}, kind=TriggerKind.MANUAL, enabled=False))

    first, second = await running.fire("t1"), await running.fire("t1")

    assert first.key != second.key
    assert len(await store.messages_of("test:1")) == 2
    assert (await running.get("t1")).last_fired is not None


async def test_a_run_opened_by_a_trigger_knows_who_asked_and_what_for(running, clock, store, a_trigger):
    target = {"request": "say hi"}
    await running.create(a_trigger({"every": 60}, target=target, created_by="42", trusted=False))
    await clock.travel(running, 60)

    (run,) = await store.unfinished_runs()
    assert (run.request, run.user_id, run.origin.value) == ("say hi", "42", "trigger")
    assert run.provenance.untrusted_names == ("member:42",)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"spec": {"cron": "99 9 * * *"}}, "'99 9 \\* \\* \\*' is not a cron expression"),
        (
            {"spec": {"cron": "0 9 * * *", "zone": "Europe/Viena"}},
            "no time zone 'Europe/Viena'. Did you mean Europe/Vi",
        ),
        ({"spec": {"cron": "0 9 31 2 *"}}, "never comes true|is not a cron expression"),
        ({"spec": {"every": 0}}, "An interval of 0 seconds"),
        ({"spec": {"at": 5.0}}, "is in the past"),
        ({"spec": {}}, "says no time"),
        ({"spec": {"every": 5}, "target": {}}, "does not say what to do"),
        ({"spec": {"every": 5}, "target": {"pipeline": "x"}}, "nothing here runs pipelines"),
        ({"spec": {"folder": "/no/such"}, "kind": TriggerKind.FILE}, "The folder '/no/such' is not there"),
        ({"spec": {}, "kind": TriggerKind.EVENT}, "names no type of event"),
    ],
)
async def test_a_wrong_trigger_is_refused_with_what_is_wrong(automation, store, a_trigger, fields, message):
    with pytest.raises(ConfigError, match=message):
        await automation.create(a_trigger(fields.pop("spec"), **fields))
    assert await store.triggers() == []


# --- exactly once -------------------------------------------------------------------------------------------------
async def test_two_schedulers_on_one_journal_fire_each_time_once(tmp_path, a_desk, clock, store, a_trigger):
    other = SqlStore(tmp_path / "journal.db", clock=clock)
    await other.open()
    one = AutomationScheduler(store, a_desk(), clock, wait=clock.wait)
    two = AutomationScheduler(other, a_desk(), clock, wait=clock.wait)
    await one.create(a_trigger({"every": 60}, target={"request": "say hi"}))
    await one.launcher.session_of(await one.get("t1"))  # the session is there already
    due = clock.now + 60
    for n in range(20):
        clock.now = clock.limit = due + 60 * n
        await asyncio.gather(one._round(), two._round())

    runs = await store.unfinished_runs()
    await other.close()
    assert len(runs) == 20
    assert len(await store.fires_of("t1", 100)) == 20


async def test_a_pipeline_opens_a_run_with_its_plan_and_one_that_is_gone_is_noted(
    a_desk, clock, store, a_trigger, tmp_path
):
    text = "name: tickets\ninputs: {limit: number}\nsteps: [{id: a, use: value, args: {value: 1}}]\n"
    (tmp_path / "tickets.yaml").write_text(text)
    pipelines = Pipelines(tmp_path, Catalogue([]))
    automation = AutomationScheduler(store, a_desk(), clock, pipelines=pipelines, wait=clock.wait)
    await automation.create(a_trigger({"every": 60}, target={"pipeline": "tickets", "inputs": {"limit": 5}}))
    await automation.create(a_trigger({"every": 60}, id="t2", target={"pipeline": "gone"}))
    clock.now += 60
    await automation._round()

    (run,) = await store.unfinished_runs()
    assert (run.title, run.given["inputs"], run.request) == ("tickets", {"limit": 5}, "/run tickets")
    assert run.source == "pipeline:tickets"
    (failed,) = await store.fires_of("t2")
    assert failed.status is FireStatus.FAILED
    assert failed.subject.startswith("There is no pipeline 'gone'. There are tickets.")
    assert (await automation.get("t2")).next_fire == clock.now + 60


# --- in real time -------------------------------------------------------------------------------------------------
async def test_ten_thousand_triggers_cost_no_processor_time_and_fire_at_once(a_desk, tmp_path, a_trigger):
    store = SqlStore(tmp_path / "many.db")
    await store.open()
    automation = AutomationScheduler(store, a_desk())
    far = {"cron": "0 9 * * *", "zone": "Europe/Vienna"}
    many = [a_trigger(far, id=f"t{n}", next_fire=time.time() + 86400 + n) for n in range(10_000)]
    await asyncio.gather(*(store.create_trigger(trigger) for trigger in many))
    await automation.start()
    await asyncio.sleep(0.5)  # what is measured is time that passes
    before = time.process_time()
    await asyncio.sleep(1.5)
    used = time.process_time() - before
    await automation.create(a_trigger({"at": time.time() + 0.5}, id="soon"))
    async with asyncio.timeout(60):
        while not (fires := await store.fires_of("soon")):
            await asyncio.sleep(0.01)
    await automation.stop()
    await store.close()

    assert used < 0.03, f"{used:.3f} s of processor time in 1.5 s"
    assert fires[0].fired_at - fires[0].due_at < LONGEST_SLEEP / 2, "it came late"


def test_an_intervals_next_time_is_always_later():
    now = 1_790_000_000.1
    for every in (1, 0.1 + 1, 7, 1 / 3 + 1):
        at = now
        for _ in range(1000):
            following = times.following({"every": every}, now, at)
            assert following is not None
            assert following > at
            at = following


# --- a year with a machine that is often off ----------------------------------------------------------------------
@pytest.mark.parametrize("policy", list(Misfire))
@pytest.mark.parametrize(
    "spec",
    [{"every": 5400}, *({"cron": "30 2,14 * * *", "zone": zone} for zone in ZONES)],
    ids=["interval", *ZONES],
)
async def test_a_year_of_nights_that_are_missed_follows_the_policy_exactly(
    automation, clock, store, a_trigger, policy, spec
):
    clock.now = clock.limit = YEAR_BEGINS
    await automation.create(a_trigger(spec, misfire=policy, misfire_cap=3))
    wanted: list[float] = []
    every = list(all_times(spec, YEAR_BEGINS, YEAR_BEGINS + YEAR))
    for _ in range(26):  # two weeks: eleven days off, three days on
        before, clock.now = clock.now, clock.now + 11 * 86_400 + 1000.0
        clock.limit = clock.now
        missed = [at for at in every if before < at <= clock.now]
        late = {Misfire.SKIP: [], Misfire.ONCE: missed[-1:], Misfire.ALL: missed[-3:]}[policy]
        wanted += late
        await automation.start()
        await clock.travel(automation, 3 * 86_400)
        await automation.stop()
        wanted += [at for at in every if before + 11 * 86_400 + 1000.0 < at <= clock.now]

    fired = [fire.due_at for fire in await store.fires_of("t1", 20_000) if fire.status is FireStatus.TOLD]
    assert sorted(fired) == wanted


def all_times(spec, after: float, until: float):
    """Yield the times of a schedule that begins at `after`."""
    at = times.following(spec, after, after)
    while at <= until:
        yield at
        at = times.following(spec, after, at)
