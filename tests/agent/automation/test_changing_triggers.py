"""A trigger is changed as a whole, checked as a new one, and keeps its history."""

from __future__ import annotations

import pytest

from agent.domain.trigger import Misfire, Overlap, TriggerKind
from agent.errors import ConfigError, NotFound


async def test_another_time_counts_from_now_and_the_history_stays(automation, clock, store, a_trigger):
    begun = clock.now
    await automation.create(a_trigger({"every": 60, "said": "every minute"}, trusted=False))
    await automation.fire("t1")
    clock.now += 30

    made = await automation.update("t1", spec={"every": 3600})

    assert made.spec == {"every": 3600}
    assert made.next_fire == begun + 3600
    assert (made.last_fired, made.created_at, made.trusted) == (begun, begun, False)
    assert len(await store.fires_of("t1")) == 1


async def test_what_is_not_the_time_leaves_the_next_time_where_it_stands(automation, clock, store, a_trigger):
    await automation.create(a_trigger({"every": 60}))
    due = clock.now + 60
    clock.now += 90  # due already: it must not be passed over by a new name

    made = await automation.update(
        "t1",
        name="another",
        target={"request": "look"},
        misfire="all",
        misfire_cap=3,
        overlap="queue",
        priority=8,
        project="film",
        budget=2.5,
    )

    assert made.next_fire == due
    assert (made.name, made.target) == ("another", {"request": "look"})
    assert (made.misfire, made.misfire_cap, made.overlap) == (Misfire.ALL, 3, Overlap.QUEUE)
    assert (made.priority, made.project, made.budget) == (8, "film", 2.5)
    assert await store.get_trigger("t1") == made


async def test_a_trigger_is_switched_off_and_on_again(automation, clock, a_trigger):
    begun = clock.now
    await automation.create(a_trigger({"every": 60}))

    assert (await automation.update("t1", enabled=False)).next_fire is None
    clock.now += 100
    assert (await automation.update("t1", enabled=True)).next_fire == begun + 120


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"spec": {"cron": "61 * * * *"}}, "is not a cron expression"),
        ({"spec": {"at": 1.0}}, "is in the past"),
        ({"target": {"request": "a", "notice": "b"}}, "does not say what to do"),
        ({"overlap": "sometimes"}, "overlap 'sometimes' is not known. There are skip, queue, allow."),
        ({"misfire": "twice"}, "misfire 'twice' is not known. There are skip, once, all."),
        ({"budget": 0}, "A budget of 0 cannot be."),
        ({"priority": 10**9}, "The priority 1000000000 cannot be."),
        ({"misfire_cap": 0}, "At most 0 missed times cannot be."),
        ({"overlapp": "skip"}, "A trigger has no 'overlapp' that can be changed. Did you mean 'overlap'?"),
        ({"id": "t2"}, "A trigger has no 'id' that can be changed."),
    ],
)
async def test_a_change_that_cannot_be_leaves_everything_as_it_was(automation, store, a_trigger, changes, said):
    before = await automation.create(a_trigger({"every": 60}))

    with pytest.raises(ConfigError) as raised:
        await automation.update("t1", **changes)

    assert said in str(raised.value)
    assert await store.get_trigger("t1") == before


async def test_a_folder_that_is_not_there_is_refused_also_for_a_trigger_that_is_off(automation, a_trigger, tmp_path):
    await automation.create(a_trigger({"folder": str(tmp_path)}, kind=TriggerKind.FILE))
    await automation.disable("t1")

    with pytest.raises(ConfigError, match="is not there"):
        await automation.update("t1", spec={"folder": str(tmp_path / "gone")})
    assert (await automation.update("t1", name="renamed")).name == "renamed"


async def test_what_is_not_there_cannot_be_changed(automation):
    with pytest.raises(NotFound):
        await automation.update("t1", name="x")


@pytest.mark.parametrize(
    ("kind", "spec", "target"),
    [
        (TriggerKind.EVENT, {"type": ["order"]}, {"notice": "x"}),
        (TriggerKind.EVENT, {"type": "order", "conditions": 5}, {"notice": "x"}),
        (TriggerKind.FILE, {"folder": "~nobody-has-this-name/x"}, {"notice": "x"}),
        (TriggerKind.FILE, {"folder": "a/" * 5_000}, {"notice": "x"}),
        (TriggerKind.FILE, {"folder": "/tmp", "settle": "soon"}, {"notice": "x"}),
        (TriggerKind.FILE, {"folder": "/tmp", "settle": -1e300}, {"notice": "x"}),
        (TriggerKind.MANUAL, {}, {"request": ["look"]}),
        (TriggerKind.MANUAL, {}, {"pipeline": "greet", "inputs": 5}),
    ],
)
async def test_what_would_break_a_later_fire_is_refused_when_it_is_made(
    automation, store, a_trigger, kind, spec, target
):
    with pytest.raises(ConfigError):
        await automation.create(a_trigger(spec, kind=kind, target=target))
    assert await store.triggers() == []
