"""What the details of a plan show of each step: tool, arguments, how long it took, what it cost."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.domain.plan import StepType

if TYPE_CHECKING:
    from agent.domain.execution import ExecutorResponse
    from agent.domain.plan import PlanStep
    from agent.domain.run import StepRecord

VALUE_CHARS = 120
STEP_CHARS = 400


@dataclass(slots=True)
class Timing:
    """When a step began and ended, in seconds since 1970, and what it cost, in US dollars; None while unknown."""

    began: float | None = None
    ended: float | None = None
    cost: float | None = None

    @classmethod
    def of(cls, record: StepRecord) -> Timing:
        """Return what the journal says."""
        return cls(record.started_at, record.completed_at, record.actual_cost)

    def note(self, response: ExecutorResponse | None) -> None:
        """Note a start (None) or an end."""
        if response is None:
            self.began, self.ended = time.time(), None
            return
        self.ended = time.time()
        self.cost = sum(usage.money or 0.0 for usage in response.usage) or self.cost


def details_of(steps: Sequence[PlanStep], timing: Mapping[str, Timing]) -> list[str]:
    """Return one text for each step: `read_file(path="a.csv") · 1.2 s · $0.01`, each bounded."""
    return [_detail(step, timing.get(step.id) or Timing()) for step in steps]


def _detail(step: PlanStep, timing: Timing) -> str:
    facts = [_call(step)[:STEP_CHARS]]
    if timing.began is not None and timing.ended is not None:
        facts.append(f"{max(timing.ended - timing.began, 0.0):.1f} s")
    if timing.cost:
        facts.append(f"${timing.cost:.4f}".rstrip("0"))
    return " · ".join(facts)


def _call(step: PlanStep) -> str:
    if step.step_type is StepType.TOOL:
        values = ", ".join(f"{name}={_shortened(value)}" for name, value in step.args.items())
        return f"{step.tool}({values})"
    words = step.question or step.instruction or step.title
    return f"{step.step_type.value}: {' '.join(words.split())}"


def _shortened(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= VALUE_CHARS else f"{text[:VALUE_CHARS]}…"
