"""Contract: what is old and over is forgotten, and nothing that is unfinished or may still be needed."""

from __future__ import annotations

import asyncio
import dataclasses

from agent.domain.event import Event
from agent.domain.ledger import Balance, Cap
from agent.domain.messages import Destination, MessageKind, OutboundMessage
from agent.domain.states import Status
from agent.domain.trigger import Fire, Trigger, TriggerKind
from agent.store import tidying
from agent.store.tidying import tidy_daily

DEST = Destination("telegram", "4711")
DAY = 24 * 3600.0


async def pruned(store, days: float = 90) -> int:
    gone = 0
    while part := await store.prune(days * DAY):
        gone += part
    return gone


async def sent(store, message: OutboundMessage) -> None:
    await store.post(message)
    stored = await store.get_message(message.key)
    await store.mark_sent(stored.id, 1, "m1")


async def test_steps_of_runs_that_ended_long_ago_are_forgotten_and_the_runs_stay(store, new_run, message, clock):
    [heard] = await store.receive([message("1")])
    run = await new_run("a", "b", inbox_id=heard.id)
    await store.finish_run(run.id, run.epoch, status=Status.COMPLETED, answer="42")
    clock.now += 91 * DAY

    assert await pruned(store) == 2  # the run's steps, and the message
    assert await store.get_steps(run.id) == []
    assert (await store.get_run(run.id)).answer == "42"
    assert await pruned(store) == 0


async def test_what_is_unfinished_or_young_stays(store, new_run, notice, message, clock):
    waits = await new_run("a")
    await sent(store, notice("q", run_id=waits.id))
    [unheard] = await store.receive([message("1")])
    await store.publish(Event("e", "x", "new"))
    dead = await store.publish(Event("e", "x", "dead"))
    await store.settle_event(dead.id, "dead", "broken")
    await store.post(notice("never sent"))
    clock.now += 91 * DAY
    young = await new_run("a")
    await store.finish_run(young.id, young.epoch, status=Status.COMPLETED)
    await sent(store, notice("young"))

    assert await pruned(store) == 0
    assert len(await store.get_steps(waits.id)) == len(await store.get_steps(young.id)) == 1
    assert await store.unheard("telegram") == [unheard]
    assert {m.key for m in await store.messages_of(DEST.session_id)} == {"q", "never sent", "young"}
    assert len(await store.events("new")) == len(await store.events("dead")) == 1


async def test_delivered_messages_and_handled_events_are_forgotten(store, notice, clock):
    await sent(store, notice("old"))
    await sent(store, OutboundMessage(DEST, MessageKind.NOTICE, "budget:session:x:1", {"text": "90 %"}))
    event = await store.publish(Event("e", "x", "e"))
    await store.settle_event(event.id, "handled")
    clock.now += 91 * DAY

    assert await pruned(store) == 2
    assert [m.key for m in await store.messages_of(DEST.session_id)] == ["budget:session:x:1"]
    assert await store.get_event("e") is None


async def test_old_fires_are_forgotten_but_not_those_of_files(store, clock):
    timed = Trigger("t", "n", TriggerKind.SCHEDULE, {}, "s", DEST)
    await store.create_trigger(timed)
    await store.create_trigger(dataclasses.replace(timed, id="f", kind=TriggerKind.FILE))
    for trigger_id in ("t", "f"):
        await store.fire(Fire(trigger_id, "k", clock.now))
    clock.now += 91 * DAY

    assert await pruned(store) == 1
    assert await store.fired_keys("f", ["k"]) == {"k"}
    assert await store.fired_keys("t", ["k"]) == set()


async def test_accounts_of_old_days_are_forgotten_and_lasting_ones_stay(store, clock):
    names = ["day:1970-01-11", "user:7:1970-01-11", "session:x", "project:p", "day:2999-01-01", "user:a:b:2999-01-01"]
    for name in names:
        held = await store.reserve([Cap(name)], money=1.0, tokens=0)
        await store.settle(held.id, "s", None, "", [])
    clock.now += 365 * DAY

    assert await pruned(store) == 2


async def test_what_nobody_settled_within_a_day_counts_as_used(store, clock):
    await store.reserve([Cap("session:x")], money=0.5, tokens=7)
    clock.now += DAY - 1
    await store.prune(90 * DAY)
    assert (await store.balance("session:x")).reserved_money == 0.5
    clock.now += 2
    await store.prune(90 * DAY)

    assert await store.balance("session:x") == Balance("session:x", 0.5, 7)


async def test_a_journal_is_tidied_in_batches_until_nothing_is_left(store, new_run, notice, clock, monkeypatch):
    monkeypatch.setattr(tidying, "FIRST_SECONDS", 0.0)
    await asyncio.gather(*(store.post(notice(f"k{n}")) for n in range(1_200)))
    for stored in await store.due_messages("telegram", 2_000):
        await store.mark_sent(stored.id, 1, "m")
    clock.now += 91 * DAY
    task = asyncio.create_task(tidy_daily(store, 90))
    while await store.messages_of(DEST.session_id):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()


async def test_keeping_everything_is_possible(store, monkeypatch):
    monkeypatch.setattr(tidying, "FIRST_SECONDS", 0.0)

    await asyncio.wait_for(tidy_daily(store, 0), 60)
