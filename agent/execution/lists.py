"""Steps that are carried out for each entry of a list: one step, or a copy of a nested pipeline's steps, for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.domain.copies import INSIDE, copied, renaming
from agent.domain.execution import ExecutorResponse, ResponseStatus
from agent.domain.plan import EACH, OnFailure, Pipe, PlanStep
from agent.domain.provenance import Provenance
from agent.domain.run import StepRecord
from agent.domain.states import Status
from agent.errors import LimitReached, ToolArguments
from agent.execution.values import failed_entries, filled, pipe_of, revision_of, value_of

if TYPE_CHECKING:
    from agent.config import AppConfig
    from agent.execution.context import RunContext
    from agent.store.protocol import Store

MAX_ENTRIES = 1_000


class Lists:
    """Turns a step into one for each entry, and their results into its own. It keeps nothing between calls."""

    def __init__(self, config: AppConfig, store: Store) -> None:
        self._limit = config.limits.steps
        self._store = store

    async def each(self, ctx: RunContext, step: PlanStep) -> ExecutorResponse:
        """Return the steps that this one turns into, or, when they have ended, what they made."""
        begun = any(pipe is not None and pipe.parent == step.id for pipe in _pipes(ctx))
        if not begun and not await self._begin(ctx, step):
            return ExecutorResponse(step.id, ResponseStatus.OK, [], provenance=ctx.control_of(step.id))
        mine = [record.step for record in ctx.records.values() if record.step.id.startswith(step.id + INSIDE)]
        if any(child.id not in ctx.results for child in mine):
            return ExecutorResponse(step.id, ResponseStatus.NEEDS_INPUT, children=tuple(mine))
        return _gathered(ctx, step, [child for child in mine if pipe_of(child).parent == step.id])

    async def _begin(self, ctx: RunContext, step: PlanStep) -> list[PlanStep]:
        pipe = pipe_of(step)
        entries, label = filled(ctx, step, pipe.foreach)
        if not isinstance(entries, list):
            raise ToolArguments(f"`foreach` of step {step.id!r} needs a list, not {type(entries).__name__}.")
        if len(entries) > MAX_ENTRIES:
            raise ToolArguments(f"`foreach` of step {step.id!r} has {len(entries):,} entries; {MAX_ENTRIES:,} may be.")
        used = len(entries) * max(1, len(pipe.body)) + len(ctx.records)
        if used > self._limit:
            raise LimitReached("steps of one run", value=self._limit, used=used, setting="limits.steps")
        control = ctx.control_of(step.id) | label  # how often it runs depends on the list
        children = [child for n, item in enumerate(entries) for child in _entry(step, pipe, item, n)]
        await begin_steps(self._store, ctx, children, control)
        ctx.control[step.id] = control
        return children


async def begin_steps(store: Store, ctx: RunContext, steps: list[PlanStep], control: Provenance) -> None:
    """Journal steps that were made while the run goes on, all in one transaction."""
    await store.add_steps(ctx.run.id, ctx.run.epoch, steps, control)
    for step in steps:
        ctx.status[step.id], ctx.control[step.id] = Status.PENDING, control
        ctx.records[step.id] = StepRecord(ctx.run.id, step, control=control)
    ctx.revisions += [step for step in steps if revision_of(step) is not None]


def by_entry(condition: Any) -> bool:
    """Say whether a condition is about the entry of a list: then it is asked for each."""
    from agent.execution.templates import as_expression, mentions

    return bool(mentions(as_expression(condition)).names & {"item", "index"})


def child_id(step_id: str, index: int) -> str:
    """Return the id of the step for one entry of a list."""
    return f"{step_id}{INSIDE}{index}"


def _entry(step: PlanStep, pipe: Pipe, item: Any, index: int) -> list[PlanStep]:
    """Return the steps for one entry. The one that comes `parallel` places later waits until this one has ended."""
    ahead = (child_id(step.id, index - pipe.parallel),) if index >= pipe.parallel else ()
    own = {"item": item, "index": index}
    first = {**own, "after": ahead, "when": pipe.when if by_entry(pipe.when) else None, "revision": pipe.revision}
    if not pipe.body:
        return [_single(step, pipe, {**first, "parent": step.id})]
    rename = renaming({EACH: child_id(step.id, index)})
    entry, *inner, last = (copied(PlanStep.model_validate(one), rename) for one in pipe.body)
    entered = pipe_of(entry).model_copy(update={**first, "scope": pipe.scope, "given": pipe.given})
    left = pipe_of(last).model_copy(update={**own, "parent": step.id})
    return [
        entry.model_copy(update={"pipe": entered, "title": f"{step.label} [{index + 1}]: inputs"}),
        *inner,
        last.model_copy(update={"pipe": left, "title": f"{step.label} [{index + 1}]"}),
    ]


def _single(step: PlanStep, pipe: Pipe, own: dict[str, Any]) -> PlanStep:
    index = own["index"]
    plain = {"foreach": None, "approval": "", "checkpoint": None}
    return step.model_copy(
        update={
            "id": child_id(step.id, index),
            "title": f"{step.label} [{index + 1}]",
            "depends_on": (),
            "on_failure": OnFailure.STOP if step.on_failure is OnFailure.STOP else OnFailure.CONTINUE,
            "pipe": pipe.model_copy(update={**plain, **own}),
        },
    )


def _pipes(ctx: RunContext) -> list[Pipe | None]:
    return [record.step.pipe for record in ctx.records.values()]


def _gathered(ctx: RunContext, step: PlanStep, entries: list[PlanStep]) -> ExecutorResponse:
    """Join the results of all entries in their order; null stands for one that failed or was skipped."""
    results = [ctx.results[entry.id] for entry in sorted(entries, key=lambda entry: pipe_of(entry).index or 0)]
    failed = failed_entries(ctx, step.id)
    good = [result for result in results if result.success]
    label = Provenance.union([ctx.control_of(step.id), *(result.provenance for result in results)])
    status = ResponseStatus.OK if not failed else ResponseStatus.PARTIAL
    if failed and (not good or step.on_failure is not OnFailure.CONTINUE):
        status = ResponseStatus.ERROR
    said = ""
    if failed:
        first = f"{child_id(step.id, failed[0]['index'])}: {failed[0]['error']}"
        said = f"{len(failed)} of {len(results)} entries failed, first {first}"
    texts = [result.text for result in good if result.text]
    files = tuple({file.path: file for result in good for file in result.files}.values())
    outputs = [value_of(result) if result.success else None for result in results]
    return ExecutorResponse(step.id, status, outputs, "\n".join(texts), files, said, provenance=label)
