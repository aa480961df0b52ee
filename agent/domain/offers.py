"""Buttons that rooms below the chat offer, and doors above it take."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from agent.domain.plan import PlanStep, StepType
from agent.domain.run import Origin

if TYPE_CHECKING:
    from agent.domain.run import Run

SAVE = "s"
WORKING = frozenset({StepType.TOOL, StepType.TASK, StepType.LLM})


def save_offer(run: Run, done: Iterable[PlanStep]) -> list[list[dict[str, str]]]:
    """Return the button under an answer that saves its run as a pipeline, from the steps that succeeded.

    There is none for a run that did nothing, was a pipeline, or that nobody asked for just now.
    """
    if run.given or run.origin is Origin.TRIGGER or not any(step.step_type in WORKING for step in done):
        return []
    return [[{"label": "💾 Save as pipeline", "action": f"{SAVE}/{run.ref}/save"}]]
