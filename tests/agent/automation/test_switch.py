"""The switch of all that runs by itself: halted, nothing fires, nothing is lost; it holds across restarts."""

from __future__ import annotations

import asyncio

import pytest

from agent.automation.switch import Switch
from agent.domain.event import Event
from agent.domain.trigger import TriggerKind


async def test_halted_nothing_fires_until_it_is_released_and_what_came_is_kept(automation, clock, store, a_trigger):
    await automation.create(a_trigger({"every": 3600}))
    await automation.create(
        a_trigger({"type": "order"}, id="t2", kind=TriggerKind.EVENT, target={"request": "Look at {file}"})
    )
    await automation.start()
    await automation.switch.halt()
    assert not (await automation.status())["running"]
    assert (await automation.status())["halted_since"] == clock.now

    await automation.publish(Event("order", "shop", "e1"))
    clock.now += 3 * 3600 + 1
    assert await store.due_triggers()
    assert [event.key for event in await store.events("new")] == ["e1"]
    assert await store.fires_of("t1") == []

    await automation.switch.release()
    assert (await automation.status())["running"]
    await clock.travel(automation, 1)
    assert len(await store.fires_of("t1")) == 1, "the newest of three missed times"
    assert len(await store.fires_of("t2")) == 1
    await automation.stop()


async def test_a_halt_survives_a_restart(automation, store, clock):
    rung = []
    await Switch(store, clock, lambda: rung.append(1) or 1).halt()
    assert rung == [1]

    await automation.start()
    while not automation.switch._held:
        await asyncio.sleep(0)
    assert not automation.switch.working.is_set()
    await automation.switch.release()
    assert automation.switch.working.is_set()
    await automation.stop()
    assert automation.switch.resting.is_set()


async def test_work_that_ends_by_an_error_is_not_begun_again(store, clock):
    switch = Switch(store, clock, int)

    async def broken() -> None:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        await switch.hold(broken)
    assert switch.resting.is_set()
