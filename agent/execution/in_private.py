"""Where an answer goes: a reply into a group is read by all its members, so what is private goes to one person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.domain.messages import Destination, MessageKind, OutboundMessage
from agent.domain.plan import StepType
from agent.texts import mark

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.domain.run import Run
    from agent.execution.context import RunContext

SENT_IN_PRIVATE = mark(
    "The answer holds private data, so I have sent it in a private chat. Nothing there? Start a chat with me first."
)
KEPT_BACK = mark("The answer holds private data, so I don't show it here.")


def place_of_answer(ctx: RunContext, owners: Sequence[int], is_private: Callable[[str], bool]) -> Destination:
    """Return where the run's answer goes: where it was asked for, or the private chat of the owner it belongs to.

    Only what a private tool has read counts (`is_private` says of a tool's name whether it is one): files and words
    that came in the group are known there. What a member asked for goes to an owner. Without anybody to send it to, the
    chat's id is "".
    """
    run = ctx.run
    if run.dest.chat_type == "private" or not _reads_private(ctx, is_private):
        return run.dest
    owner = run.user_id if run.provenance.trusted else str(next(iter(owners), ""))
    return Destination(run.dest.channel, owner if owner.isdecimal() else "", language=run.dest.language)


def _reads_private(ctx: RunContext, is_private: Callable[[str], bool]) -> bool:
    labels = [result.provenance for result in ctx.results.values() if result.provenance.private]
    steps = {source.name.partition("#")[2] for label in labels for source in label.sources}
    found = [ctx.records[name].step for name in steps if name in ctx.records]
    return any(step.step_type is StepType.TASK or is_private(step.tool or "") for step in found)


def told_in_group(run: Run, messages: Sequence[OutboundMessage], place: Destination) -> list[OutboundMessage]:
    """Return a run's last messages with a line for the group about where they went; without a place they go nowhere."""
    if place == run.dest:
        return list(messages)
    text = SENT_IN_PRIVATE if place.chat_id else KEPT_BACK
    key, session = f"run:{run.id}:private", run.session_id
    told = OutboundMessage(run.dest, MessageKind.NOTICE, key, {"text": text}, session_id=session, run_id=run.id)
    return [*(messages if place.chat_id else ()), told]
