"""Steps of pipelines: their conditions, checkpoints and lists, and the values that their templates are filled with.

Everything is worked out from the journal when a step's turn has come, so a run that is taken up again sees the same
values: results are journalled, inputs lie with the run, and `now()` is the moment when the run was opened.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import secrets
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent.domain.execution import ExecutorRequest, ExecutorResponse, ResponseStatus
from agent.domain.inputs import typed
from agent.domain.plan import OnFailure, Pipe, PlanStep, StepType
from agent.domain.provenance import Provenance
from agent.domain.run import Approval, StepChange, StepRecord
from agent.domain.states import Status
from agent.errors import LimitReached, ToolArguments
from agent.execution.people import APPROVAL_SECONDS, approval_message
from agent.execution.template_words import SkippedValue
from agent.policy import consent

if TYPE_CHECKING:
    from agent.catalogue import Catalogue
    from agent.config import AppConfig
    from agent.execution.context import RunContext
    from agent.execution.templates import Rendered, Scope
    from agent.store.protocol import Store

MAX_CHILDREN = 1_000
CHECKPOINT = "checkpoint"


class Pipes:
    """Prepares the steps that have a `pipe`. It keeps nothing between calls."""

    def __init__(self, config: AppConfig, store: Store, catalogue: Catalogue) -> None:
        self._config = config
        self._store = store
        self._catalogue = catalogue

    async def before(self, ctx: RunContext, step: PlanStep) -> ExecutorResponse | None:
        """Return a response when the step is not (or not yet) to be carried out; None when its turn has come.

        That is: its condition is false, a person must agree first or did not, or it has turned into one step for each
        entry of its list.
        """
        pipe = _pipe(step)
        left_out = self._left_out(ctx, step, pipe)
        if left_out is not None:
            return left_out
        if pipe.approval and not self._asks_anyway(ctx, step):
            waiting = await self._checkpoint(ctx, step)
            if waiting is not None:
                return waiting
        if pipe.foreach is not None and pipe.index is None:
            return await self._each(ctx, step, pipe)
        return None

    def resolve(self, ctx: RunContext, step: PlanStep) -> ExecutorRequest:
        """Return the step with its templates filled in, every argument with the labels of what it was made of.

        Raises TemplateFailed, ToolArguments, or SkippedValue.
        """
        args, labels = {}, {}
        for name, value in step.args.items():
            args[name], labels[name] = self._render(ctx, step, value)
        instruction, labels["instruction"] = self._render(ctx, step, step.instruction)
        question, asked = self._render(ctx, step, step.question)
        labels["instruction"] |= asked
        options, _ = self._render(ctx, step, list(step.options))
        filled = {"question": str(question), "options": tuple(str(option) for option in options)}
        return ExecutorRequest(
            run_id=ctx.run.id,
            session_id=ctx.session.id,
            step=step.model_copy(update=filled) if step.step_type is StepType.ASK else step,
            args=args,
            instruction=str(instruction),
            corr_id=ctx.run.corr_id,
            control=ctx.control_of(step.id),
            arg_provenance=labels,
        )

    def because(self, ctx: RunContext, step: PlanStep, reason: str) -> str:
        """Return why a person is asked about an effect: the pipeline's words first."""
        if step.pipe is None or not step.pipe.approval:
            return reason
        return f"{self._render(ctx, step, step.pipe.approval)[0]} · {reason}"

    @staticmethod
    def value(request: ExecutorRequest) -> ExecutorResponse:
        """Carry out a `value` step. Raises PlanError when it holds inputs that are wrong."""
        step = request.step
        value = request.args["value"]
        pipe = _pipe(step)
        if pipe.inputs is not None:
            value = typed(pipe.inputs, value, f"Step {step.id!r}")
        label = Provenance.union(request.arg_provenance.values())
        return ExecutorResponse(step.id, ResponseStatus.OK, value, in_words(value), provenance=label)

    # --- conditions ---------------------------------------------------------------------------------------------
    def _left_out(self, ctx: RunContext, step: PlanStep, pipe: Pipe) -> ExecutorResponse | None:
        if pipe.given and _is_skipped(ctx, pipe.given):
            return _skipped(step, ctx.control_of(step.id), "Skipped together with the pipeline that it is part of.")
        if pipe.when is None or (pipe.foreach is not None and pipe.index is None and _by_entry(pipe.when)):
            return None
        from agent.execution.templates import holds

        true, rendered = holds(pipe.when, self._scope(ctx, pipe))
        ctx.control[step.id] = self._label(ctx, step, rendered)  # whether it runs depends on what was looked at
        if true or ctx.state_of(step) in {Status.RUNNING, Status.WAITING_APPROVAL}:
            return None
        return _skipped(step, ctx.control[step.id], f"Skipped, because `when` is false: {pipe.when}")

    # --- checkpoints --------------------------------------------------------------------------------------------
    def _asks_anyway(self, ctx: RunContext, step: PlanStep) -> bool:
        """Say whether the call itself asks for consent: then the pipeline's words are part of that question."""
        if step.step_type is not StepType.TOOL or (step.pipe and step.pipe.foreach is not None):
            return False
        return self._catalogue.find(step.tool or "", ctx.session.profile).effect == "effect"

    async def _checkpoint(self, ctx: RunContext, step: PlanStep) -> ExecutorResponse | None:
        found = [a for a in await self._store.approvals_of(ctx.run.id) if a.step_id == step.id and a.tool == CHECKPOINT]
        last = found[-1] if found else None
        if last is None:
            return await self._ask(ctx, step)
        if last.decision == "allow":
            return None
        if last.decision is None and (last.expires_at or 0) > time.time():
            return ExecutorResponse(step.id, ResponseStatus.NEEDS_INPUT, approval_id=last.id)
        said = "You denied it." if last.decision else "Nobody approved it in time."
        return ExecutorResponse(step.id, ResponseStatus.BLOCKED, error=said)

    async def _ask(self, ctx: RunContext, step: PlanStep) -> ExecutorResponse:
        text, label = self._render(ctx, step, _pipe(step).approval)
        args = {"before": step.label, "text": str(text)}
        now = time.time()
        approval = Approval(
            id=secrets.token_urlsafe(6),
            run_id=ctx.run.id,
            step_id=step.id,
            session_id=ctx.session.id,
            tool=CHECKPOINT,
            args=args,
            digest=consent.digest(CHECKPOINT, args),
            because=consent.because({"text": label}, ctx.control_of(step.id)),
            asked_at=now,
            expires_at=now + APPROVAL_SECONDS,
        )
        if ctx.state_of(step) is Status.PENDING:
            self._store.change_step_soon(StepChange(ctx.run.id, step.id, Status.READY, ctx.run.epoch))
        change = StepChange(ctx.run.id, step.id, Status.WAITING_APPROVAL, ctx.run.epoch)
        await self._store.request_approval(approval, change, approval_message(ctx.run.dest, approval))
        return ExecutorResponse(step.id, ResponseStatus.NEEDS_INPUT, approval_id=approval.id)

    # --- lists --------------------------------------------------------------------------------------------------
    async def _each(self, ctx: RunContext, step: PlanStep, pipe: Pipe) -> ExecutorResponse:
        mine = [r.step for r in ctx.records.values() if r.step.pipe is not None and r.step.pipe.parent == step.id]
        if not mine:
            mine = await self._begin_each(ctx, step, pipe)
        if any(child.id not in ctx.results for child in mine):
            return ExecutorResponse(step.id, ResponseStatus.NEEDS_INPUT, children=tuple(mine))
        return _gathered(step, [ctx.results[child.id] for child in mine], ctx.control_of(step.id))

    async def _begin_each(self, ctx: RunContext, step: PlanStep, pipe: Pipe) -> list[PlanStep]:
        entries, label = self._render(ctx, step, pipe.foreach)
        if not isinstance(entries, list):
            raise ToolArguments(f"`foreach` of step {step.id!r} needs a list, not {type(entries).__name__}.")
        limit = min(MAX_CHILDREN, self._config.limits.steps - len(ctx.records))
        if len(entries) > limit:
            used = len(entries) + len(ctx.records)
            raise LimitReached("steps of one run", value=self._config.limits.steps, used=used, setting="limits.steps")
        control = ctx.control[step.id] = ctx.control_of(step.id) | label  # how often it runs depends on the list
        children = [_child(step, pipe, item, index) for index, item in enumerate(entries)]
        await self._store.add_steps(ctx.run.id, ctx.run.epoch, children, control)
        for child in children:
            ctx.status[child.id], ctx.control[child.id] = Status.PENDING, control
            ctx.records[child.id] = StepRecord(ctx.run.id, child, control=control)
        return children

    # --- values -------------------------------------------------------------------------------------------------
    def _render(self, ctx: RunContext, step: PlanStep, value: Any) -> tuple[Any, Provenance]:
        from agent.execution.templates import render  # Jinja is loaded when there is a pipeline

        rendered = render(value, self._scope(ctx, _pipe(step)))
        return rendered.value, self._label(ctx, step, rendered)

    def _label(self, ctx: RunContext, step: PlanStep, rendered: Rendered) -> Provenance:
        """Join where a value came from: the choice of the step, the results it touched, the environment, the inputs."""
        pipe = _pipe(step)
        parts = [ctx.control_of(step.id)]
        parts += [
            ctx.results[pipe.scope + name].provenance for name in rendered.steps if pipe.scope + name in ctx.results
        ]
        parts += [Provenance.of(f"env:{name}", trusted=True, private=True) for name in rendered.env]
        if pipe.given in ctx.results:
            parts.append(ctx.results[pipe.given].provenance)
        return Provenance.union(parts)

    def _scope(self, ctx: RunContext, pipe: Pipe) -> Scope:
        from agent.execution.templates import Scope

        given = ctx.run.given
        inputs = ctx.results[pipe.given].output if pipe.given in ctx.results else given.get("inputs", {})
        prefix = len(pipe.scope)
        skipped = (name[prefix:] for name in ctx.results if name.startswith(pipe.scope) and _is_skipped(ctx, name))
        return Scope(
            results=_Results(ctx, pipe.scope),
            inputs=inputs,
            env={name: os.environ[name] for name in given.get("env", ()) if name in os.environ},
            skipped=frozenset(skipped),
            now=dt.datetime.fromtimestamp(int(ctx.run.created_at), dt.UTC),
            item=pipe.item,
            index=pipe.index,
        )


class _Results(Mapping[str, Mapping[str, Any]]):
    """The finished steps of one scope as templates see them."""

    def __init__(self, ctx: RunContext, scope: str) -> None:
        self._results = ctx.results
        self._scope = scope

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        result = self._results[self._scope + name]
        if result.status is ResponseStatus.SKIPPED:
            raise KeyError(name)
        return {
            "output": result.text if result.output is None else result.output,
            "text": result.text,
            "files": [file.path for file in result.files],
            "status": result.status.value,
        }

    def __iter__(self) -> Any:
        return (name[len(self._scope) :] for name in self._results if name.startswith(self._scope))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def skipped_for_want(step: PlanStep, missing: SkippedValue, label: Provenance) -> ExecutorResponse:
    """Return the result of a step that needs what a skipped step did not make."""
    return _skipped(step, label, missing.message)


def in_words(value: Any) -> str:
    """Return a value as a person reads it: text as it is, a record as lines, anything else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and len(value) == 1 and isinstance(next(iter(value.values())), str):
        return str(next(iter(value.values())))
    if isinstance(value, dict):
        return "\n".join(f"{name}: {part if isinstance(part, str) else _json(part)}" for name, part in value.items())
    return "" if value is None else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _pipe(step: PlanStep) -> Pipe:
    assert step.pipe is not None, "only steps of pipelines come here"
    return step.pipe


def _is_skipped(ctx: RunContext, step_id: str) -> bool:
    result = ctx.results.get(step_id)
    return result is not None and result.status is ResponseStatus.SKIPPED


def _skipped(step: PlanStep, label: Provenance, why: str) -> ExecutorResponse:
    return ExecutorResponse(step.id, ResponseStatus.SKIPPED, error=why, provenance=label)


def _by_entry(condition: Any) -> bool:
    """Say whether a condition is about the entry of a list: then it is asked for each."""
    from agent.execution.templates import as_expression, mentions

    return bool(mentions(as_expression(condition)).names & {"item", "index"})


def _child(step: PlanStep, pipe: Pipe, item: Any, index: int) -> PlanStep:
    """Return the step for one entry. The one that comes `parallel` places later waits until this one has ended."""
    ahead = (child_id(step.id, index - pipe.parallel),) if index >= pipe.parallel else ()
    own = {"foreach": None, "approval": "", "parent": step.id, "item": item, "index": index, "after": ahead}
    if pipe.when is not None and not _by_entry(pipe.when):
        own["when"] = None
    return step.model_copy(
        update={
            "id": child_id(step.id, index),
            "title": f"{step.label} [{index + 1}]",
            "depends_on": (),
            "on_failure": OnFailure.STOP if step.on_failure is OnFailure.STOP else OnFailure.CONTINUE,
            "pipe": pipe.model_copy(update=own),
        },
    )


def child_id(step_id: str, index: int) -> str:
    """Return the id of the step for one entry of a list."""
    return f"{step_id}__{index}"


def _gathered(step: PlanStep, results: list[ExecutorResponse], control: Provenance) -> ExecutorResponse:
    """Join the results of all entries in their order; null stands for one that failed or was skipped."""
    failed = [result for result in results if not result.success and result.status is not ResponseStatus.SKIPPED]
    good = [result for result in results if result.success]
    outputs = [(r.text if r.output is None else r.output) if r.success else None for r in results]
    label = Provenance.union([control, *(result.provenance for result in results)])
    status = ResponseStatus.OK if not failed else ResponseStatus.PARTIAL
    if failed and (not good or step.on_failure is not OnFailure.CONTINUE):
        status = ResponseStatus.ERROR
    said = (
        f"{len(failed)} of {len(results)} entries failed, first {failed[0].step_id}: {failed[0].error}"
        if failed
        else ""
    )
    texts = [result.text for result in good if result.text]
    files = tuple({file.path: file for result in good for file in result.files}.values())
    return ExecutorResponse(step.id, status, outputs, "\n".join(texts), files, said, provenance=label)
