"""Sets the scene of a run from the journal: what is planned, done, waiting; and clears it for a new plan."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from agent.domain.artifacts import Artifact
from agent.domain.copies import INSIDE
from agent.domain.execution import ExecutorResponse, ResponseStatus
from agent.domain.plan import OUTPUTS, OnFailure, PlanStep, StepType
from agent.domain.provenance import Provenance
from agent.domain.run import StepChange
from agent.domain.states import FINAL, Status
from agent.execution.context import RunContext
from agent.execution.pausing import standing
from agent.execution.people import CHANGE, label_of_answer, wishes
from agent.execution.scheduler import WORTH_REPLANNING
from agent.execution.values import replaced, revision_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.domain.messages import Bot
    from agent.domain.run import Run, StepRecord
    from agent.domain.session import Session
    from agent.store.protocol import Store

PROGRESS_KEPT = 25
PROGRESS_CHARS = 400
SAME_FAILURES = 3
REPLACED = "cancelled"
LEFT_OUT = {REPLACED, ResponseStatus.SKIPPED.value}  # what nobody wants any more, in the words of the journal


async def set_the_scene(store: Store, run: Run, session: Session, bot: Bot) -> RunContext:
    """Return the run's context as the journal has it."""
    ctx = RunContext(run, session, bot, plan_control=run.provenance, direct_answer=run.answer)
    records, ctx.file_labels, questions = await asyncio.gather(  # one turn of the journal instead of three
        store.get_steps(run.id),
        store.labels(session.id),
        store.questions_of(run.id),
    )
    for record in records:
        step_id = record.step.id
        ctx.records[step_id] = record
        ctx.status[step_id] = record.status
        ctx.control[step_id] = record.control
        if record.status in FINAL:
            ctx.results[step_id] = response_of(step_id, record)
    ctx.paused = standing(questions)
    ctx.revisions = [record.step for record in records if revision_of(record.step) is not None]
    ctx.wished = {question.id for question in questions if question.kind == CHANGE}
    ctx.said = Provenance.union(label_of_answer(wish.answered_by) for wish in wishes(questions))
    ctx.questions_asked = sum(question.kind == "ask" for question in questions)
    if run.replans:
        ctx.plan_control = control_after(ctx)
    if run.given.get("continues"):  # whoever plans on reads the steps that were taken over
        ctx.plan_control |= Provenance.union(ctx.control.values())
    return ctx


def response_of(step_id: str, stored: StepRecord) -> ExecutorResponse:
    """Return the response that a row of the journal was written from."""
    return ExecutorResponse(
        step_id,
        ResponseStatus(stored.response_status or ResponseStatus.CANCELLED),
        output=stored.output,
        text=stored.text,
        files=tuple(Artifact.from_json(file) for file in stored.files),
        error=stored.error,
        provenance=stored.provenance,
    )


def control_after(ctx: RunContext) -> Provenance:
    """Return what a planner has read once it has seen the progress: request, wishes and every result so far."""
    return Provenance.union([ctx.run.provenance, ctx.said, *(result.provenance for result in ctx.results.values())])


async def failure_worth_replanning(store: Store, ctx: RunContext) -> str:
    """Return the first failure of the present plan that calls for a new one, "" when there is none.

    The journal is asked, not this drive's outcome: the failure may have happened before the run waited for a person.
    """
    failed = {step_id: result for step_id, result in ctx.results.items() if result.status in WORTH_REPLANNING}
    handled = json.loads(await store.get_value(_handled_key(ctx)) or "[]") if failed else []
    for step_id, result in failed.items():
        if step_id in handled:
            continue
        step = ctx.records[step_id].step
        if step.on_failure is OnFailure.REPLAN:
            return f"{step.label}: {result.error or result.status}"
    return ""


def going_in_circles(ctx: RunContext) -> str:
    """Return what has come to the same failure too often, over all plans of the run; "" when nothing has.

    That is the same call with the same arguments and the same error.
    """
    often: Counter[tuple[str, str, str]] = Counter()
    for step_id, result in ctx.results.items():
        record = ctx.records.get(step_id)
        if record is not None and record.step.tool and result.status in WORTH_REPLANNING:
            args = json.dumps(record.step.args, sort_keys=True, default=str)
            often[record.step.tool, args, result.error] += 1
    tool, _, error = next((call for call, times in often.items() if times >= SAME_FAILURES), ("", "", ""))
    return f"{tool} was tried {SAME_FAILURES} times and came to the same: {error}" if tool else ""


def failure_that_stops(ctx: RunContext) -> str:
    """Return the first failure after which the run must not go on, "" when there is none."""
    for step_id, result in ctx.results.items():
        record = ctx.records.get(step_id)
        final = ctx.status.get(step_id) is Status.FAILED
        if final and record is not None and record.step.on_failure is OnFailure.STOP:
            return f"{step_id}: {result.error or result.status}"
    return ""


async def prepare_new_plan(store: Store, ctx: RunContext) -> None:
    """Note which failures the new plan answers, and read anew what the planner will be shown."""
    failed = [step_id for step_id, result in ctx.results.items() if result.status in WORTH_REPLANNING]
    await store.set_value(_handled_key(ctx), json.dumps(failed))
    ctx.records = {record.step.id: record for record in await store.get_steps(ctx.run.id)}
    ctx.plan_control = control_after(ctx)


async def cancel_replaced(store: Store, ctx: RunContext, kept: set[str]) -> list[PlanStep]:
    """Cancel the steps of an earlier plan that have not begun and that the new one does not name; return them."""
    gone = [r.step for r in ctx.records.values() if ctx.status[r.step.id] is Status.PENDING and r.step.id not in kept]
    for step in gone:
        store.change_step_soon(
            StepChange(ctx.run.id, step.id, Status.CANCELLED, ctx.run.epoch, response_status=REPLACED)
        )
        ctx.status[step.id] = Status.CANCELLED
    return gone


def results(ctx: RunContext) -> list[dict[str, Any]]:
    """Return every step's result in the order of the plan, as the composer reads them."""
    order = [name for name in ctx.records if name in ctx.results]
    order += [name for name in ctx.results if name not in ctx.records]
    left_out = {ResponseStatus.CANCELLED, ResponseStatus.SKIPPED}
    old = replaced(ctx)
    shown = (name for name in order if name not in old and not _inner(ctx, name))
    return [_result(ctx, name) for name in shown if ctx.results[name].status not in left_out]


def _inner(ctx: RunContext, step_id: str) -> bool:
    """Say whether a step's result is told by another's: an entry of a list, or something inside a nested pipeline.

    A failure that kept the other from having a result is told by itself.
    """
    record = ctx.records.get(step_id)
    pipe = record.step.pipe if record is not None else None
    if pipe is None or not (pipe.parent or pipe.scope or pipe.inputs is not None):
        return False
    outer = ctx.results.get(step_id.partition(INSIDE)[0])
    untold = outer is None or outer.status is ResponseStatus.BLOCKED
    return not (untold and ctx.status.get(step_id) is Status.FAILED)


async def take_given_plan(store: Store, ctx: RunContext) -> None:
    """Journal the plan that the run was opened with, and the results that it goes on from; twice is as once."""
    given = ctx.run.given
    steps = [PlanStep.model_validate(step) for step in given["steps"]]
    await store.add_steps(ctx.run.id, ctx.run.epoch, steps, ctx.run.provenance)
    kept = given.get("kept") or {}
    records = {record.step.id: record for record in await store.get_steps(ctx.run.id)}
    for name, old in (await _newest_of(store, kept["run"]) if kept else {}).items():
        if name in kept["steps"] and records[name].status not in FINAL:
            await _take_over(store, ctx, name, old)
    fresh = await set_the_scene(store, ctx.run, ctx.session, ctx.bot)
    ctx.records, ctx.status, ctx.control, ctx.results = fresh.records, fresh.status, fresh.control, fresh.results


async def _newest_of(store: Store, run_id: int) -> dict[str, StepRecord]:
    """Return the steps of an earlier run; of one that was revised the newest revision, under the step's own name."""
    records = await store.get_steps(run_id)
    by_id = {record.step.id: record for record in records}
    for record in records:
        revision = revision_of(record.step)
        if revision is not None and record.status is Status.COMPLETED:
            by_id[revision.of] = record
    return by_id


async def _take_over(store: Store, ctx: RunContext, name: str, old: StepRecord) -> None:
    for status in (Status.READY, Status.RUNNING):
        store.change_step_soon(StepChange(ctx.run.id, name, status, ctx.run.epoch))
    await store.change_step(
        StepChange(
            ctx.run.id,
            name,
            Status.COMPLETED,
            ctx.run.epoch,
            output=old.output,
            text=old.text,
            files=old.files,
            response_status=old.response_status,
            provenance=old.provenance,
        )
    )


async def take_over_plan(store: Store, ctx: RunContext, in_doubt: Callable[[PlanStep], bool]) -> None:
    """Journal the plan of the run that this one goes on from, with what is finished of it; twice is as once.

    `in_doubt(step)` says of a step that had begun whether nobody knows what it has done: it is asked about then.
    """
    records = await store.get_steps(ctx.run.given["continues"])
    for old in records:
        await store.add_steps(ctx.run.id, ctx.run.epoch, [old.step], old.control)
    here = {record.step.id: record.status for record in await store.get_steps(ctx.run.id)}
    for old in records:
        name = old.step.id
        if here[name] is not Status.PENDING:
            continue
        if old.status is Status.COMPLETED:
            await _take_over(store, ctx, name, old)
        elif old.status is Status.CANCELLED and old.response_status in LEFT_OUT:
            status, why = old.response_status, old.error
            await store.change_step(
                StepChange(ctx.run.id, name, Status.CANCELLED, ctx.run.epoch, response_status=status, error=why)
            )
        elif old.started_at is not None and in_doubt(old.step):
            store.change_step_soon(StepChange(ctx.run.id, name, Status.READY, ctx.run.epoch))
            await store.change_step(StepChange(ctx.run.id, name, Status.RUNNING, ctx.run.epoch))
    fresh = await set_the_scene(store, ctx.run, ctx.session, ctx.bot)
    ctx.records, ctx.status, ctx.control, ctx.results = fresh.records, fresh.status, fresh.control, fresh.results
    ctx.plan_control = fresh.plan_control


def given_answer(ctx: RunContext) -> str:
    """Return what a pipeline answers: its outputs, "" while they are not there."""
    result = ctx.results.get(OUTPUTS)
    return result.text if result is not None and result.success else ""


def _result(ctx: RunContext, step_id: str) -> dict[str, Any]:
    result = ctx.results[step_id]
    record = ctx.records.get(step_id)
    text = result.text if len(result.text) >= len(_short(result.output)) else f"{result.text}\n{_short(result.output)}"
    return {
        "id": step_id,
        "title": record.step.label if record else "",
        "status": result.status.value,
        "text": result.text or text.strip(),
        "error": f"{result.error} {result.hint}".strip(),
    }


def _short(value: Any) -> str:
    return "" if value in (None, "") else json.dumps(value, ensure_ascii=False, default=str)


def nothing_done(ctx: RunContext) -> str:
    """Return why nothing came of the plan when no step of it succeeded; a run is not "done" then."""
    results = list(ctx.results.values())
    if not results or any(result.success for result in results):
        return ""
    return next((result.error for result in results if result.error), "") or "No step succeeded."


def deliveries(ctx: RunContext) -> list[dict[str, Any]]:
    """Return the files that the person gets, newest version of each path, in the order in which they were made."""
    found: dict[str, dict[str, Any]] = {}
    old = replaced(ctx)
    for step_id, result in ctx.results.items():
        for file in result.files if step_id not in old else ():
            if file.deliver and result.success:
                found.pop(file.path, None)
                found[file.path] = {"path": file.path, "title": file.title, "mime": file.mime}
    return list(found.values())


def trouble(ctx: RunContext, text: str) -> list[dict[str, Any]]:
    """Return why there is no (further) plan as a result that the composer reads; nothing for no text."""
    title = "Budget" if ctx.paused else "Planning"
    return [{"id": "plan", "title": title, "status": "error", "error": text}] if text else []


def spoken(ctx: RunContext) -> str:
    """Return the answer that is there already: the planner's own, or the text that everything flows into."""
    return ctx.direct_answer or speaks_for_itself(ctx)


def speaks_for_itself(ctx: RunContext) -> str:
    """Return the text of an `llm` step that ends the plan and everything flows into: it is the answer already."""
    if any(not result.success for result in ctx.results.values()):
        return ""
    needed = {need for record in ctx.records.values() for need in record.step.depends_on}
    ends = [record.step for record in ctx.records.values() if record.step.id not in needed]
    if len(ends) != 1 or ends[0].step_type is not StepType.LLM or ends[0].outputs:
        return ""
    return ctx.results[ends[0].id].text if ends[0].id in ctx.results else ""


def carried_out(ctx: RunContext) -> list[PlanStep]:
    """Return the steps that succeeded."""
    return [ctx.records[name].step for name, result in ctx.results.items() if result.success and name in ctx.records]


def progress(ctx: RunContext) -> str:
    """Return the last 25 results as JSON, each bounded, for the planner; "" when there are none or on an error."""
    try:
        shown = [_brief(ctx, step_id) for step_id in list(ctx.results)[-PROGRESS_KEPT:]]
        return json.dumps(shown, ensure_ascii=False) if shown else ""
    except (TypeError, ValueError, KeyError):
        return ""


def _brief(ctx: RunContext, step_id: str) -> dict[str, Any]:
    result = ctx.results[step_id]
    brief: dict[str, Any] = {"id": step_id, "status": result.status.value}
    if step_id in ctx.records:
        brief["title"] = ctx.records[step_id].step.label
    if result.text:
        brief["text"] = result.text[:PROGRESS_CHARS]
    if result.files:
        brief["files"] = [file.path for file in result.files][:10]
    if result.status not in {ResponseStatus.OK, ResponseStatus.PARTIAL}:
        brief["error"] = result.error[:PROGRESS_CHARS]
    if not result.provenance.trusted:
        brief["from"] = list(result.provenance.untrusted_names)
    return brief


def _handled_key(ctx: RunContext) -> str:
    return f"run:{ctx.run.id}:handled"
