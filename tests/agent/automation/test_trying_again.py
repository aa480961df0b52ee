"""What the machine was in the way of waits and is done later; what a person has to put right does not."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from agent.automation.attempts import Attempts
from agent.automation.webhook import Hooks
from agent.catalogue import Catalogue
from agent.domain.event import Event
from agent.domain.trigger import FireStatus, Misfire, Overlap, TriggerKind
from agent.errors import ConfigError, JournalFailed, MachineFailed, ModelUnavailable, NotFound, may_pass
from agent.pipelines import Pipelines

FULL = OSError(errno.ENOSPC, "No space left on device")
UNREADABLE = Path("/proc/self/mem")  # it can be opened, and its first byte is a fault of input and output


def an_event(key: str, **fields: Any) -> Event:
    return Event("order.created", "shop", key, {"n": 1}, **fields)


def breaking(automation, monkeypatch, error: Exception, *, times: int, key: str = ""):
    """Have as many fires fail (those with a key, or all); return when that was."""
    kept = automation.launcher.run_of
    tried: list[float] = []

    async def breaks(trigger, fire, event=None):
        if key in {"", fire.key} and len(tried) < times:
            tried.append(automation._clock())
            raise error
        return await kept(trigger, fire, event)

    monkeypatch.setattr(type(automation.launcher), "run_of", lambda _self, *given: breaks(*given))
    return tried


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (FULL, True),
        (OSError(errno.EMFILE, "Too many open files"), True),
        (OSError(errno.EIO, "Input/output error"), True),
        (MemoryError(), True),
        (TimeoutError(), True),
        (JournalFailed("locked"), True),
        (ModelUnavailable("busy"), True),
        (FileNotFoundError(errno.ENOENT, "No such file"), False),
        (PermissionError(errno.EACCES, "Permission denied"), False),
        (OSError(errno.ENAMETOOLONG, "File name too long"), False),
        (NotFound("no pipeline"), False),
        (ConfigError("no"), False),
        (KeyError("k"), False),
    ],
)
def test_what_may_pass_is_the_machines_and_not_a_persons(error, passes):
    assert may_pass(error) is passes


def test_a_pipelines_file_that_cannot_be_read_just_now_is_not_gone(tmp_path):
    pipelines = Pipelines(tmp_path, Catalogue([]))
    with pytest.raises(MachineFailed, match="Input/output error"):
        pipelines.read(UNREADABLE)
    with pytest.raises(NotFound, match="No such file"):
        pipelines.read(tmp_path / "none.yaml")


def test_a_webhook_whose_secret_cannot_be_read_just_now_refuses_nobody(tmp_path):
    (tmp_path / "t1").symlink_to(UNREADABLE)
    with pytest.raises(MachineFailed, match="Input/output error"):
        Hooks(tmp_path).secret_of("t1")
    assert not Hooks(tmp_path).secret_of("t2")


# --- events -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("error", [FULL, JournalFailed("The journal is locked.")])
async def test_an_event_waits_as_long_as_the_machine_is_in_the_way_and_its_project_in_order(
    automation, clock, store, a_trigger, monkeypatch, error
):
    await automation.create(a_trigger({"type": "order.*"}, kind=TriggerKind.EVENT, target={"request": "look"}))
    tried = breaking(automation, monkeypatch, error, times=9, key="event:a1")
    for key in ("a1", "a2"):
        await automation.publish(an_event(key, project="film"))
    await automation.start()
    begun = clock.now
    await clock.travel(automation, 1000)
    assert [(event.key, event.error) for event in await store.events("new")] == [("a1", str(error)), ("a2", "")]
    await clock.travel(automation, 1000)
    await automation.stop()

    assert [round(at - begun) for at in tried] == [0, 1, 5, 21, 85, 341, 641, 941, 1241]
    assert [fire.key for fire in reversed(await store.fires_of("t1"))] == ["event:a1", "event:a2"]
    assert [(event.status, event.error) for event in await store.newest_events(9)] == [("handled", "")] * 2


async def test_a_rule_that_a_person_has_to_put_right_does_not_take_another_rules_second_try(
    automation, clock, store, a_trigger, monkeypatch
):
    gone = {"pipeline": "gone"}
    await automation.create(a_trigger({"type": "*"}, id="t1", kind=TriggerKind.EVENT))
    automation.launcher.pipelines = Pipelines(Path("/nowhere"), Catalogue([]))
    await automation.create(a_trigger({"type": "*"}, id="t2", kind=TriggerKind.EVENT, target=gone))
    await automation.update("t1", target={"request": "look"})
    breaking(automation, monkeypatch, FULL, times=1)
    await automation.publish(an_event("e1"))
    await automation.start()
    await clock.travel(automation, 60)
    await automation.stop()

    assert len(await store.fires_of("t1")) == 1
    (dead,) = await store.events("dead")
    assert "There is no pipeline 'gone'." in dead.error


async def test_an_event_that_was_dropped_while_it_waited_is_not_looked_for_again_and_again(
    automation, clock, store, a_trigger, monkeypatch
):
    await automation.create(a_trigger({"type": "*"}, kind=TriggerKind.EVENT, target={"request": "look"}))
    breaking(automation, monkeypatch, FULL, times=99)
    await automation.publish(an_event("e1"))
    await automation._round()
    await automation.drop(await automation.find_event("e1"))
    clock.now += 10

    assert await automation._round() > 1000


async def test_many_events_that_are_held_up_do_not_hide_those_behind_them(automation, store, a_trigger, monkeypatch):
    await automation.create(a_trigger({"type": "*"}, kind=TriggerKind.EVENT, target={"request": "look"}))
    breaking(automation, monkeypatch, FULL, times=1, key="event:f0")
    for n in range(450):
        await store.publish(an_event(f"f{n}", project="film"))
    await store.publish(an_event("other"))
    await automation._round()

    assert [fire.key for fire in await store.fires_of("t1")] == ["event:other"]
    assert len(await store.events("new", 1000)) == 450


async def test_an_event_that_no_rule_takes_says_so_with_the_rules_that_are_off(automation, store, a_trigger):
    rule = {"kind": TriggerKind.EVENT, "name": "film"}
    await automation.create(a_trigger({"type": "order.*"}, **rule))
    await automation.disable("t1")
    await automation.publish(an_event("e1"))
    await automation.publish(Event("mail.came", "shop", "e2", {}))
    await automation._round()

    said = {event.key: (event.status, event.error) for event in await store.newest_events(9)}
    assert said["e1"] == ("handled", "No rule takes it. Switched off: film.")
    assert said["e2"] == ("handled", "No rule takes it.")


# --- fires --------------------------------------------------------------------------------------------------------
async def test_a_time_that_could_not_begin_begins_later_once_and_the_next_ones_are_kept(
    automation, clock, store, a_trigger, monkeypatch
):
    spec = {"every": 600.0}
    await automation.create(a_trigger(spec, target={"request": "look"}, overlap=Overlap.ALLOW, misfire=Misfire.ALL))
    tried = breaking(automation, monkeypatch, FULL, times=3)
    await automation.start()
    await clock.travel(automation, 1250)
    await automation.stop()

    fires = list(reversed(await store.fires_of("t1")))
    assert [(fire.status, fire.run_id is not None) for fire in fires] == [(FireStatus.STARTED, True)] * 2
    assert [round(at - tried[0]) for at in tried] == [0, 1, 5]
    assert len(await store.recent_runs("test:1")) == 2


async def test_a_time_that_waits_for_the_machine_goes_on_after_a_restart(
    automation, clock, store, a_trigger, a_desk, monkeypatch
):
    await automation.create(a_trigger({"every": 600.0}, target={"request": "look"}))
    breaking(automation, monkeypatch, FULL, times=1)
    clock.now += 600
    await automation._round()
    assert [fire.status for fire in await store.fires_of("t1")] == [FireStatus.WAITING]

    again = type(automation)(store, a_desk(), clock, wait=clock.wait)
    await again._round()

    (fire,) = await store.fires_of("t1")
    assert (fire.status, fire.run_id is not None) == (FireStatus.STARTED, True)


async def test_a_time_that_meets_a_fault_of_ours_each_time_has_failed_in_the_end(
    automation, clock, store, a_trigger, monkeypatch
):
    await automation.create(a_trigger({"every": 3600.0}, target={"request": "look"}))
    tried = breaking(automation, monkeypatch, RuntimeError("no such thing"), times=99)
    await automation.start()
    await clock.travel(automation, 4000)
    await automation.stop()

    (fire,) = await store.fires_of("t1")
    assert (fire.status, fire.subject, len(tried)) == (FireStatus.FAILED, "no such thing", 5)


def test_pauses_grow_to_five_minutes():
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    pauses = []
    for _ in range(7):
        assert attempts.failed(1, [FULL])
        pauses.append((attempts.next_try or 0) - now[0])
        now[0] = attempts.next_try or 0
    assert pauses == [1, 4, 16, 64, 256, 300, 300]
    assert attempts.come_due()
    assert attempts.next_try is None
