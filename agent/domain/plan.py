"""Plans: a DAG of steps. Where a plan came from is forgotten once it is one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from agent.domain.inputs import InputSpec
from agent.domain.states import Status

STEP_ID = re.compile(r"^[A-Za-z][A-Za-z0-9_-]{0,127}\Z")
LABEL_VALUE = 30
LABEL_CHARS = 60
OUTPUTS = "outputs"
EACH = "each"  # stands for an entry of a list in the names of `Pipe.body`
MIN_OPTIONS = 2
MAX_OPTIONS = 4


class StepType(StrEnum):
    """What a step is.

    `tool` calls one tool with arguments; `task` is a bounded tool-calling loop of the model; `ask` is a question to the
    person; `llm` writes or extracts text from its inputs without tools. `value` (in pipelines only) is its argument
    `value` with its templates filled in; `publish` (in pipelines only) publishes an event, its arguments
    `type`, `payload` and `project` (by default the run's).
    """

    TOOL = "tool"
    TASK = "task"
    ASK = "ask"
    LLM = "llm"
    VALUE = "value"
    PUBLISH = "publish"


class OnFailure(StrEnum):
    """What the run does when the step fails: go on without it, end, or plan anew from the progress."""

    CONTINUE = "continue"
    STOP = "stop"
    REPLAN = "replan"


class Checkpoint(BaseModel):
    """What a person sees and may have done anew before a step begins, beside the text `Pipe.approval`.

    `show` are steps whose results are shown, `files` patterns of files. `timeout` is in seconds, after which nobody has
    approved. `revise` are the steps that a comment is for, `anew` all that is then carried out anew, in order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    show: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    timeout: float | None = None
    revise: tuple[str, ...] = ()
    anew: tuple[str, ...] = ()


class Revision(BaseModel):
    """Why a step is carried out anew: it is revision `number` (from 2) of the step `of`, and replaces `previous`.

    `comment` says what was to be different, in round `turn` (from 1) of the checkpoint before the step `asked_before`.
    `meant` is False for a step that is only carried out again because what it needs was.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    comment: str
    of: str
    previous: str
    asked_before: str
    turn: int
    meant: bool = True


class Pipe(BaseModel):
    """What a step of a pipeline has beyond a model's: its texts are templates, filled in when its turn has come.

    `scope` is put before the step ids that its templates name, `given` is the step that holds their inputs ("" for the
    run's). `after` must have ended, however. `when` is a condition, `foreach` a list (or a template of one) of which
    `parallel` entries are worked on at once, `approval` a text that a person must agree to first. A step that was made
    for one entry has its `parent`, `item` and `index`. `inputs` checks the value of a nested pipeline's inputs, `typed`
    that of outputs. `checkpoint` says more about `approval`, `revision` why a step was made to be carried out anew.
    `body` holds the steps (as JSON) of a nested pipeline that is carried out for each entry.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scope: str = ""
    given: str = ""
    after: tuple[str, ...] = ()
    when: Any = None
    foreach: Any = None
    parallel: Annotated[int, Field(ge=1, le=32)] = 4
    approval: str = ""
    parent: str = ""
    item: Any = None
    index: int | None = None
    inputs: dict[str, InputSpec] | None = None
    typed: dict[str, InputSpec] | None = None
    checkpoint: Checkpoint | None = None
    revision: Revision | None = None
    body: tuple[dict[str, Any], ...] = ()


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
    pipe: Pipe | None = None

    @field_validator("id")
    @classmethod
    def _id_is_a_name(cls, value: str) -> str:
        if not STEP_ID.match(value):
            message = f"step id {value!r} must start with a letter and hold letters, digits, '-' and '_' (at most 128)"
            raise ValueError(message)
        return value

    @model_validator(mode="after")
    def _fits_its_type(self) -> PlanStep:
        if self.step_type is StepType.TOOL and not self.tool:
            raise ValueError(f"step {self.id!r} is of type tool and names no tool")
        if self.step_type is StepType.VALUE and (self.pipe is None or "value" not in self.args):
            raise ValueError(f"step {self.id!r} is of type value, which only pipelines have")
        if self.step_type is StepType.PUBLISH and (self.pipe is None or "type" not in self.args):
            raise ValueError(f"step {self.id!r} is of type publish, which only pipelines have")
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
        return self.title or self.question or self.instruction[:80] or self._call() or self.id

    def _call(self) -> str:
        """Return the call in a few words: the tool, and the values that fit on a line."""
        values = [str(value) for value in self.args.values() if isinstance(value, (str, int, float))]
        said = ", ".join(" ".join(value.split())[:LABEL_VALUE] for value in values if value != "")[:LABEL_CHARS]
        return f"{self.tool}: {said}" if said else self.tool or ""


@dataclass(frozen=True, slots=True)
class Plan:
    """A title and its steps, in the order in which they were planned."""

    title: str = ""
    steps: tuple[PlanStep, ...] = field(default=())
