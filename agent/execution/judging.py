"""A call as the policy judges it: its arguments with their labels, its choice, and what decided whether it happens."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent.domain.provenance import NOTHING, Provenance
from agent.domain.run import StepNote
from agent.policy import consent
from agent.policy.gate import Proposal
from agent.policy.rule import leaves

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from agent.domain.artifacts import Artifact
    from agent.domain.execution import ExecutorRequest, ExecutorResponse
    from agent.domain.plan import PlanStep
    from agent.execution.context import RunContext
    from agent.policy.consent import Verdict
    from agent.store.protocol import Store
    from plugins.api import ToolSpec


def proposed(ctx: RunContext, request: ExecutorRequest, spec: ToolSpec, args: dict[str, Any]) -> Proposal:
    """Return a step's call as it is judged; `args` are validated."""
    pipe = request.step.pipe
    return Proposal(
        run=ctx.run,
        step_id=request.step.id,
        spec=spec,
        args=args,
        labels=request.arg_provenance,
        control=request.control,
        guard=guard_of(ctx, request.step),
        file_labels=ctx.file_labels,
        checkpoint=spec.effect == "effect" and pipe is not None and bool(pipe.approval),
    )


async def look_at_files(store: Store, ctx: RunContext, spec: ToolSpec, *, made: bool = False) -> None:
    """Have the labels of the files as they are now, where a call may send or read them, or has `made` some."""
    if made or spec.file_parameters or leaves(spec) or (spec.effect != "pure" and not spec.host):
        ctx.file_labels |= await store.labels(ctx.session.id)


def labelled(ctx: RunContext, spec: ToolSpec, files: Iterable[Artifact]) -> tuple[Artifact, ...]:
    """Return files that a call has made, with the labels that were theirs before.

    What runs inside the walls may have added to a file that was there; and one that came from outside while it ran
    looks as if it were its work.
    """
    if spec.host:
        return tuple(files)
    before = ctx.file_labels
    return tuple(replace(file, provenance=file.provenance | before.get(file.path, NOTHING)) for file in files)


def judged(request: ExecutorRequest, verdict: Verdict) -> ExecutorRequest:
    """Return the request with the labels that the verdict was given on: those of files are joined to them."""
    labels = {**request.arg_provenance, **verdict.labels.args}
    return replace(request, arg_provenance=labels, control=verdict.labels.control | verdict.labels.files)


def begun(ctx: RunContext, step_id: str, spec: ToolSpec, args: dict[str, Any], verdict: Verdict) -> StepNote | None:
    """Return what the audit log says of a call that changes or tells others something: which it is, and why it is made.

    None for a call that does no such thing and was not asked about.
    """
    asked = verdict.decision == "ask"
    if not (asked or leaves(spec)):
        return None
    digest = consent.digest(spec.full_name, consent.whole(spec, args))
    detail = {"run": ctx.run.ref, "step": step_id, "tool": spec.full_name, "rule": verdict.decision}
    detail["because"] = verdict.because or consent.YOURS
    kind = "effect begun" if asked or spec.effect == "effect" else "sent"
    return StepNote(kind, ctx.session.id, detail, {"digest": digest})


def with_origin(ctx: RunContext, step: PlanStep, response: ExecutorResponse) -> ExecutorResponse:
    """Return a response with a label: an error that carries none may quote whatever the step was given."""
    if response.success or response.provenance.sources:
        return response
    given = (ctx.results[name].provenance for name in step.depends_on if name in ctx.results)
    return replace(response, provenance=Provenance.union([ctx.control_of(step.id), *given]))


def guard_of(ctx: RunContext, step: PlanStep) -> Provenance:
    """Return the labels of everything that a condition has looked at on the way to a step.

    A step runs only when those before it have run, so their conditions are its own, too. Conditions are read out of the
    plan and not out of what was evaluated, so it is the same after a restart.
    """
    if step.pipe is None:
        return NOTHING
    parts = [ctx.guards.get(step.id, NOTHING)]
    for before in _followed(ctx, step):
        if before.pipe is not None and before.pipe.when is not None:
            parts += [result.provenance for result in _looked_at(ctx, before)]
    return Provenance.union(parts)


def _followed(ctx: RunContext, step: PlanStep) -> Iterator[PlanStep]:
    """Yield the step and everything that it follows on, near and far."""
    seen: set[str] = set()
    queue = [step.id]
    while queue:
        name = queue.pop()
        record = ctx.records.get(name)
        if name in seen or (record is None and name != step.id):
            continue
        seen.add(name)
        found = record.step if record is not None else step
        yield found
        queue += [*found.depends_on, *([found.pipe.parent, found.pipe.given] if found.pipe is not None else [])]


def _looked_at(ctx: RunContext, step: PlanStep) -> list[ExecutorResponse]:
    from agent.execution.templates import condition_mentions

    assert step.pipe is not None
    named = condition_mentions(step.pipe.when)
    names = [step.pipe.scope + name for name in named.steps | named.watched]
    names += [step.pipe.given] if step.pipe.given else []
    return [ctx.results[name] for name in names if name in ctx.results]
