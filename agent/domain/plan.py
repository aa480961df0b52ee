"""Plans: a DAG of steps. Where a plan came from is forgotten once it is one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from agent.domain.states import Status

STEP_ID = re.compile(r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")
MIN_OPTIONS = 2
MAX_OPTIONS = 4


class StepType(StrEnum):
    """What a step is.

    `tool` calls one tool with arguments; `task` is a bounded tool-calling loop of the model; `ask` is a question to the
    person; `llm` writes or extracts text from its inputs without tools.
    """

    TOOL = "tool"
    TASK = "task"
    ASK = "ask"
    LLM = "llm"


class OnFailure(StrEnum):
    """What the run does when the step fails: go on without it, end, or plan anew from the progress."""

    CONTINUE = "continue"
    STOP = "stop"
    REPLAN = "replan"


class PlanStep(BaseModel):
    """One step of a plan: the unit of work and of durability.

    `depends_on` holds the ids that must be COMPLETED first; references in `args` and `instruction`
    (`{{ s1.output.rows[0] }}`) add to it through `agent.planning.references`. `allowed_tools` bounds a `task` step.
    `outputs` are workspace paths or globs that the step promises to make; a promise not kept is a failure.
    `timeout` is in seconds. `status` is PENDING in a fresh plan and what the journal says in one that is being resumed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_enum_values=False)

    id: str
    title: str = ""
    step_type: StepType = StepType.TOOL
    instruction: str = ""
    tool: str | None = None
    args: dict[str, Any] = Field(default_factory=dict)
    depends_on: tuple[str, ...] = ()
    parallelizable: bool = True
    parallel_reason: str = ""
    allowed_tools: tuple[str, ...] = ()
    question: str = ""
    options: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    on_failure: OnFailure = OnFailure.REPLAN
    timeout: Annotated[float, Field(gt=0, le=86_400)] | None = None
    retries: Annotated[int, Field(ge=0, le=10)] = 0
    status: Status = Status.PENDING

    @field_validator("id")
    @classmethod
    def _id_is_a_name(cls, value: str) -> str:
        if not STEP_ID.match(value):
            message = f"step id {value!r} must start with a letter and hold letters, digits, '-' and '_' (at most 64)"
            raise ValueError(message)
        return value

    @model_validator(mode="after")
    def _fits_its_type(self) -> PlanStep:
        if self.step_type is StepType.TOOL and not self.tool:
            raise ValueError(f"step {self.id!r} is of type tool and names no tool")
        if self.step_type is StepType.ASK:
            if not self.question:
                raise ValueError(f"step {self.id!r} asks and has no question")
            if self.options and not MIN_OPTIONS <= len(self.options) <= MAX_OPTIONS:
                raise ValueError(f"step {self.id!r} offers {len(self.options)} options; 2 to 4 are allowed, or none")
        if self.step_type in {StepType.TASK, StepType.LLM} and not self.instruction:
            raise ValueError(f"step {self.id!r} is of type {self.step_type} and has no instruction")
        return self

    @property
    def label(self) -> str:
        """What the person reads in the live plan."""
        return self.title or self.question or self.instruction[:80] or self.tool or self.id


@dataclass(frozen=True, slots=True)
class Plan:
    """A title and its steps, in the order in which they were planned."""

    title: str = ""
    steps: tuple[PlanStep, ...] = field(default=())
