"""What the plan of a run will do, said while it is still to come; the details of the plan message show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.errors import DirigentError
from agent.policy.forecast import Situation, foretell, in_words
from plugins.api import PluginError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.catalogue import Catalogue
    from agent.config import AppConfig
    from agent.domain.plan import PlanStep
    from agent.execution.context import RunContext
    from plugins.api import ToolSpec

MOST_STEPS = 60  # of a longer plan nobody reads a sentence


def foretold(ctx: RunContext, steps: Sequence[PlanStep], catalogue: Catalogue, config: AppConfig) -> str:
    """Return what the steps will do, in words; "" when it can't be said, such as of a tool that is gone."""
    if not 0 < len(steps) <= MOST_STEPS:
        return ""
    situation = Situation(ctx.run, ctx.file_labels, ctx.control, config.policy.mode)
    money = sum(ctx.estimates.get(step.id, 0.0) for step in steps)

    def find(name: str) -> ToolSpec:
        return catalogue.find(name, ctx.session.profile)

    try:
        return in_words(foretell(steps, find, situation), find, money, ctx.run.dest.language or "en")
    except (DirigentError, PluginError):
        return ""
