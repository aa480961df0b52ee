"""Contract: steps and their transitions, one at a time and many at once."""

from __future__ import annotations

import asyncio

import pytest

from agent.domain.plan import PlanStep, StepType
from agent.domain.provenance import NOTHING, USER, Provenance
from agent.domain.run import StepChange
from agent.domain.states import FINAL, Status
from agent.errors import DirigentError, IllegalTransition, NotFound, PlanError, StaleLease

WEB = Provenance.of("web:example.org", trusted=False, private=True)


async def status_of(store, run, step_id: str) -> Status:
    return next(r.status for r in await store.get_steps(run.id) if r.step.id == step_id)


async def test_steps_are_read_in_the_order_in_which_they_were_planned(store, new_run):
    run = await new_run("b", "a")
    await store.add_steps(run.id, run.epoch, [PlanStep(id="c", tool="t", depends_on=("a",))], WEB)

    steps = await store.get_steps(run.id)
    assert [(s.step.id, s.position) for s in steps] == [("b", 0), ("a", 1), ("c", 2)]
    assert [s.control for s in steps] == [USER, USER, WEB]
    assert {s.status for s in steps} == {Status.PENDING}


async def test_a_step_is_stored_as_it_was_planned(store, new_run):
    run = await new_run()
    steps = [
        PlanStep(id="t", tool="x", args={"a": [1, {"b": None}], "ü": "\ud83d", "z": "\x00"}, timeout=3, retries=2),
        PlanStep(id="q", step_type=StepType.ASK, question="Which?", options=("a", "b"), depends_on=("t",)),
        PlanStep(id="l", step_type=StepType.LLM, instruction="{{ t.output }}", outputs=("out/*.md",)),
    ]
    await store.add_steps(run.id, run.epoch, steps, USER)

    assert [record.step for record in await store.get_steps(run.id)] == steps


async def test_a_step_that_is_there_already_is_left_alone(store, new_run, goes):
    run = await new_run("a")
    await goes(run, "a", Status.READY, Status.RUNNING, Status.COMPLETED, output=1)
    again = [PlanStep(id="a", tool="noop", status=Status.COMPLETED), PlanStep(id="b", tool="noop")]
    await store.add_steps(run.id, run.epoch, again, USER)

    assert {r.step.id: r.status for r in await store.get_steps(run.id)} == {"a": Status.COMPLETED, "b": Status.PENDING}


async def test_a_step_with_a_known_id_and_another_content_is_refused(store, new_run):
    run = await new_run("a")
    with pytest.raises(PlanError, match="'a' is already in the journal"):
        await store.add_steps(run.id, run.epoch, [PlanStep(id="b", tool="x"), PlanStep(id="a", tool="y")], USER)

    assert [r.step.id for r in await store.get_steps(run.id)] == ["a"]


async def test_a_step_carries_what_came_of_it(store, new_run, goes, clock):
    run = await new_run("a")
    await goes(run, "a", Status.READY)
    clock.now += 1
    await goes(run, "a", Status.RUNNING, attempt=1, estimated_cost=0.5)
    clock.now += 2
    done = {
        "output": {"rows": [1, 2]},
        "text": "two rows",
        "files": ({"path": "a.csv"},),
        "response_status": "partial",
        "error": "one was missing",
        "provenance": WEB,
        "actual_cost": 0.25,
    }
    await goes(run, "a", Status.COMPLETED, **done)

    [record] = await store.get_steps(run.id)
    assert {name: getattr(record, name) for name in done} == done
    assert (record.attempt, record.estimated_cost, record.status) == (1, 0.5, Status.COMPLETED)
    assert record.step.status is Status.COMPLETED
    assert (record.started_at, record.completed_at) == (clock.now - 2, clock.now)
    assert record.created_at == clock.now - 3


async def test_fields_that_are_not_given_stay_as_they_are(store, new_run, goes):
    run = await new_run("a")
    await goes(run, "a", Status.READY, Status.RUNNING, output=[1], text="t", error="e", attempt=3)
    await goes(run, "a", Status.READY)

    [record] = await store.get_steps(run.id)
    assert (record.output, record.text, record.error, record.attempt) == ([1], "t", "e", 3)
    assert record.provenance == NOTHING


@pytest.mark.parametrize("then", list(Status))
async def test_a_finished_step_never_changes(store, new_run, goes, then):
    run = await new_run("a")
    await goes(run, "a", Status.READY, Status.RUNNING, Status.COMPLETED, output="first")
    with pytest.raises(IllegalTransition, match=r"'a' of run .* is COMPLETED and cannot become"):
        await goes(run, "a", then, output="second")

    [record] = await store.get_steps(run.id)
    assert record.output == "first"


async def test_a_step_that_does_not_exist_is_not_found(store, new_run, goes):
    run = await new_run("a")
    with pytest.raises(NotFound, match="no step 'b'"):
        await goes(run, "b", Status.READY)


async def test_a_wrong_transition_does_not_spoil_the_others_of_its_batch(store, new_run):
    run = await new_run(*(f"s{i}" for i in range(20)))
    changes = [StepChange(run.id, f"s{i}", Status.READY, run.epoch) for i in range(20)]
    changes[7] = StepChange(run.id, "s7", Status.COMPLETED, run.epoch)
    changes[9] = StepChange(run.id, "s9", Status.READY, run.epoch + 1)
    changes[11] = StepChange(run.id, "nobody", Status.READY, run.epoch)
    results = await asyncio.gather(*(store.change_step(change) for change in changes), return_exceptions=True)

    failed = {i: type(result) for i, result in enumerate(results) if result is not None}
    assert failed == {7: IllegalTransition, 9: StaleLease, 11: NotFound}
    states = [r.status for r in await store.get_steps(run.id)]
    assert [i for i, state in enumerate(states) if state is not Status.READY] == [7, 9, 11]


async def test_a_failing_operation_does_not_spoil_the_others_of_its_batch(store, new_run):
    run = await new_run("a")
    results = await asyncio.gather(
        store.set_value("k", "v"),
        store.heard(999),
        store.change_step(StepChange(run.id, "a", Status.READY, run.epoch)),
        store.get_value("k"),
        return_exceptions=True,
    )

    assert isinstance(results.pop(1), NotFound)
    assert results == [None, None, "v"]
    assert await status_of(store, run, "a") is Status.READY


async def test_a_whole_life_within_one_commit_is_checked_step_by_step(store, new_run):
    run = await new_run("good", "bad")
    life = [Status.READY, Status.RUNNING, Status.COMPLETED]
    calls = [store.change_step(StepChange(run.id, "good", to, run.epoch, text=to)) for to in life]
    calls += [
        store.change_step(StepChange(run.id, "bad", to, run.epoch))
        for to in (Status.READY, Status.COMPLETED, Status.RUNNING)
    ]
    before = store.commits
    results = await asyncio.gather(*calls, return_exceptions=True)

    assert store.commits == before + 1
    assert [type(r) for r in results] == [type(None)] * 4 + [IllegalTransition, type(None)]
    assert await status_of(store, run, "good") is Status.COMPLETED
    assert await status_of(store, run, "bad") is Status.RUNNING


async def test_reads_see_what_was_requested_before_them(store, new_run):
    run = await new_run("a")
    store.change_step_soon(StepChange(run.id, "a", Status.READY, run.epoch))
    [record] = await store.get_steps(run.id)
    assert record.status is Status.READY


async def test_a_soon_change_is_written_though_nothing_follows(store, new_run, monkeypatch):
    run = await new_run("a")
    committed = asyncio.Event()
    before = store._writer._deliver
    monkeypatch.setattr(store._writer, "_deliver", lambda *args: (before(*args), committed.set()))
    store.change_step_soon(StepChange(run.id, "a", Status.READY, run.epoch))
    await asyncio.wait_for(committed.wait(), 60)

    assert await status_of(store, run, "a") is Status.READY


async def test_the_error_of_a_soon_change_surfaces_with_the_next_awaited_one_of_the_run(store, new_run):
    run = await new_run("a", "b")
    other = await new_run("a")
    store.change_step_soon(StepChange(run.id, "a", Status.COMPLETED, run.epoch))
    await store.change_step(StepChange(other.id, "a", Status.READY, other.epoch))
    with pytest.raises(IllegalTransition, match="'a' of run"):
        await store.change_step(StepChange(run.id, "b", Status.READY, run.epoch))

    assert await status_of(store, run, "b") is Status.PENDING
    await store.change_step(StepChange(run.id, "b", Status.READY, run.epoch))
    assert await status_of(store, run, "b") is Status.READY


@pytest.mark.parametrize("call", ["change_run", "finish_run", "add_steps"])
async def test_the_error_of_a_soon_change_surfaces_with_any_change_of_the_run(store, new_run, call):
    run = await new_run("a")
    store.change_step_soon(StepChange(run.id, "nobody", Status.READY, run.epoch))
    calls = {
        "change_run": lambda: store.change_run(run.id, run.epoch, title="T"),
        "finish_run": lambda: store.finish_run(run.id, run.epoch, status=Status.COMPLETED),
        "add_steps": lambda: store.add_steps(run.id, run.epoch, [PlanStep(id="z", tool="t")], USER),
    }
    with pytest.raises(NotFound, match="'nobody'"):
        await calls[call]()
    await calls[call]()


async def test_a_burst_of_a_thousand_finished_steps_costs_few_commits(store, new_run):
    run = await new_run(*(f"s{i}" for i in range(1000)))
    before = store.commits

    async def live(name: str) -> None:
        store.change_step_soon(StepChange(run.id, name, Status.READY, run.epoch))
        store.change_step_soon(StepChange(run.id, name, Status.RUNNING, run.epoch))
        await asyncio.sleep(0)
        await store.change_step(StepChange(run.id, name, Status.COMPLETED, run.epoch, output=name))

    await asyncio.gather(*(live(f"s{i}") for i in range(1000)))

    assert store.commits - before <= 5
    assert {r.output for r in await store.get_steps(run.id)} == {f"s{i}" for i in range(1000)}


async def test_a_cancelled_caller_does_not_hold_up_the_others(store, new_run):
    run = await new_run("a", "b")
    given_up = asyncio.create_task(store.change_step(StepChange(run.id, "a", Status.READY, run.epoch)))
    kept = asyncio.create_task(store.change_step(StepChange(run.id, "b", Status.READY, run.epoch)))
    await asyncio.sleep(0)
    given_up.cancel()

    await kept
    with pytest.raises(asyncio.CancelledError):
        await given_up
    assert await status_of(store, run, "b") is Status.READY


async def test_an_output_that_is_no_json_is_refused_at_once(store, new_run):
    run = await new_run("a")
    with pytest.raises(TypeError, match="not JSON serializable"):
        await store.change_step(StepChange(run.id, "a", Status.READY, run.epoch, output=object()))
    assert await status_of(store, run, "a") is Status.PENDING


async def test_any_text_survives(store, new_run, goes):
    run = await new_run("a")
    await goes(run, "a", Status.READY, output={"half": "\ud83d", "nul": "\x00", "nan": 1e308}, text="é \ud83d\x00 日本")

    [record] = await store.get_steps(run.id)
    assert record.output == {"half": "\ud83d", "nul": "\x00", "nan": 1e308}
    assert record.text == "é ?\N{REPLACEMENT CHARACTER} 日本"


async def test_waiting_changes_are_written_when_the_journal_closes(store, new_run):
    run = await new_run("a")
    store.change_step_soon(StepChange(run.id, "a", Status.READY, run.epoch))
    await store.close()
    with pytest.raises(DirigentError, match="not open"):
        await store.get_steps(run.id)
    await store.open()

    assert await status_of(store, run, "a") is Status.READY


async def test_only_final_states_end_a_step(store, new_run, goes, clock):
    run = await new_run("a")
    await goes(run, "a", Status.READY, Status.WAITING_APPROVAL)
    assert (await store.get_steps(run.id))[0].completed_at is None
    await goes(run, "a", Status.CANCELLED)
    [record] = await store.get_steps(run.id)
    assert record.status in FINAL
    assert record.completed_at == clock.now
