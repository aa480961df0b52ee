"""Runs, questions and approvals as the journal holds them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agent.domain.messages import Destination
from agent.domain.plan import PlanStep
from agent.domain.provenance import NOTHING, USER, Provenance
from agent.domain.states import Status


class Origin(StrEnum):
    """What started a run."""

    MESSAGE = "message"
    COMMAND = "command"
    TRIGGER = "trigger"
    API = "api"


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a plan for one session.

    `ref` is the short random id that buttons carry. `epoch` grows with every lease; a write with an older one fails.
    `plan_complete` turns True when the last step of the (newest) plan is journalled. Times are seconds since 1970, UTC.
    `given` is the plan that the run was opened with, when it is a pipeline's: `pipeline` (its name), `steps`, `inputs`,
    `env` (names), and `kept` when it goes on from another run's results. `given["continues"]` is the id of the run that
    this one goes on from, `given["again"]` of the one that it repeats. `source` says what it is one execution of:
    `pipeline:NAME` or `chain:ID`, "" for a request. `project` is what its spending is counted for and which runs do
    not overlap with it; `budget` is what it may spend itself, in US dollars (None: `limits.money`).
    """

    session_id: str
    request: str
    dest: Destination
    id: int = 0
    ref: str = ""
    origin: Origin = Origin.MESSAGE
    inbox_id: int | None = None
    user_id: str = ""
    status: Status = Status.PENDING
    priority: int = 5
    title: str = ""
    plan_complete: bool = False
    replans: int = 0
    starts: int = 0
    epoch: int = 0
    lease_owner: str = ""
    lease_until: float = 0.0
    answer: str = ""
    error: str = ""
    corr_id: str = ""
    provenance: Provenance = USER
    created_at: float = 0.0
    started_at: float | None = None
    completed_at: float | None = None
    given: dict[str, Any] = field(default_factory=dict)
    source: str = ""
    project: str = ""
    budget: float | None = None

    @property
    def is_pipeline(self) -> bool:
        """True when a person wrote the plan: nobody plans it anew, and it answers with its outputs."""
        return "steps" in self.given

    @property
    def quiet(self) -> bool:
        """True when the chat sees only what goes wrong: a run of a quiet pipeline that nobody asked for just now."""
        return bool(self.given.get("quiet")) and self.origin is Origin.TRIGGER


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A row of `tasks`: a step, where it stands, and what came of it."""

    run_id: int
    step: PlanStep
    status: Status = Status.PENDING
    position: int = 0
    attempt: int = 0
    output: Any = None
    text: str = ""
    files: tuple[dict[str, Any], ...] = ()
    response_status: str = ""
    error: str = ""
    control: Provenance = NOTHING
    provenance: Provenance = NOTHING
    estimated_cost: float | None = None
    actual_cost: float | None = None
    created_at: float = 0.0
    started_at: float | None = None
    completed_at: float | None = None


@dataclass(frozen=True, slots=True)
class StepNote:
    """What the audit log is to say of a step's transition; `detail` is JSON, `digests` are SHA-256 (hex)."""

    kind: str
    session_id: str
    detail: dict[str, Any]
    digests: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StepChange:
    """One transition of one step, with what is to be stored with it. None leaves a field as it is.

    `note` goes to the audit log in the same transaction.
    """

    run_id: int
    step_id: str
    to: Status
    epoch: int
    output: Any = None
    text: str | None = None
    files: tuple[dict[str, Any], ...] | None = None
    response_status: str | None = None
    error: str | None = None
    provenance: Provenance | None = None
    actual_cost: float | None = None
    attempt: int | None = None
    estimated_cost: float | None = None
    note: StepNote | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A question to a person. `answer` is None while it is open. `id` is short and random: buttons carry it.

    `kind`: `ask` (a step's), `recovery` (was this sent?), `argument` (something is missing), `budget` (may the run
    spend more? It is no step's: `step_id` is ""), `edit` (what should an argument be instead?).
    """

    id: str
    run_id: int
    step_id: str
    session_id: str
    text: str
    options: tuple[str, ...] = ()
    kind: str = "ask"
    user_id: str = ""
    answer: str | None = None
    answered_by: str = ""
    asked_at: float = 0.0
    answered_at: float | None = None


@dataclass(frozen=True, slots=True)
class Approval:
    """A request for consent to exactly one call with exactly these arguments.

    `decision` is None while it is open, then one of `choices`: `allow`, `task` (calls like it, until the run ends),
    `deny`, or (at a checkpoint) `revise`, whose `comment` says what is to be different. `digest` is the SHA-256 of the
    tool and its arguments; `origins` is where the person was shown that they came from, `labels` the same for each
    argument by name and, under "", for the choice of the call. `edit` is the decision about a call of which the person
    has changed an argument: another approval, with another id, asks about the changed one.
    """

    id: str
    run_id: int
    step_id: str
    session_id: str
    tool: str
    args: dict[str, Any] = field(default_factory=dict)
    digest: str = ""
    because: str = ""
    decision: str | None = None
    decided_by: str = ""
    asked_at: float = 0.0
    decided_at: float | None = None
    expires_at: float | None = None
    choices: tuple[str, ...] = ("allow", "deny")
    comment: str = ""
    origins: Provenance = NOTHING
    labels: dict[str, Provenance] = field(default_factory=dict)
