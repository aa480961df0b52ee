"""Contract: projects, chains, runs by their source, events of paused projects, decisions with choices."""

from __future__ import annotations

import dataclasses

import pytest

from agent.domain.chain import Chain
from agent.domain.event import Event
from agent.domain.ledger import Cap, Usage
from agent.domain.messages import Destination
from agent.domain.project import Project
from agent.domain.run import Approval, Run, StepChange
from agent.domain.states import Status
from agent.domain.trigger import Trigger, TriggerKind

DEST = Destination("telegram", "4711")
FILM = Project("film", "telegram:4711", DEST, budget=20.0)


# --- projects -----------------------------------------------------------------------------------------------------
async def test_a_project_is_stored_as_it_is(store, clock):
    made = await store.put_project(FILM)

    assert made == dataclasses.replace(FILM, created_at=clock.now)
    assert await store.get_project("film") == made
    assert await store.get_project("none") is None
    assert await store.projects() == [made]


async def test_putting_a_project_again_changes_its_budget_and_leaves_the_rest(store, clock):
    await store.put_project(FILM)
    await store.pause_project("film", paused=True)
    clock.now += 5
    elsewhere = Destination("telegram", "99")
    changed = await store.put_project(Project("film", "telegram:0", elsewhere, budget=30.0, warn_at=0.5))

    assert changed == Project(
        "film", "telegram:4711", elsewhere, budget=30.0, warn_at=0.5, paused=True, created_at=clock.now - 5
    )


async def test_a_project_warns_once_for_a_budget(store, notice):
    await store.put_project(FILM)

    assert await store.warn_project("film", notice("warned:20"))
    assert not await store.warn_project("film", notice("warned:20 again"))
    assert await store.get_message("warned:20 again") is None
    assert (await store.put_project(FILM)).warned  # the same budget

    assert not (await store.put_project(dataclasses.replace(FILM, budget=None))).warned
    assert await store.warn_project("film", notice("warned:none"))
    assert not await store.warn_project("nobody", notice("x"))


async def test_pausing_a_project_that_is_unknown_says_so(store):
    assert not await store.pause_project("film", paused=True)


async def test_the_status_of_a_project_counts_what_belongs_to_it(store, new_run):
    await store.put_project(FILM)
    run = await new_run(project="film")
    await store.finish_run(run.id, run.epoch, status=Status.COMPLETED)
    await new_run(project="film")
    await new_run()
    await store.publish(Event("scene.written", "x", "e1", project="film"))
    held = await store.reserve([Cap("project:film", money=20.0)], money=2.0, tokens=10)
    await store.settle(held.id, "s", None, "", [Usage("answer", "m", 7, money=1.5)])
    await store.reserve([Cap("project:film", money=20.0)], money=3.0, tokens=10)

    status = await store.project_status("film")

    assert status.runs == {"COMPLETED": 1, "RUNNING": 1}
    assert status.events == {"new": 1}
    assert (status.balance.money, status.balance.reserved_money, status.balance.tokens) == (1.5, 3.0, 7)
    assert await store.project_status("none") is None


# --- events -------------------------------------------------------------------------------------------------------
async def test_new_events_of_a_paused_project_wait_and_keep_their_order(store):
    await store.put_project(FILM)
    for number, project in enumerate(["film", "", "other", "film"]):
        await store.publish(Event("e", "x", f"e{number}", project=project))
    await store.pause_project("film", paused=True)

    assert [e.key for e in await store.events("new")] == ["e1", "e2"]
    assert [e.key for e in await store.events("new", project="film")] == ["e0", "e3"]
    await store.pause_project("film", paused=False)
    assert [e.key for e in await store.events("new")] == ["e0", "e1", "e2", "e3"]


async def test_handled_events_of_a_paused_project_are_listed(store):
    await store.put_project(FILM)
    event = await store.publish(Event("e", "x", "e", project="film"))
    await store.settle_event(event.id, "handled")
    await store.pause_project("film", paused=True)

    assert [e.key for e in await store.events("handled")] == ["e"]


async def test_a_dead_event_can_be_made_new_again(store):
    event = await store.publish(Event("e", "x", "e"))
    assert not await store.requeue_event(event.id)
    await store.settle_event(event.id, "dead", "it broke")

    assert await store.requeue_event(event.id)
    [again] = await store.events("new")
    assert (again.id, again.error) == (event.id, "")
    assert not await store.requeue_event(event.id + 1)


# --- chains -------------------------------------------------------------------------------------------------------
async def test_a_chain_is_found_by_its_id_and_by_its_name(store, clock):
    chain = Chain("c1", "nightly", ("fetch", "report"), "s")
    assert await store.create_chain(chain)

    stored = dataclasses.replace(chain, created_at=clock.now)
    assert await store.get_chain("c1") == await store.get_chain("nightly") == stored
    assert await store.chains() == [stored]
    assert await store.get_chain("none") is None


@pytest.mark.parametrize("other", [Chain("c1", "else", ()), Chain("c2", "nightly", ())])
async def test_a_chain_whose_id_or_name_is_taken_is_left_as_it_is(store, other):
    await store.create_chain(Chain("c1", "nightly", ("fetch",)))

    assert not await store.create_chain(other)
    assert [chain.workflows for chain in await store.chains()] == [("fetch",)]


async def test_an_id_is_preferred_to_a_name(store):
    await store.create_chain(Chain("a", "b", ("by name",)))
    await store.create_chain(Chain("b", "c", ("by id",)))

    assert (await store.get_chain("b")).workflows == ("by id",)


async def test_deleting_a_chain_keeps_its_runs(store, new_run):
    await store.create_chain(Chain("c1", "nightly", ()))
    await new_run(source="chain:c1")

    assert await store.delete_chain("c1")
    assert not await store.delete_chain("c1")
    assert len(await store.runs_of("chain:c1")) == 1


# --- runs ---------------------------------------------------------------------------------------------------------
async def test_a_run_keeps_its_source_project_and_budget(store, new_run):
    run = await new_run(source="pipeline:x", project="film", budget=0.5)

    assert (run.source, run.project, run.budget) == ("pipeline:x", "film", 0.5)
    await store.change_run(run.id, run.epoch, budget=1.5)
    assert (await store.get_run(run.id)).budget == 1.5
    assert (await new_run()).budget is None


async def test_runs_are_found_and_counted_by_their_source(store, new_run):
    made = [await new_run(source="chain:1") for _ in range(3)]
    await new_run(source="chain:2")
    await store.finish_run(made[0].id, made[0].epoch, status=Status.FAILED)

    assert [run.id for run in await store.runs_of("chain:1", 2)] == [made[2].id, made[1].id]
    assert await store.outcomes("chain:1") == {"FAILED": 1, "RUNNING": 2}
    assert await store.outcomes("chain:3") == {}


async def test_an_answer_may_raise_what_the_run_may_spend(store, new_run, notice):
    from agent.domain.run import Question

    run = await new_run(budget=0.5)
    await store.ask(Question("q1", run.id, "", run.session_id, "more?", ("+$1", "Stop")), None, notice("q"))

    assert await store.answer_question("q1", "+$1", "7", budget=1.5)
    assert await store.answer_question("q1", "+$1", "7", budget=2.5) is None  # the first answer holds
    assert (await store.get_run(run.id)).budget == 1.5


async def test_a_trigger_keeps_what_its_runs_are_opened_with(store):
    trigger = Trigger(
        "t", "n", TriggerKind.MANUAL, {}, "s", DEST, priority=9, project="film", budget=0.2, approval="ok?", source="p"
    )
    await store.create_trigger(trigger)

    stored = await store.get_trigger("t")
    assert stored == dataclasses.replace(trigger, created_at=stored.created_at)


# --- decisions ----------------------------------------------------------------------------------------------------
async def checkpoint(store, new_run, notice, **fields: object) -> Run:
    run = await new_run("a")
    approval = Approval("a1", run.id, "a", run.session_id, "film.cut", digest="d", **fields)
    await store.change_step(StepChange(run.id, "a", Status.READY, run.epoch))
    await store.request_approval(approval, StepChange(run.id, "a", Status.WAITING_APPROVAL, run.epoch), notice("a"))
    return run


async def test_only_an_approvals_own_choices_decide_it(store, new_run, notice):
    run = await checkpoint(store, new_run, notice)

    assert await store.decide_approval("a1", "revise", "7") is None
    assert await store.decide_approval("a1", "(stopped)", "7") is None
    [approval] = await store.approvals_of(run.id)
    assert (approval.decision, approval.choices) == (None, ("allow", "deny"))
    assert (await store.decide_approval("a1", "deny", "7")).decision == "deny"


async def test_a_revision_comes_with_its_comment(store, new_run, notice):
    await checkpoint(store, new_run, notice, choices=("allow", "revise", "deny"))

    decided = await store.decide_approval("a1", "revise", "7", comment="shorter")

    assert (decided.decision, decided.comment, decided.choices) == ("revise", "shorter", ("allow", "revise", "deny"))
    assert await store.get_approval("a1") == decided


async def test_a_decision_is_in_the_audit_log(store, new_run, notice, execute):
    import json

    run = await checkpoint(store, new_run, notice, choices=("allow", "revise"))
    await store.decide_approval("a1", "deny", "7")  # none of the choices
    await store.decide_approval("a1", "revise", "7", comment="shorter")
    await store.decide_approval("a1", "allow", "7")  # too late

    [(kind, session_id, detail)] = execute("SELECT kind, session_id, detail FROM audit WHERE kind = 'approval'")
    assert (kind, session_id) == ("approval", run.session_id)
    assert json.loads(detail) == {
        "id": "a1",
        "decision": "revise",
        "by": "7",
        "tool": "film.cut",
        "digest": "d",
        "comment": "shorter",
    }


# --- one at a time ------------------------------------------------------------------------------------------------
async def test_runs_of_a_project_are_leased_by_one_owner_at_a_time(store, clock):
    first, second = [await store.open_run(Run("telegram:4711", "x", DEST, project="film")) for _ in range(2)]
    other = await store.open_run(Run("telegram:4711", "x", DEST, project="reef"))
    free = [await store.open_run(Run("telegram:4711", "x", DEST)) for _ in range(2)]

    leased = await store.lease_run(first.id, "a", 30.0)
    assert await store.lease_run(second.id, "b", 30.0) is None
    assert await store.lease_run(second.id, "a", 30.0), "the same owner keeps its own line"
    await store.release_run(second.id, leased.epoch)
    assert await store.lease_run(other.id, "b", 30.0)
    assert [await store.lease_run(run.id, owner, 30.0) is not None for run, owner in zip(free, "ab", strict=True)] == [
        True,
        True,
    ]

    await store.release_run(first.id, leased.epoch)
    assert await store.lease_run(second.id, "b", 30.0)
    assert await store.lease_run(first.id, "a", 30.0) is None
    clock.now += 31.0
    assert await store.lease_run(first.id, "a", 30.0), "a worker that died holds nothing up for ever"
