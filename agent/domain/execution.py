"""What goes into the execution of a step and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from agent.domain.provenance import NOTHING, Provenance

if TYPE_CHECKING:
    from agent.domain.artifacts import Artifact
    from agent.domain.ledger import Usage
    from agent.domain.plan import PlanStep


class ResponseStatus(StrEnum):
    """How a step ended.

    `partial` is a success with something missing; `needs_input` waits for the person; `blocked` was skipped because a
    dependency failed, or was denied; `skipped` was left out because its condition is false: what follows runs on.
    """

    OK = "ok"
    PARTIAL = "partial"
    NEEDS_INPUT = "needs_input"
    ERROR = "error"
    TIMEOUT = "timeout"
    BLOCKED = "blocked"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class ExecutorRequest:
    """One step with its references resolved.

    `args` are the final argument values, `arg_provenance` their labels by argument name, `control` the label of the
    choice of this step (all that the planner had read). `attempt` counts from 1. `idempotency_key` is the same for each
    attempt of the same step.
    """

    run_id: int
    session_id: str
    step: PlanStep
    args: dict[str, Any]
    instruction: str = ""
    context: str = ""
    corr_id: str = ""
    attempt: int = 1
    control: Provenance = NOTHING
    arg_provenance: dict[str, Provenance] = field(default_factory=dict)

    @property
    def idempotency_key(self) -> str:
        """A key that a repeated attempt passes again, so that the other side can recognise it."""
        return f"{self.run_id}:{self.step.id}"


@dataclass(frozen=True, slots=True)
class ExecutorResponse:
    """The result of a step.

    `output` is any JSON value; references point into it. `text` is what a person or a model reads. `files` are the
    artifacts that it made. `error` is a sentence for a person, `hint` the way on. `children` are the steps that this
    one has turned into: it is carried on when they have ended. `stops` ends the whole plan.
    """

    step_id: str
    status: ResponseStatus
    output: Any = None
    text: str = ""
    files: tuple[Artifact, ...] = ()
    error: str = ""
    hint: str = ""
    usage: tuple[Usage, ...] = ()
    provenance: Provenance = NOTHING
    seconds: float = 0.0
    question_id: str = ""
    approval_id: str = ""
    children: tuple[PlanStep, ...] = ()
    stops: bool = False

    @property
    def success(self) -> bool:
        """True for `ok` and `partial`."""
        return self.status in {ResponseStatus.OK, ResponseStatus.PARTIAL}
