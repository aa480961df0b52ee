"""The journal is read backwards, page by page, and summed up day by day."""

from __future__ import annotations

from agent.domain.event import Event
from agent.domain.ledger import Usage
from agent.domain.states import Status

DAY = 86_400.0


async def test_days_are_summed_by_what_was_made_and_used(store, clock, new_run):
    begins = clock.now
    for n in range(3):
        run = await new_run()
        await store.spend("s", run.id, "", [Usage("m", "llm", 10, 5, 0.5 if n else None)])
        clock.now += DAY

    days = await store.daily([begins, begins + DAY, begins + 2 * DAY, begins + 3 * DAY])
    assert [day.begins for day in days] == [begins, begins + DAY, begins + 2 * DAY]
    assert [sum(day.runs.values()) for day in days] == [1, 1, 1]
    assert [(day.calls, day.tokens, day.money) for day in days] == [(1, 15, 0.0), (1, 15, 0.5), (1, 15, 0.5)]
    assert await store.daily([begins]) == []


async def test_runs_events_and_the_audit_log_are_paged_backwards(store, new_run):
    made = [await new_run() for _ in range(4)]
    newest = await store.recent_runs(limit=2)
    older = await store.recent_runs(limit=2, before=newest[-1].id)
    assert [run.id for run in (*newest, *older)] == [run.id for run in made[::-1]]
    assert await store.recent_runs(status=Status.COMPLETED) == []
    assert len(await store.recent_runs(status=made[0].status)) == 4

    for n in range(3):
        await store.publish(Event("t", "s", f"e{n}"))
        await store.audit("looked", "s", {"n": n})
    events = await store.newest_events(1)
    assert [event.key for event in await store.newest_events(before=events[0].id)] == ["e1", "e0"]
    last = (await store.audit_entries(kind="looked", limit=1))[0]
    assert [entry.facts["n"] for entry in await store.audit_entries(kind="looked", before=last.id)] == [0, 1]
