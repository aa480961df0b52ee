"""Whether a call was agreed to before: of a pipeline's step by its owner, or of a run for all of its task."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from agent.domain.run import Origin
from agent.policy import consent, grants, this_task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.domain.plan import PlanStep
    from agent.domain.provenance import Provenance
    from agent.domain.run import Approval
    from agent.execution.context import RunContext
    from agent.store.protocol import Store
    from plugins.api import ToolSpec


async def agreed_before(store: Store, ctx: RunContext, step: PlanStep, spec: ToolSpec, args: Mapping[str, Any]) -> bool:
    """Say whether the owner's yes to this pipeline covers exactly this call; if so, the audit log has it.

    Only a step that stands in the pipeline itself is covered, or one made of it for an entry of its list: a model's
    step is not, nor one of a nested pipeline, nor what somebody else asked for just now.
    """
    if ctx.run.origin is not Origin.TRIGGER and not ctx.run.provenance.trusted:
        return False
    pipe = step.pipe
    choices = (ctx.run.given.get("consent") or {}).get(pipe.parent or step.id) if pipe is not None else None
    if pipe is None or pipe.scope or choices is None:
        return False
    names = {choice["listed"] for choice in choices.values() if "listed" in choice}
    listed = {name: _rows(ctx, name) for name in names}
    if not grants.within(spec, args, choices, listed):
        return False
    grant = await grants.agreed(store, ctx.run.given, time.time())
    if grant is None:
        return False
    detail = {"run": ctx.run.ref, "step": step.id, "tool": spec.full_name, "args": dict(args)}
    digest = consent.digest(spec.full_name, args)
    await store.audit("covered", ctx.session.id, {**detail, "digest": digest, "seal": grant.seal, "by": grant.by})
    return True


async def agreed_for_task(  # noqa: PLR0917
    store: Store,
    ctx: RunContext,
    step_id: str,
    spec: ToolSpec,
    args: Mapping[str, Any],
    labels: Mapping[str, Provenance],
    control: Provenance,
) -> bool:
    """Say whether an owner has agreed in this run to calls like this one; if so, the audit log names the approval.

    `args` are all of the call's, with the tool's defaults.
    """
    if not this_task.admits(spec):
        return False
    given = await standing_for_task(store, ctx.run.id)
    found = next((one for one in given if this_task.covers(one, spec, args, labels, control)), None)
    if found is None:
        return False
    detail = {"run": ctx.run.ref, "step": step_id, "tool": spec.full_name, "args": dict(args)}
    digest = consent.digest(spec.full_name, args)
    await store.audit("covered", ctx.session.id, {**detail, "digest": digest, "approval": found.id})
    return True


async def standing_for_task(store: Store, run_id: int) -> list[Approval]:
    """Return the yeses of a run that cover further calls and were not taken back."""
    given = [one for one in await store.approvals_of(run_id) if one.decision == this_task.TASK]
    return [one for one in given if await store.get_value(_taken_back(one.id)) is None]


async def take_back_for_task(store: Store, approval_id: str, by: str) -> bool:
    """Let a yes for a task cover no further call; False when it did not stand any more."""
    approval = await store.get_approval(approval_id)
    if approval is None or approval.decision != this_task.TASK or await store.get_value(_taken_back(approval_id)):
        return False
    told = {"approval": approval_id, "tool": approval.tool, "by": by}
    # Requested at once, they share a commit.
    await asyncio.gather(
        store.set_value(_taken_back(approval_id), by), store.audit("taken back", approval.session_id, told)
    )
    return True


def _taken_back(approval_id: str) -> str:
    return f"taken back:{approval_id}"


async def note_effect(store: Store, ctx: RunContext, step_id: str, spec: ToolSpec, what: str) -> None:
    """Note in the audit log that an effect within a task has `ended` or `failed`; nothing for other calls."""
    if spec.effect == "effect":
        detail = {"run": ctx.run.ref, "step": step_id, "tool": spec.full_name}
        await store.audit(f"effect {what}", ctx.session.id, detail)


def _rows(ctx: RunContext, step_id: str) -> list[Any]:
    result = ctx.results.get(step_id)
    return result.output if result is not None and isinstance(result.output, list) else []
