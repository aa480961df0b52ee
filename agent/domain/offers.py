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


def answer_offers(run: Run, done: Iterable[PlanStep], *, with_model: bool) -> list[list[dict[str, str]]]:
    """Return the buttons under an answer: do it anew, say more, save it. None where nothing was done."""
    finished = [step for step in done if step.step_type in WORKING]
    if run.origin not in {Origin.MESSAGE, Origin.COMMAND} or not finished:
        return save_offer(run, finished)
    again = [{"label": "🔁 Redo", "action": f"r/{run.ref}/redo"}]
    if with_model and not run.is_pipeline:
        again.insert(0, {"label": "➕ More detail", "action": f"r/{run.ref}/more"})
    return [again, *save_offer(run, finished)]


def retry_offer(run: Run, *, models: bool) -> list[list[dict[str, str]]]:
    """Return the buttons under what went wrong: go on from what is done, and perhaps with another model."""
    wanted = [("🔄 Retry", "retry"), *([("Use another model", "models")] if models else [])]
    return [[{"label": label, "action": f"r/{run.ref}/{verb}"} for label, verb in wanted]]


def aside_offer(run: Run) -> list[list[dict[str, str]]]:
    """Return the buttons under a run that is not taken up again by itself: take it up, or throw away what it made."""
    wanted = [("🔄 Retry", "retry"), ("🗑 Discard", "discard")]
    return [[{"label": label, "action": f"r/{run.ref}/{verb}"} for label, verb in wanted]]


def stop_offer(run: Run, *, made: bool) -> list[list[dict[str, str]]]:
    """Return the buttons under a stopped run: go on with it, and throw away what it has made."""
    wanted = [("▶ Resume", "resume"), *([("🗑 Discard", "discard")] if made else [])]
    return [[{"label": label, "action": f"r/{run.ref}/{verb}"} for label, verb in wanted]]


def save_offer(run: Run, done: Iterable[PlanStep]) -> list[list[dict[str, str]]]:
    """Return the button under an answer that saves its run as a pipeline, from the steps that succeeded.

    There is none for a run that did nothing, was a pipeline, or that nobody asked for just now.
    """
    if run.is_pipeline or run.origin is Origin.TRIGGER or not any(step.step_type in WORKING for step in done):
        return []
    return [[{"label": "💾 Save as pipeline", "action": f"{SAVE}/{run.ref}/save"}]]
