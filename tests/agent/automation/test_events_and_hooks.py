"""Events reach their triggers once; webhooks are verified."""

from __future__ import annotations

import asyncio
import json

import pytest

from agent.automation.bell import Bell
from agent.automation.events import concerns
from agent.automation.webhook import replay_key, sign, verify
from agent.domain.event import Event
from agent.domain.trigger import TriggerKind

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
    assert run.provenance.untrusted_names == ("file:event-1.json",)
    assert json.loads((bot.workspace / "event-1.json").read_text())["payload"] == ORDER
    assert (await store.get_event("e1")).status == "handled"
    assert await store.events("new") == []


async def test_an_event_that_was_stored_before_a_crash_is_handled_at_the_start(automation, clock, store, a_trigger):
    await automation.create(a_trigger({"type": "order.*"}, kind=TriggerKind.EVENT))
    await store.publish(an_event())

    await automation.start()
    await clock.travel(automation, 0)
    await automation.stop()

    assert len(await store.fires_of("t1")) == 1


async def test_an_event_that_cannot_be_handled_is_dead_and_the_next_is_handled(
    automation, store, a_trigger, monkeypatch
):
    await automation.create(a_trigger({"type": "order.*"}, kind=TriggerKind.EVENT))
    fire = automation.launcher.fire

    async def breaks_once(trigger, key, *rest, **fields):
        if key == "event:e1":
            raise OSError("no space left")
        return await fire(trigger, key, *rest, **fields)

    monkeypatch.setattr(type(automation.launcher), "fire", lambda _self, *a, **k: breaks_once(*a, **k))
    await automation.publish(an_event())
    await automation.publish(an_event(key="e2"))
    await automation._round()

    (dead,) = await store.events("dead")
    assert (dead.key, dead.error) == ("e1", "no space left")
    assert [event.key for event in await store.events("handled")] == ["e2"]


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
        async with asyncio.timeout(5):
            await rung.wait()
    assert Bell(tmp_path / "bells").ring() == 0
