"""Contract: sessions, the inbox, and runs with their leases."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.domain.messages import Attachment, Destination
from agent.domain.plan import PlanStep
from agent.domain.provenance import USER, Provenance
from agent.domain.run import Origin, Run, StepChange
from agent.domain.states import Status
from agent.errors import IllegalTransition, NotFound, StaleLease
from agent.store.rows import short_id

DEST = Destination("telegram", "4711")


async def test_a_session_is_created_once_and_then_refreshed(store, clock):
    await store.touch_session("telegram:4711", Path("/a"), {"chat_id": "4711"})
    clock.now += 5
    await store.touch_session("telegram:4711", Path("/b"), {"chat_id": "4711"})

    [session] = await store.sessions()
    assert session == {
        "id": "telegram:4711",
        "folder": Path("/b"),
        "dest": {"chat_id": "4711"},
        "created_at": clock.now - 5,
        "seen_at": clock.now,
    }


async def test_a_redelivered_message_is_left_out(store, message):
    [first] = await store.receive([message("1"), message("1")])
    again = await store.receive([message("1"), message("2")])

    assert first.id > 0
    assert [m.update_id for m in again] == ["2"]
    assert [m.update_id for m in await store.unheard("telegram")] == ["1", "2"]


async def test_a_message_is_stored_with_everything_that_came_with_it(store, message, clock):
    file = Attachment("a.csv", file_id="f1", mime="text/csv", size=12, trusted=False)
    sent = message(
        text="sum \x00 this", action="x", quoted="he said", language="de", attachments=(file,), trusted=False
    )
    [stored] = await store.receive([sent])

    assert [stored] == await store.unheard("telegram")
    assert stored.attachments == (file,)
    assert (stored.dest, stored.quoted, stored.language, stored.trusted) == (DEST, "he said", "de", False)
    assert stored.received_at == clock.now
    assert "\x00" not in stored.text


async def test_the_offset_moves_with_the_messages(store, message):
    fresh = await store.receive_and_set([message("8")], "telegram.offset", "9")

    assert [m.update_id for m in fresh] == ["8"]
    assert await store.get_value("telegram.offset") == "9"


async def test_values_are_kept_and_replaced(store):
    assert await store.get_value("k") is None
    await store.set_value("k", "1")
    await store.set_value("k", "2")
    assert await store.get_value("k") == "2"


async def test_a_message_that_was_dealt_with_is_not_unheard(store, message):
    [one, two] = await store.receive([message("1"), message("2")])
    await store.heard(one.id)
    await store.heard(one.id)

    assert await store.unheard("telegram") == [two]
    assert await store.unheard("terminal") == []
    with pytest.raises(NotFound):
        await store.heard(999)


async def test_a_message_may_be_edited_until_it_is_heard(store, message):
    [stored] = await store.receive([message(text="bye")])
    assert await store.edit_message(stored.id, "hi")
    assert [m.text for m in await store.unheard("telegram")] == ["hi"]
    await store.heard(stored.id)
    assert not await store.edit_message(stored.id, "too late")


async def test_a_message_opens_one_run_however_often(store, message):
    [stored] = await store.receive([message()])
    run = Run("telegram:4711", "hi", DEST, inbox_id=stored.id, user_id="7", corr_id="c", origin=Origin.API)
    first = await store.open_run(run)
    second = await store.open_run(run)

    assert first == second
    assert first.id > 0
    assert len(first.ref) == 8
    assert (first.status, first.origin, first.user_id, first.corr_id) == (Status.PENDING, Origin.API, "7", "c")
    assert await store.unheard("telegram") == []
    assert await store.find_run(first.ref) == first
    assert await store.find_run("nobody") is None


async def test_a_run_for_a_message_that_does_not_exist_is_refused(store):
    with pytest.raises(NotFound):
        await store.open_run(Run("s", "hi", DEST, inbox_id=99))
    assert await store.recent_runs() == []


async def test_runs_without_a_message_are_all_different(store):
    one = await store.open_run(Run("s", "a", DEST))
    two = await store.open_run(Run("s", "a", DEST))
    assert one.id != two.id
    assert one.ref != two.ref


async def test_an_unknown_run_is_not_found(store):
    for call in (
        store.get_run(5),
        store.lease_run(5, "me", 1),
        store.change_run(5, 1, title="x"),
        store.finish_run(5, 1, status=Status.FAILED),
        store.add_steps(5, 1, [PlanStep(id="a", tool="t")], USER),
        store.change_step(StepChange(5, "a", Status.READY, 1)),
        store.get_steps(5),
    ):
        with pytest.raises(NotFound, match="run 5"):
            await call


async def test_runs_are_listed_by_session_and_state(store, new_run):
    one = await new_run()
    two = await new_run(session_id="other")
    three = await new_run()
    await store.finish_run(one.id, one.epoch, status=Status.COMPLETED, answer="42")

    assert [r.id for r in await store.unfinished_runs()] == [two.id, three.id]
    assert [r.id for r in await store.unfinished_runs("other")] == [two.id]
    assert [r.id for r in await store.recent_runs(limit=2)] == [three.id, two.id]
    assert [r.id for r in await store.recent_runs("telegram:4711")] == [three.id, one.id]


async def test_a_lease_is_good_until_it_ends(store, clock):
    run = await store.open_run(Run("s", "a", DEST))
    mine = await store.lease_run(run.id, "me", 60)
    assert await store.lease_run(run.id, "you", 60) is None

    clock.now += 60
    yours = await store.lease_run(run.id, "you", 60)

    assert (mine.epoch, mine.starts, mine.started_at) == (1, 1, clock.now - 60)
    assert (yours.epoch, yours.starts, yours.started_at) == (2, 2, clock.now - 60)
    assert (yours.lease_owner, yours.lease_until) == ("you", clock.now + 60)


async def test_the_same_owner_may_lease_again(store):
    run = await store.open_run(Run("s", "a", DEST))
    await store.lease_run(run.id, "me", 60)
    again = await store.lease_run(run.id, "me", 60)
    assert again.epoch == 2


async def test_a_lease_can_be_renewed_until_it_is_lost(store, clock):
    run = await store.open_run(Run("s", "a", DEST))
    mine = await store.lease_run(run.id, "me", 60)
    clock.now += 30
    assert await store.renew_lease(run.id, mine.epoch, 60)
    clock.now += 45
    assert await store.lease_run(run.id, "you", 60) is None
    clock.now += 60
    await store.lease_run(run.id, "you", 60)
    assert not await store.renew_lease(run.id, mine.epoch, 60)


async def test_a_released_run_is_free_at_once(store):
    run = await store.open_run(Run("s", "a", DEST))
    mine = await store.lease_run(run.id, "me", 60)
    await store.release_run(run.id, mine.epoch)
    yours = await store.lease_run(run.id, "you", 60)

    await store.release_run(run.id, mine.epoch)
    assert (await store.get_run(run.id)).lease_owner == "you"
    assert yours.epoch == 2


async def test_a_run_that_was_taken_away_is_free_and_its_worker_can_write_nothing_more(store):
    run = await store.open_run(Run("s", "a", DEST))
    mine = await store.lease_run(run.id, "me", 60)
    await store.take_away(run.id)
    with pytest.raises(StaleLease):
        await store.change_run(run.id, mine.epoch, title="late")
    assert not await store.renew_lease(run.id, mine.epoch, 60)
    yours = await store.lease_run(run.id, "you", 60)
    assert yours is not None
    await store.finish_run(run.id, yours.epoch, status=Status.CANCELLED)
    await store.take_away(run.id)
    assert (await store.get_run(run.id)).epoch == yours.epoch, "what is over is left alone"


async def test_who_sets_a_value_first_is_asked_by_the_others(store):
    assert [await store.first_value("secret", word) for word in ("a", "b")] == ["a", "a"]
    assert await store.get_value("secret") == "a"


async def test_a_finished_run_cannot_be_leased(store, new_run):
    run = await new_run()
    await store.finish_run(run.id, run.epoch, status=Status.COMPLETED)
    assert await store.lease_run(run.id, "me", 60) is None


async def test_the_fields_of_a_run_can_be_changed(store, new_run):
    run = await new_run()
    web = Provenance.of("web:x", trusted=False)
    await store.change_run(run.id, run.epoch, title="T", plan_complete=True, replans=2, error="e", provenance=web)

    after = await store.get_run(run.id)
    assert (after.title, after.plan_complete, after.replans, after.error) == ("T", True, 2, "e")
    assert (after.provenance, after.status) == (web, Status.RUNNING)
    with pytest.raises(TypeError, match="'color'"):
        await store.change_run(run.id, run.epoch, color="red")


async def test_a_run_changes_state_only_along_the_transitions(store, new_run):
    run = await new_run(status=Status.PENDING)
    with pytest.raises(IllegalTransition, match="PENDING and cannot become RUNNING"):
        await store.change_run(run.id, run.epoch, status=Status.RUNNING, title="not kept")
    with pytest.raises(IllegalTransition):
        await store.finish_run(run.id, run.epoch, status=Status.COMPLETED)
    with pytest.raises(IllegalTransition, match="cannot be finished as READY"):
        await store.finish_run(run.id, run.epoch, status=Status.READY)

    assert await store.get_run(run.id) == run


async def test_the_end_of_a_run_cancels_its_steps_and_posts_its_messages(store, new_run, goes, notice, clock):
    run = await new_run("done", "running", "pending")
    await goes(run, "done", Status.READY, Status.RUNNING, Status.COMPLETED)
    await goes(run, "running", Status.READY, Status.RUNNING)
    store.outbox_changed.clear()
    clock.now += 9
    await store.finish_run(run.id, run.epoch, status=Status.FAILED, error="boom", messages=[notice("a"), notice("b")])

    after = await store.get_run(run.id)
    assert (after.status, after.error, after.completed_at, after.lease_owner) == (Status.FAILED, "boom", clock.now, "")
    states = {r.step.id: r.status for r in await store.get_steps(run.id)}
    assert states == {"done": Status.COMPLETED, "running": Status.CANCELLED, "pending": Status.CANCELLED}
    assert [m.key for m in await store.due_messages("telegram")] == ["a", "b"]
    assert store.outbox_changed.is_set()


async def test_nothing_of_a_refused_end_is_kept(store, new_run, notice):
    run = await new_run("a")
    await store.lease_run(run.id, "me", 60)
    with pytest.raises(StaleLease):
        await store.finish_run(run.id, run.epoch, status=Status.COMPLETED, answer="x", messages=[notice()])

    assert (await store.get_run(run.id)).answer == ""
    assert await store.due_messages("telegram") == []
    assert [r.status for r in await store.get_steps(run.id)] == [Status.PENDING]


async def test_a_finished_run_takes_no_more_steps(store, new_run):
    run = await new_run("a")
    await store.finish_run(run.id, run.epoch, status=Status.COMPLETED)
    with pytest.raises(IllegalTransition, match="no steps can be added"):
        await store.add_steps(run.id, run.epoch, [PlanStep(id="b", tool="t")], USER)
    with pytest.raises(IllegalTransition):
        await store.change_run(run.id, run.epoch, status=Status.RUNNING)


async def test_every_write_of_a_former_owner_is_refused(store, new_run, goes, clock):
    zombie = await new_run("a")
    await goes(zombie, "a", Status.READY)
    clock.now += 61
    await store.lease_run(zombie.id, "other", 60)

    for call in (
        store.change_run(zombie.id, zombie.epoch, title="x"),
        store.change_run(zombie.id, zombie.epoch, status=Status.COMPLETED),
        store.finish_run(zombie.id, zombie.epoch, status=Status.COMPLETED),
        store.add_steps(zombie.id, zombie.epoch, [PlanStep(id="b", tool="t")], USER),
        store.change_step(StepChange(zombie.id, "a", Status.RUNNING, zombie.epoch)),
    ):
        with pytest.raises(StaleLease, match="epoch"):
            await call
    [step] = await store.get_steps(zombie.id)
    assert step.status is Status.READY
    assert (await store.get_run(zombie.id)).title == ""


def test_a_runs_id_can_be_typed_as_a_word_of_a_command(monkeypatch):
    monkeypatch.setattr("agent.store.rows.secrets.token_urlsafe", lambda _: "-abUNs-P")
    assert short_id() == "0abUNs-P"
