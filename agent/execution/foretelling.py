"""What the plan of a run will do, said while it is still to come; the plan message shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.domain.plan import StepType
from agent.errors import DirigentError
from agent.policy.forecast import Situation, foretell, in_words, sends
from plugins.api import PluginError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.catalogue import Catalogue
    from agent.config import AppConfig
    from agent.domain.plan import PlanStep
    from agent.execution.context import RunContext
    from plugins.api import ToolSpec

MOST_STEPS = 60  # of a longer plan nobody reads a sentence


@dataclass(frozen=True, slots=True)
class Saying:
    """What steps will do, in words. `whole`: no step will come any more; `sends`: something; `asks`: before a call."""

    text: str = ""
    whole: bool = False
    sends: bool = False
    asks: bool = False

    @property
    def worth_a_line(self) -> bool:
        """True when a person should know it beforehand, without having unfolded anything."""
        return self.whole and (self.sends or self.asks)


NOTHING_SAID = Saying()


class Foretelling:
    """Says what the steps of one run will do; it is worked out once while they stay the same."""

    def __init__(self, ctx: RunContext, catalogue: Catalogue, config: AppConfig) -> None:
        self._ctx = ctx
        self._catalogue = catalogue
        self._config = config
        self._of: list[PlanStep] = []
        self._said = NOTHING_SAID

    def __call__(self, steps: Sequence[PlanStep]) -> Saying:
        """Return what they will do; nothing when it can't be said, such as of a tool that is gone."""
        whole = self._ctx.run.plan_complete
        same = len(steps) == len(self._of) and all(one is other for one, other in zip(steps, self._of, strict=True))
        if not same or whole != self._said.whole:
            self._of, self._said = list(steps), self._saying(steps, whole=whole)
        return self._said

    def _saying(self, steps: Sequence[PlanStep], *, whole: bool) -> Saying:
        if not 0 < len(steps) <= MOST_STEPS:
            return Saying(whole=whole)
        ctx = self._ctx
        situation = Situation(ctx.run, ctx.file_labels, ctx.control, self._config.policy.mode)
        money = sum(ctx.estimates.get(step.id, 0.0) for step in steps)
        try:
            foretold = foretell(steps, self._find, situation)
            text = in_words(foretold, self._find, money, ctx.run.dest.language or "en")
            sending = any(sends(step, self._find) for step in steps)
        except (DirigentError, PluginError):
            return Saying(whole=whole)
        asking = any(one.asks and one.step.step_type is not StepType.ASK for one in foretold.values())
        return Saying(text, whole, sending, asking)

    def _find(self, name: str) -> ToolSpec:
        return self._catalogue.find(name, self._ctx.session.profile)
