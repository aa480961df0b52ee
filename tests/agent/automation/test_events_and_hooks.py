"""Events reach their triggers once; webhooks are verified."""

from __future__ import annotations

import asyncio
import json

import pytest

from agent.automation.bell import Bell
from agent.automation.mapping import EventMapper, concerns
from agent.automation.scheduler import AutomationScheduler
from agent.automation.webhook import replay_key, sign, verify
from agent.catalogue import Catalogue
from agent.domain.event import Event
from agent.domain.messages import Destination
from agent.domain.project import Project
from agent.domain.states import Status
from agent.domain.trigger import FireStatus, Overlap, TriggerKind
from agent.pipelines import Pipelines
from agent.store.sql import SqlStore

ORDER = {"order": {"total": 120, "country": "AT"}, "tags": ["new"]}


def an_event(**fields) -> Event:
    return Event(**{"type": "order.created", "source": "shop", "key": "e1", "payload": ORDER, **fields})


@pytest.mark.parametrize(
    ("spec", "fits"),
    [
        ({"type": "order.*"}, True),
        ({"type": "order.deleted"}, False),
        ({"type": "*", "conditions": {"order.total": {"ge": 100, "lt": 200}}}, True),
        ({"type": "*", "conditions": {"order.total": {"gt": 120}}}, False),
        ({"type": "*", "conditions": {"order.country": "AT", "source": "shop"}}, True),
        ({"type": "*", "conditions": {"tags": {"contains": "new"}}}, True),
        ({"type": "*", "conditions": {"order.country": {"gt": 5}}}, False),
        ({"type": "*", "conditions": {"no.such.place": 1}}, False),
        ({"type": "*", "conditions": {"order.total": {"about": 120}}}, False),
    ],
)
def test_an_event_concerns_a_trigger_by_type_and_conditions(spec, fits):
    assert concerns(spec, an_event()) is fits


async def test_an_event_fires_its_triggers_once_and_its_payload_is_not_trusted(
    automation, clock, store, a_trigger, bot
):
    fields = {"kind": TriggerKind.EVENT, "target": {"request": "Look at {file}"}}
    await automation.create(a_trigger({"type": "order.*"}, **fields))
    await automation.create(a_trigger({"type": "other"}, id="t2", **fields))

    assert await automation.publish(an_event())
    assert not await automation.publish(an_event())
    await automation._round()
    await automation._round()

    (run,) = await store.unfinished_runs()
    assert run.request == "Look at event-1.json"
    assert run.provenance.untrusted_names == ("event:shop",)
    assert json.loads((bot.workspace / "event-1.json").read_text())["payload"] == ORDER
    handled = await store.get_event("e1")
    assert (handled.status, handled.run_id) == ("handled", run.id)
    assert [(fire.trigger_id, fire.run_id) for fire in await store.fires_with("event:e1")] == [("t1", run.id)]
    assert await store.events("new") == []


async def test_an_event_that_was_stored_before_a_crash_is_handled_at_the_start(automation, clock, store, a_trigger):
    await automation.create(a_trigger({"type": "order.*"}, kind=TriggerKind.EVENT))
    await store.publish(an_event())

    await automation.start()
    await clock.travel(automation, 0)
    await automation.stop()

    assert len(await store.fires_of("t1")) == 1


async def test_an_event_that_meets_a_fault_of_ours_is_tried_again_ever_later_and_then_dead(
    automation, clock, store, a_trigger, monkeypatch
):
    await automation.create(a_trigger({"type": "order.*"}, kind=TriggerKind.EVENT))
    tried = breaking(automation, monkeypatch, "event:e1", RuntimeError("no such thing"), times=99)
    await automation.publish(an_event())
    await automation.publish(an_event(key="e2"))
    await automation.start()
    begun = clock.now
    await clock.travel(automation, 3600)
    await automation.stop()

    assert [round(at - begun) for at in tried] == [0, 1, 5, 21, 85]
    (dead,) = await store.events("dead")
    assert (dead.key, dead.error) == ("e1", "no such thing")
    assert [event.key for event in await store.events("handled")] == ["e2"]


async def test_a_project_has_its_events_handled_strictly_in_order_and_others_are_not_held_up(
    automation, clock, store, a_trigger, monkeypatch
):
    await automation.create(a_trigger({"type": "order.*"}, kind=TriggerKind.EVENT))
    breaking(automation, monkeypatch, "event:a1", OSError("busy"), times=2)
    for key, project in (("a1", "film"), ("a2", "film"), ("b1", "other"), ("a3", "film"), ("n1", "")):
        await automation.publish(an_event(key=key, project=project))

    await automation._round()
    assert [fire.key for fire in reversed(await store.fires_of("t1"))] == ["event:b1", "event:n1"]

    await automation.start()
    await clock.travel(automation, 60)
    await automation.stop()
    fired = [fire.key for fire in reversed(await store.fires_of("t1"))]
    assert fired == ["event:b1", "event:n1", "event:a1", "event:a2", "event:a3"]


async def test_events_of_a_paused_project_are_kept_and_handled_in_order_when_it_goes_on(automation, store, a_trigger):
    await automation.create(a_trigger({"type": "*"}, kind=TriggerKind.EVENT))
    await store.put_project(Project("film", "test:1", Destination("test", "1")))
    await store.pause_project("film", paused=True)
    for n in range(5):
        await automation.publish(an_event(key=f"f{n}", project="film"))
    await automation.publish(an_event(key="other"))
    await automation._round()
    assert [fire.key for fire in await store.fires_of("t1")] == ["event:other"]

    await store.pause_project("film", paused=False)
    automation.changed()
    await automation._round()

    fired = [fire.key for fire in reversed(await store.fires_of("t1"))]
    assert fired == ["event:other", *(f"event:f{n}" for n in range(5))]


def breaking(automation, monkeypatch, key, error, *, times):
    """Have the fires with a key fail as often as said; return when they were tried."""
    fire = automation.launcher.fire
    tried = []

    async def breaks(trigger, wanted, *rest, **fields):
        if wanted == key:
            tried.append(automation._clock())
            if len(tried) <= times:
                raise error
        return await fire(trigger, wanted, *rest, **fields)

    monkeypatch.setattr(type(automation.launcher), "fire", lambda _self, *a, **k: breaks(*a, **k))
    return tried


# --- what an event is mapped to -----------------------------------------------------------------------------------
def test_an_event_meets_its_rules_by_priority_with_the_terms_that_count(a_trigger):
    def rule(name, spec, **fields):
        return a_trigger(spec, id=name, **{"kind": TriggerKind.EVENT, **fields})

    mapper = EventMapper(
        [
            rule("usual", {"type": "order.*"}, project="shop"),
            rule("urgent", {"type": "order.*", "conditions": {"order.total": {"ge": 100}}}, priority=10),
            rule("low", {"type": "*"}, priority=1, project="shop"),
            rule("off", {"type": "*"}, enabled=False),
            rule("schedule", {"every": 60}, kind=TriggerKind.SCHEDULE),
            rule("hook", {"type": "*"}, kind=TriggerKind.WEBHOOK),
            rule("none", {"type": "order.deleted"}),
        ]
    )

    mapped = mapper.map_event(an_event(priority=7))
    assert [(one.id, one.priority, one.project) for one in mapped] == [
        ("urgent", 10, ""),
        ("usual", 7, "shop"),
        ("low", 1, "shop"),
    ]
    assert {one.project for one in mapper.map_event(an_event(project="film"))} == {"film"}
    assert [one.id for one in mapper.map_event(an_event(source="webhook:hook", payload={}))] == ["usual", "hook", "low"]


async def test_an_events_run_has_the_project_the_priority_the_budget_and_typed_inputs(
    pipelines_at_work, store, a_trigger, tmp_path
):
    await store.put_project(Project("film", "test:2", Destination("test", "2")))
    inputs = {"total": "{{ event.payload.order.total * 2 }}", "who": "{{ event.source }} {{ trigger.name }}"}
    await pipelines_at_work.create(
        a_trigger(
            {"type": "order.*"},
            kind=TriggerKind.EVENT,
            target={"pipeline": "take", "inputs": inputs},
            budget=0.25,
        )
    )
    await pipelines_at_work.publish(an_event(project="film", priority=8))
    await pipelines_at_work._round()

    (run,) = await store.unfinished_runs()
    assert run.given["inputs"] == {"total": 240, "who": "shop a schedule"}
    assert (run.project, run.priority, run.budget, run.source) == ("film", 8, 0.25, "pipeline:take")
    assert (run.session_id, run.dest.chat_id) == ("test:2", "2")
    assert run.provenance.untrusted_names == ("event:shop",)


async def test_a_missing_value_makes_a_dead_letter_that_says_so_and_can_be_handled_once_it_is_mended(
    pipelines_at_work, store, a_trigger
):
    target = {"pipeline": "take", "inputs": {"total": "{{ event.payload.sum }}", "who": "x"}}
    await pipelines_at_work.create(a_trigger({"type": "order.*"}, kind=TriggerKind.EVENT, target=target))
    await pipelines_at_work.create(
        a_trigger({"type": "order.*"}, id="t2", kind=TriggerKind.EVENT, target={"request": "look"})
    )
    await pipelines_at_work.publish(an_event())
    await pipelines_at_work._round()

    (dead,) = await store.events("dead")
    assert "`{{ event.payload.sum }}`" in dead.error
    assert "sum" in dead.error
    assert len(await store.fires_of("t2")) == 1

    good = {"pipeline": "take", "inputs": {"total": "{{ event.payload.order.total }}", "who": "x"}}
    await pipelines_at_work.update("t1", target=good)
    assert await store.requeue_event(dead.id)
    pipelines_at_work.events_came()
    await pipelines_at_work._round()

    assert (await store.get_event("e1")).status == "handled"
    assert [len(await store.fires_of(name)) for name in ("t1", "t2")] == [1, 1]


async def test_a_fire_that_waited_has_its_event_and_terms(pipelines_at_work, store, a_trigger):
    target = {"pipeline": "take", "inputs": {"total": "{{ event.payload.order.total }}", "who": "x"}}
    kind = {"kind": TriggerKind.EVENT, "overlap": Overlap.QUEUE}
    await pipelines_at_work.create(a_trigger({"type": "*"}, target=target, **kind))
    await pipelines_at_work.publish(an_event())
    await pipelines_at_work.publish(an_event(key="e2", payload={"order": {"total": 7}}, project="film", priority=9))
    await pipelines_at_work.publish(an_event(key="e3", payload={"order": {}}))
    await pipelines_at_work.publish(an_event(key="e4", payload={"order": {"total": 8}}))
    await pipelines_at_work._round()
    assert [fire.status for fire in await store.fires_of("t1")] == [FireStatus.WAITING] * 2 + [FireStatus.STARTED]
    assert [event.key for event in await store.events("dead")] == ["e3"]

    for _ in range(3):
        (run,) = await store.unfinished_runs()
        await end(store, run)
        pipelines_at_work.changed()
        await pipelines_at_work._round()

    runs = list(reversed(await store.recent_runs()))
    assert [(run.given["inputs"]["total"], run.project, run.priority) for run in runs] == [
        (120, "", 5),
        (7, "film", 9),
        (8, "", 5),
    ]
    assert {fire.status for fire in await store.fires_of("t1")} == {FireStatus.STARTED}
    assert [(await store.get_event(key)).run_id for key in ("e1", "e2", "e3", "e4")] == [
        runs[0].id,
        runs[1].id,
        None,
        runs[2].id,
    ]


async def test_a_waiting_fire_whose_pipeline_is_gone_fails_and_holds_up_no_other(
    pipelines_at_work, store, a_trigger, tmp_path
):
    target = {"pipeline": "take", "inputs": {"total": 1, "who": "x"}}
    await pipelines_at_work.create(a_trigger({"every": 3600}, target=target))
    await pipelines_at_work.create(a_trigger({"every": 3600}, id="t2", target={"request": "hello"}))
    await pipelines_at_work.fire_elsewhere("t1")
    await pipelines_at_work.fire_elsewhere("t2")
    (tmp_path / "take.yaml").unlink()
    pipelines_at_work.changed()
    await pipelines_at_work._round()

    (failed,) = await store.fires_of("t1")
    assert (failed.status, failed.subject[:30]) == (FireStatus.FAILED, "There is no pipeline 'take'. P")
    assert [run.request for run in await store.unfinished_runs()] == ["hello"]


async def end(store, run) -> None:
    leased = await store.lease_run(run.id, "test", 60)
    for status in (Status.READY, Status.RUNNING):
        await store.change_run(run.id, leased.epoch, status=status)
    await store.finish_run(run.id, leased.epoch, status=Status.COMPLETED)


@pytest.fixture
def pipelines_at_work(a_desk, clock, store, tmp_path):
    text = "name: take\ninputs: {total: number, who: text}\nsteps: [{id: a, use: value, args: {value: 1}}]\n"
    (tmp_path / "take.yaml").write_text(text)
    pipelines = Pipelines(tmp_path, Catalogue([]))
    return AutomationScheduler(store, a_desk(), clock, pipelines=pipelines, wait=clock.wait)


def test_a_webhooks_call_is_verified():
    good = sign("secret", b"{}", "1000")
    assert verify("secret", b"{}", "1000", good, now=1200)
    assert not verify("secret", b"{}", "1000", good, now=1301)
    assert not verify("secret", b"{}", "1000", good, now=699)
    assert not verify("secret", b"{ }", "1000", good, now=1000)
    assert not verify("other", b"{}", "1000", good, now=1000)
    assert not verify("secret", b"{}", "1001", good, now=1000)
    assert not verify("", b"{}", "1000", sign("", b"{}", "1000"), now=1000)
    assert not verify("secret", b"{}", "nan", sign("secret", b"{}", "nan"), now=1000)
    assert not verify("secret", b"{}", "soon", good, now=1000)
    assert not verify("secret", b"{}", "1000", "sha256=é", now=1000)


async def test_a_replayed_call_is_stored_once(automation):
    key = replay_key("1000", b"{}")
    assert await automation.publish(an_event(key=key))
    assert not await automation.publish(an_event(key=key))


async def test_a_bell_wakes_the_other_processes_and_forgets_the_dead(tmp_path):
    rung = asyncio.Event()
    with Bell(tmp_path / "bells").listening(rung.set):
        assert Bell(tmp_path / "bells").ring() == 1
        async with asyncio.timeout(60):
            await rung.wait()
    assert Bell(tmp_path / "bells").ring() == 0


async def test_two_schedulers_on_one_journal_handle_each_event_once_and_in_order(
    tmp_path, a_desk, clock, store, a_trigger
):
    other = SqlStore(tmp_path / "journal.db", clock=clock)
    await other.open()
    one = AutomationScheduler(store, a_desk(), clock, wait=clock.wait)
    two = AutomationScheduler(other, a_desk(), clock, wait=clock.wait)
    await one.create(a_trigger({"type": "*"}, kind=TriggerKind.EVENT))
    for n in range(60):
        await store.publish(an_event(key=f"e{n:02}", project=("a", "b")[n % 2]))

    await asyncio.gather(one._round(), two._round())

    fired = [fire.key for fire in reversed(await store.fires_of("t1", 100))]
    await other.close()
    assert sorted(fired) == [f"event:e{n:02}" for n in range(60)]
    for project in (0, 1):
        mine = [key for key in fired if int(key[-2:]) % 2 == project]
        assert mine == sorted(mine)
    assert {event.status for event in await store.newest_events(100)} == {"handled"}


async def test_one_channel_leaves_events_to_others_that_concern_other_chats(automation, clock, store, a_trigger):
    await automation.create(a_trigger({"type": "order.*"}, kind=TriggerKind.EVENT))
    elsewhere = Destination("telegram", "9")
    theirs = {"kind": TriggerKind.EVENT, "dest": elsewhere, "session_id": elsewhere.session_id}
    await automation.create(a_trigger({"type": "mail.*"}, id="t2", **theirs))
    automation.channel = "test"
    await automation.publish(an_event(type="mail.came", key="m1"))
    await automation.publish(an_event())
    await automation._round()

    assert [event.key for event in await store.events("new")] == ["m1"]
    assert len(await store.fires_of("t1")) == 1
    automation.channel = ""
    automation.events_came()
    await automation._round()
    assert len(await store.fires_of("t2")) == 1
