"""Steps of pipelines: their conditions, checkpoints and lists, and the values that their templates are filled with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.domain.execution import ExecutorRequest, ExecutorResponse, ResponseStatus
from agent.domain.inputs import checked_outputs, typed
from agent.domain.plan import PlanStep, StepType
from agent.domain.provenance import Provenance
from agent.domain.states import Status
from agent.execution.checkpoints import Checkpoints
from agent.execution.lists import Lists, by_entry
from agent.execution.template_words import SkippedValue
from agent.execution.values import (
    filled,
    in_words,
    is_skipped,
    label_of,
    pipe_of,
    previous_of,
    scope_of,
)

if TYPE_CHECKING:
    from agent.catalogue import Catalogue
    from agent.config import AppConfig
    from agent.execution.context import RunContext
    from agent.store.protocol import Store

PREVIOUS_CHARS = 20_000


class Pipes:
    """Prepares the steps that have a `pipe`. It keeps nothing between calls."""

    def __init__(self, config: AppConfig, store: Store, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._checkpoints = Checkpoints(config, store)
        self._lists = Lists(config, store)

    async def before(self, ctx: RunContext, step: PlanStep) -> ExecutorResponse | None:
        """Return a response when the step is not (or not yet) to be carried out; None when its turn has come.

        That is: its condition is false, a person must agree first or did not, or it has turned into other steps: those
        for the entries of its list, or those that a person wants to be different.
        """
        left_out = self._left_out(ctx, step)
        if left_out is not None:
            return left_out
        pipe = pipe_of(step)
        if pipe.approval:
            at = self._checkpoints.before_call if self._asks_anyway(ctx, step) else self._checkpoints.before
            waiting = await at(ctx, step)
            if waiting is not None:
                return waiting
        if pipe.foreach is not None and pipe.index is None:
            return await self._lists.each(ctx, step)
        return None

    def resolve(self, ctx: RunContext, step: PlanStep) -> ExecutorRequest:
        """Return the step with its templates filled in, every argument with the labels of what it was made of.

        Raises TemplateFailed, ToolArguments, or SkippedValue.
        """
        args, labels = {}, {}
        for name, value in step.args.items():
            args[name], labels[name] = filled(ctx, step, value)
        instruction, told = filled(ctx, step, step.instruction)
        question, asked = filled(ctx, step, step.question)
        labels["instruction"] = Provenance.union([told, asked, labels.get("instruction", told)])
        options, _ = filled(ctx, step, list(step.options))
        words = {"question": str(question), "options": tuple(str(option) for option in options)}
        return ExecutorRequest(
            run_id=ctx.run.id,
            session_id=ctx.session.id,
            step=step.model_copy(update=words) if step.step_type is StepType.ASK else step,
            args=args,
            instruction=f"{instruction}{_wanted(ctx, step)}",
            corr_id=ctx.run.corr_id,
            control=ctx.control_of(step.id),
            arg_provenance=labels,
        )

    async def asking(self, ctx: RunContext, step: PlanStep, because: str) -> tuple[str, dict[str, Any]]:
        """Return why a person is asked about a call, the pipeline's words first, and what else is to the question.

        Files that the checkpoint shows are posted by this.
        """
        pipe = step.pipe
        if pipe is None or not pipe.approval:
            return because, {}
        await self._checkpoints.show(ctx, step)
        words = f"{filled(ctx, step, pipe.approval)[0]} · {because}"
        seconds = pipe.checkpoint.timeout if pipe.checkpoint else None
        return words, {"seconds": seconds, "choices": await self._checkpoints.choices(ctx, step)}

    @staticmethod
    def value(request: ExecutorRequest) -> ExecutorResponse:
        """Carry out a `value` step. Raises PlanError when it holds inputs that are wrong."""
        step = request.step
        value = request.args["value"]
        pipe = pipe_of(step)
        if pipe.inputs is not None:
            value = typed(pipe.inputs, value, f"Step {step.id!r}")
        if pipe.typed is not None:
            value = checked_outputs(pipe.typed, value)
        label = Provenance.union(request.arg_provenance.values())
        return ExecutorResponse(step.id, ResponseStatus.OK, value, in_words(value), provenance=label)

    # --- conditions ---------------------------------------------------------------------------------------------
    @staticmethod
    def _left_out(ctx: RunContext, step: PlanStep) -> ExecutorResponse | None:
        pipe = pipe_of(step)
        if pipe.given and is_skipped(ctx, pipe.given):
            return _skipped(step, ctx.control_of(step.id), "Skipped together with the pipeline that it is part of.")
        if pipe.when is None or (pipe.foreach is not None and pipe.index is None and by_entry(pipe.when)):
            return None
        from agent.execution.templates import holds

        true, rendered = holds(pipe.when, scope_of(ctx, step))
        guard = ctx.guards[step.id] = label_of(ctx, step, rendered)  # whether it runs depends on what was looked at
        if true or ctx.state_of(step) in {Status.RUNNING, Status.WAITING_APPROVAL}:
            return None
        return _skipped(step, guard, f"Skipped, because `when` is false: {pipe.when}")

    def _asks_anyway(self, ctx: RunContext, step: PlanStep) -> bool:
        """Say whether the call itself asks for consent: then the pipeline's words are part of that question."""
        if step.step_type is not StepType.TOOL or pipe_of(step).foreach is not None:
            return False
        return self._catalogue.find(step.tool or "", ctx.session.profile).effect == "effect"


def skipped_for_want(step: PlanStep, missing: SkippedValue, label: Provenance) -> ExecutorResponse:
    """Return the result of a step that needs what a skipped step did not make."""
    return _skipped(step, label, missing.message)


def _skipped(step: PlanStep, label: Provenance, why: str) -> ExecutorResponse:
    return ExecutorResponse(step.id, ResponseStatus.SKIPPED, error=why, provenance=label)


def _wanted(ctx: RunContext, step: PlanStep) -> str:
    """Return what a model is told that writes something anew, unless its instruction speaks of the revision itself."""
    revision = pipe_of(step).revision
    if revision is None or not revision.meant or step.step_type not in {StepType.LLM, StepType.TASK}:
        return ""
    from agent.execution.templates import mentions

    if "revision" in mentions([step.instruction, step.args]).names:
        return ""
    before = in_words(previous_of(ctx, pipe_of(step)))[:PREVIOUS_CHARS]
    return (
        "\n\nThis was done before, and a person wants it to be different:\n"
        f"{revision.comment}\n\nWhat was made before:\n<data>\n{before}\n</data>"
    )
