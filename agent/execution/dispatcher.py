"""Takes one step through: references, arguments, consent, tool or model, promised files, journal.

Every path ends in a response that is journalled before anything that depends on the step can start. A step that waits
for a person is left behind as a row; `take_through` is called again when the answer is there, or after a restart.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from loguru import logger

from agent import tracing
from agent.domain.execution import ExecutorRequest, ExecutorResponse, ResponseStatus
from agent.domain.plan import PlanStep, StepType
from agent.domain.provenance import Provenance
from agent.domain.references import resolve
from agent.domain.run import StepChange, StepNote
from agent.domain.states import Status
from agent.errors import (
    DirigentError,
    JournalFailed,
    JournalUnusable,
    ModelUnavailable,
    OverBudget,
    StaleLease,
    ToolError,
    reference_id,
)
from agent.execution.editing import at_checkpoint, edit_of, relabelled
from agent.execution.judging import begun, judged, labelled, look_at_files, proposed, with_origin
from agent.execution.pausing import pause_step
from agent.execution.people import NOT_AGAIN, People, Settled
from agent.execution.pipes import Pipes, skipped_for_want
from agent.execution.promises import kept_promises
from agent.execution.publishing import publish
from agent.execution.retry import with_retries
from agent.execution.services import named_services
from agent.execution.standing import agreed_before, agreed_for_task
from agent.execution.template_words import SkippedValue
from agent.execution.toolbox import Call
from agent.policy import consent, provenance, this_task
from agent.policy.gate import Policy
from agent.policy.rule import leaves

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent.catalogue import Catalogue
    from agent.config import AppConfig
    from agent.domain.artifacts import Artifact
    from agent.execution.context import RunContext
    from agent.execution.executor import Executor
    from agent.execution.toolbox import Toolbox
    from agent.store.protocol import Store
    from plugins.api import ToolSpec

OPTION_CHARS = 200
# What leads from where a step stands to RUNNING, in the state machine's own steps.
TO_RUNNING: dict[Status, tuple[Status, ...]] = {
    Status.PENDING: (Status.READY, Status.RUNNING),
    Status.READY: (Status.RUNNING,),
    Status.RUNNING: (),
    Status.WAITING_APPROVAL: (Status.RUNNING,),
}


class Dispatcher:
    """Carries out single steps of any run. It keeps nothing between calls; the journal does.

    `published` is called when an event may have been stored, `before_writing` before a step that may change files.
    """

    def __init__(
        self,
        config: AppConfig,
        store: Store,
        catalogue: Catalogue,
        toolbox: Toolbox,
        executor: Executor,
        *,
        published: Callable[[], None] = lambda: None,
        before_writing: Callable[[RunContext], Awaitable[None]] | None = None,
    ) -> None:
        self._config = config
        self._store = store
        self._catalogue = catalogue
        self._toolbox = toolbox
        self._executor = executor
        self._published = published
        self._before_writing = before_writing
        self._people = People(store, config.limits)
        self._pipes = Pipes(config, store, catalogue)
        self._policy = Policy(store, config)

    async def take_through(self, ctx: RunContext, step: PlanStep) -> ExecutorResponse:
        """Carry the step to its end, or to the point where it waits for a person (`needs_input`).

        Never raises for what a tool, a model or an argument does wrong: that is a response. Raises StaleLease when
        another worker has taken the run over, and what the journal raises.
        """
        told = {"dirigent.step.id": step.id, "dirigent.step.type": step.step_type.value, "gen_ai.tool.name": step.tool}
        with tracing.begin(f"step {step.id}", told) as span:
            response = await self._taken_through(ctx, step)
            span.set({"dirigent.step.status": response.status.value})
            if response.error:
                span.fail(response.status.value, response.error)
            return response

    async def _taken_through(self, ctx: RunContext, step: PlanStep) -> ExecutorResponse:
        started = time.monotonic()
        try:
            with ctx.gathering.on_the_way(step.id):
                response = await self._advance(ctx, step)
        except (StaleLease, JournalFailed, JournalUnusable):
            raise
        except SkippedValue as missing:
            response = skipped_for_want(step, missing, ctx.control_of(step.id))
        except OverBudget as refused:
            response = await pause_step(self._store, ctx, step, refused)
        except DirigentError as error:
            response = ExecutorResponse(step.id, ResponseStatus.ERROR, error=error.message, hint=error.hint)
        except Exception:
            ref = reference_id()
            logger.error("{} step {} of run {} failed:\n{}", ref, step.id, ctx.run.id, traceback.format_exc())
            response = ExecutorResponse(
                step.id, ResponseStatus.ERROR, error=f"Something in Dirigent failed ({ref}).", hint="See the log."
            )
        if response.children:
            return response
        if response.status is ResponseStatus.NEEDS_INPUT:
            ctx.status[step.id] = Status.WAITING_APPROVAL
            return response
        response = with_origin(ctx, step, kept_promises(step, response))
        response = replace(response, seconds=time.monotonic() - started)
        await self._journal(ctx, step, response)
        return response

    def has_effect(self, step: PlanStep, ctx: RunContext) -> bool:
        """True when the step can change the world outside, or speaks to the person: it waits for the whole plan."""
        if step.step_type is StepType.TOOL:
            try:
                return self._spec(ctx, step).effect == "effect"
            except ToolError:  # gone since it was planned: the step itself says so when its turn comes
                return True
        if step.step_type is StepType.TASK:
            return any(spec.effect == "effect" for spec in self._executor.tools_of(ctx, step))
        return step.step_type in {StepType.ASK, StepType.PUBLISH}

    # --- the way of a step --------------------------------------------------------------------------------------
    async def _advance(self, ctx: RunContext, step: PlanStep) -> ExecutorResponse:
        if step.pipe is not None:
            early = await self._pipes.before(ctx, step)
            if early is not None:
                return early
        request = self._resolve(ctx, step) if step.pipe is None else self._pipes.resolve(ctx, step)
        if step.step_type in {StepType.VALUE, StepType.PUBLISH}:
            return await self._in_house(ctx, request)
        once = self._once(ctx, step)
        settled = await self._people.settled(ctx, request, once=once)
        if settled.response is not None:
            return settled.response
        if step.step_type is StepType.ASK:
            return await self._people.ask(ctx, request)
        if step.step_type is StepType.TOOL:
            return await self._tool(ctx, request, settled, once=once)
        writes = step.step_type is StepType.TASK or bool(step.outputs)
        await self._start(ctx, step, durable=once or bool(settled.allowed), writes=writes)
        return await with_retries(
            lambda _attempt: self._with_model(ctx, request, settled),
            0 if once else step.retries,
            lambda text: ctx.on_progress(step.id, text, None, None),
        )

    async def _in_house(self, ctx: RunContext, request: ExecutorRequest) -> ExecutorResponse:
        """Carry out a `value` or `publish` step: nobody is asked, and repeating it changes nothing."""
        if request.step.step_type is StepType.VALUE:
            return self._pipes.value(request)
        response = await publish(self._store, ctx.run, request)
        self._published()
        return response

    async def _with_model(self, ctx: RunContext, request: ExecutorRequest, settled: Settled) -> ExecutorResponse:
        """Carry out an `llm` or `task` step; what may pass when it is tried again becomes a response here."""
        step = request.step
        seconds = step.timeout or self._config.limits.step_seconds
        try:
            async with asyncio.timeout(seconds):
                if step.step_type is StepType.LLM:
                    return await self._executor.write(ctx, request)
                return await self._executor.work(ctx, request, settled.allowed, settled.denied, settled.edited)
        except TimeoutError:
            return ExecutorResponse(step.id, ResponseStatus.TIMEOUT, error=f"It took longer than {seconds:g} s.")
        except ModelUnavailable as error:
            return ExecutorResponse(step.id, ResponseStatus.ERROR, error=error.message, hint=error.hint)

    async def _tool(
        self, ctx: RunContext, request: ExecutorRequest, settled: Settled, *, once: bool
    ) -> ExecutorResponse:
        step = request.step
        spec = self._spec(ctx, step)
        args = self._catalogue.validate(spec, request.args)
        edited = edit_of(spec, args, settled.edited)
        if edited is not None:
            args = self._catalogue.validate(spec, edited.args)
            request = relabelled(request, edited)
        await self._toolbox.settle(self._store, ctx)
        if leaves(spec):
            await look_at_files(self._store, ctx, spec)
        verdict = await self._policy.decide(proposed(ctx, request, spec, args))
        if verdict.decision == "deny":
            return ExecutorResponse(step.id, ResponseStatus.BLOCKED, error=verdict.because)
        request = judged(request, verdict)
        asks = verdict.decision == "ask"
        because, allowed = verdict.because, settled.allowed
        if asks and (asked := await self._consent(ctx, request, spec, args, because, allowed)) is not None:
            return asked
        note = begun(ctx, step.id, spec, args, verdict)
        await self._start(ctx, step, durable=once or asks, note=note, writes=spec.effect != "pure")
        call = Call(
            session=ctx.session,
            spec=spec,
            args=args,
            step_id=step.id,
            seconds=self._toolbox.seconds(spec, step.timeout),
            report=lambda at: ctx.on_progress(step.id, at.text, at.done, at.total),
            memory=ctx.memory,
            budget=ctx.budget,
            services=named_services(ctx.run.given),
            run=ctx.run.ref,
        )
        repeatable = not once and not asks  # an approval is for one execution; a `once` tool is never repeated unasked
        made: dict[str, Artifact] = {}

        async def attempt(_number: int) -> ExecutorResponse:
            tried = await self._toolbox.call(call)
            made.update({file.path: replace(file, deliver=False) for file in tried.files})
            return tried

        response = await with_retries(
            attempt,
            step.retries if repeatable else 0,
            lambda text: ctx.on_progress(step.id, text, None, None),
        )
        files = {**made, **{file.path: file for file in response.files}}
        await look_at_files(self._store, ctx, spec, made=bool(files))  # they may have come into the workspace meanwhile
        labels = provenance.of_result(spec, args, request.arg_provenance, ctx.file_labels, step.id)
        told = f"{response.text}\n{edited.told()}".strip() if edited is not None else response.text
        return replace(response, provenance=labels, files=labelled(ctx, spec, files.values()), text=told)

    async def _consent(  # noqa: PLR0917
        self,
        ctx: RunContext,
        request: ExecutorRequest,
        spec: ToolSpec,
        args: dict[str, Any],
        because: str,
        allowed: str,
    ) -> ExecutorResponse | None:
        """Return the question to the person; None when they have agreed to exactly this call, or to ones like it."""
        step, exact = request.step, consent.whole(spec, args)
        if allowed == consent.digest(spec.full_name, exact) or await self._agreed(ctx, request, spec, args):
            return None
        if not at_checkpoint(step) and (refused := await self._people.denied_before(ctx, spec, exact)):
            return ExecutorResponse(step.id, ResponseStatus.BLOCKED, error=f"{refused} {NOT_AGAIN}")
        labels = {name: label for name, label in request.arg_provenance.items() if name in args}
        words, more = await self._pipes.asking(ctx, step, because)
        asking: dict[str, Any] = {"choices": this_task.choices(spec), **more}
        asking["origins"] = this_task.origins(labels.values(), request.control)
        asking["labels"] = {**labels, "": request.control}
        return await self._people.request_approval(ctx, step.id, spec, exact, words, **asking)

    async def _agreed(self, ctx: RunContext, request: ExecutorRequest, spec: ToolSpec, args: dict[str, Any]) -> bool:
        """Say whether the call was agreed to before; a checkpoint asks all the same, each time."""
        step = request.step
        if at_checkpoint(step):
            return False
        if ctx.run.given.get("consent") and await agreed_before(self._store, ctx, step, spec, args):
            return True
        exact, labels = consent.whole(spec, args), request.arg_provenance
        return await agreed_for_task(self._store, ctx, step.id, spec, exact, labels, request.control)

    def _resolve(self, ctx: RunContext, step: PlanStep) -> ExecutorRequest:
        """Put values in the place of references; every argument carries the labels of what it was made of."""
        args, labels = {}, {}
        for name, value in step.args.items():
            args[name], used = resolve(value, ctx.results)
            labels[name] = self._label(ctx, step, used)
        (instruction, question, options), used = resolve(
            [step.instruction, step.question, list(step.options)], ctx.results
        )
        words = self._label(ctx, step, used)  # a tool may have a parameter of the same name, which keeps its own
        labels["instruction"] = words | labels["instruction"] if "instruction" in labels else words
        asked = {"question": str(question), "options": tuple(str(option)[:OPTION_CHARS] for option in options)}
        return ExecutorRequest(
            run_id=ctx.run.id,
            session_id=ctx.session.id,
            step=step.model_copy(update=asked) if step.step_type is StepType.ASK else step,
            args=args,
            instruction=str(instruction),
            context=ctx.summary,
            corr_id=ctx.run.corr_id,
            control=ctx.control_of(step.id),
            arg_provenance=labels,
        )

    @staticmethod
    def _label(ctx: RunContext, step: PlanStep, used: frozenset[str]) -> Provenance:
        """A literal was chosen by whoever chose the step; a reference adds what the referenced result carries."""
        control = ctx.control_of(step.id)
        return Provenance.union([control, *(ctx.results[name].provenance for name in used)]) if used else control

    def _spec(self, ctx: RunContext, step: PlanStep) -> ToolSpec:
        return self._catalogue.find(step.tool or "", ctx.session.profile)

    def _once(self, ctx: RunContext, step: PlanStep) -> bool:
        if step.step_type is StepType.TOOL:
            return self._spec(ctx, step).once
        return step.step_type is StepType.TASK and any(t.once for t in self._executor.tools_of(ctx, step))

    # --- the journal --------------------------------------------------------------------------------------------
    async def _start(
        self, ctx: RunContext, step: PlanStep, *, durable: bool, note: StepNote | None = None, writes: bool = False
    ) -> None:
        """Note the start; before an effect that must not happen twice, the note is committed first."""
        if writes and self._before_writing is not None:
            await self._before_writing(ctx)
        way = list(TO_RUNNING[ctx.state_of(step)])
        if ctx.state_of(step) is Status.RUNNING:  # left over from a worker that died
            way = [Status.READY, Status.RUNNING]
        last = way.pop() if (durable or note is not None) and way else None
        estimated = ctx.estimates.get(step.id)
        for status in way:
            change = StepChange(ctx.run.id, step.id, status, ctx.run.epoch, estimated_cost=estimated)
            self._store.change_step_soon(change)
        if last is not None:
            change = StepChange(ctx.run.id, step.id, last, ctx.run.epoch, estimated_cost=estimated, note=note)
            if durable:
                await self._store.change_step(change)
            else:
                self._store.change_step_soon(change)
        ctx.status[step.id] = Status.RUNNING
        ctx.gathering.past(step.id)

    async def _journal(self, ctx: RunContext, step: PlanStep, response: ExecutorResponse) -> None:
        if step.step_type in {StepType.TOOL, StepType.TASK} or response.files:
            await ctx.keep(step.id)
        files = tuple(replace(file, provenance=response.provenance | file.provenance) for file in response.files)
        ctx.file_labels.update({file.path: file.provenance for file in files})
        if files:
            await self._store.add_artifacts(ctx.session.id, ctx.run.id, step.id, files)
        skipped = response.status is ResponseStatus.SKIPPED
        if not skipped and ctx.state_of(step) in {Status.PENDING, Status.READY}:
            await self._start(ctx, step, durable=False)
        to = Status.COMPLETED if response.success else Status.CANCELLED if skipped else Status.FAILED
        await self._store.change_step(
            StepChange(
                ctx.run.id,
                step.id,
                to,
                ctx.run.epoch,
                output=response.output,
                text=response.text,
                files=tuple(file.to_json() for file in files),
                response_status=response.status.value,
                error=f"{response.error} {response.hint}".strip(),
                provenance=response.provenance,
                actual_cost=sum(usage.money or 0.0 for usage in response.usage) or None,
                note=self._ended(ctx, step, response),
            )
        )
        ctx.status[step.id] = to
        ctx.results[step.id] = replace(response, files=files) if files else response

    def _ended(self, ctx: RunContext, step: PlanStep, response: ExecutorResponse) -> StepNote | None:
        """Return what the audit log is to know of a step's end: an effect, or a result that others had a hand in."""
        untrusted = response.provenance.untrusted_names
        effect = step.step_type is StepType.TOOL and self.has_effect(step, ctx)
        if not (effect or untrusted):
            return None
        detail: dict[str, Any] = {"run": ctx.run.ref, "step": step.id, "status": response.status.value}
        detail |= {"tool": step.tool} if step.tool else {}
        detail |= {"from": list(untrusted)} if untrusted else {}
        return StepNote("effect ended" if effect else "tainted", ctx.session.id, detail)
