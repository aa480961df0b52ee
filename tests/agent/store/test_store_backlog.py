"""The journal counts what waits in it."""

from __future__ import annotations

from agent.domain.event import Event


async def test_what_waits_is_counted_with_its_age(store, clock, message, notice, new_run):
    assert (await store.backlog()).outbox_age == 0
    await store.receive([message("1"), message("2")])
    await store.post(notice("a"))
    await store.publish(Event("t", "s", "e1"))
    run = await new_run()
    clock.now += 60

    waits = await store.backlog()
    assert (waits.inbox, waits.inbox_age, waits.outbox, waits.outbox_age) == (2, 60, 1, 60)
    assert waits.runs == {run.status.value: 1}
    assert waits.events == {"new": 1}
    assert (waits.approvals, waits.questions) == (0, 0)
