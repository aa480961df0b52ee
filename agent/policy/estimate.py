"""What steps should cost, judged before they run: what tools say of themselves, and the usual length of model calls.

A list counts once (how long it is, is not known before), and a tool's arguments may still be references.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.domain.plan import StepType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.domain.plan import PlanStep
    from plugins.api import ToolSpec

CHARS_A_TOKEN = 4
TOKENS_IN, TOKENS_OUT = 1_500, 500
ROUNDS = 4


def model_calls(step: PlanStep) -> int:
    """Return how often a step should ask the model."""
    return {StepType.LLM: 1, StepType.TASK: ROUNDS}.get(step.step_type, 0)


def model_tokens(step: PlanStep) -> tuple[int, int]:
    """Return the prompt and completion tokens that a step should take."""
    calls = model_calls(step)
    return (TOKENS_IN + len(step.instruction) // CHARS_A_TOKEN) * calls, TOKENS_OUT * calls


def step_cost(
    step: PlanStep,
    find: Callable[[str], ToolSpec],
    price: Callable[[int, int], float | None],
    settings: Mapping[str, Mapping[str, str]],
) -> float | None:
    """Return what a step should cost, in US dollars; None when that can't be known before.

    `settings` are those of the plugins, by their names.
    """
    if model_calls(step):
        return price(*model_tokens(step))
    if step.step_type is not StepType.TOOL:
        return 0.0
    try:
        spec = find(step.tool or "")
        return spec.price(settings.get(spec.plugin, {}), step.args)
    except Exception:  # a tool that is gone, or one that needs the values which references stand for
        return None
