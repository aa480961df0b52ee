"""What the REST API gives, of sessions in `session_shapes.py`; `orders.py` has what it takes.

Times are seconds since 1970, money is in US dollars.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel

from agent.domain.chain import Chain, ChainHistory
from agent.domain.event import Event
from agent.domain.run import Run, StepRecord
from agent.domain.trigger import Trigger

if TYPE_CHECKING:
    from agent.domain.audit import AuditEntry
    from agent.domain.days import Day
    from agent.domain.ledger import Balance
    from agent.domain.plan import PlanStep
    from agent.domain.project import ProjectStatus
    from agent.domain.provenance import Provenance
    from agent.domain.run import Approval, Question
    from agent.domain.trigger import Fire


class AutomationStatus(BaseModel):
    """The automation: whether triggers fire here, since when it is stopped, how many there are, what comes next."""

    running: bool
    halted_since: float | None
    triggers: int
    enabled: int
    next_fire: float | None
    fired: int
    dead_events: int
    error: str


class RunShort(BaseModel):
    """A run in lists; `id` is where the next page begins (`before`)."""

    id: int
    ref: str
    title: str
    status: str
    origin: str
    source: str
    project: str
    error: str
    created_at: float
    started_at: float | None
    completed_at: float | None

    @classmethod
    def of(cls, run: Run) -> Self:
        """Return a run's shape."""
        return cls(**_fields(run))


class StepShape(BaseModel):
    """A step of a run: what it was given and made, what it cost (US dollars), where its output comes from."""

    id: str
    title: str
    type: str
    tool: str | None
    status: str
    depends_on: list[str]
    input: dict[str, Any]
    output: Any
    text: str
    origins: list[str]
    attempt: int
    estimated_cost: float | None
    actual_cost: float | None
    error: str
    started_at: float | None
    completed_at: float | None

    @classmethod
    def of(cls, record: StepRecord) -> Self:
        """Return a step's shape."""
        step = record.step
        return cls(
            id=step.id,
            title=step.title,
            type=step.step_type.value,
            tool=step.tool,
            status=record.status.value,
            depends_on=list(step.depends_on),
            input=given(step),
            output=record.output,
            text=record.text,
            origins=sources(record.provenance),
            attempt=record.attempt,
            estimated_cost=record.estimated_cost,
            actual_cost=record.actual_cost,
            error=record.error,
            started_at=record.started_at,
            completed_at=record.completed_at,
        )


class RunShape(RunShort):
    """A run with its steps (none when they are long over and forgotten), its answer and what it has cost."""

    session: str
    request: str
    answer: str
    money: float
    steps: list[StepShape]

    @classmethod
    def whole(cls, run: Run, records: list[StepRecord], money: float) -> Self:
        """Return a run's shape."""
        steps = [StepShape.of(record) for record in records]
        return cls(
            **_fields(run), session=run.session_id, request=run.request, answer=run.answer, money=money, steps=steps
        )


class ChainShape(BaseModel):
    """A chain, how many of its ended executions succeeded and failed, and the newest ones."""

    id: str
    name: str
    workflows: list[str]
    succeeded: int
    failed: int
    success_rate: float | None
    executions: list[RunShort]

    @classmethod
    def of(cls, chain: Chain, history: ChainHistory) -> Self:
        """Return a chain's shape."""
        return cls(
            id=chain.id,
            name=chain.name,
            workflows=list(chain.workflows),
            succeeded=history.succeeded,
            failed=history.failed,
            success_rate=history.success_rate,
            executions=[RunShort.of(run) for run in history.executions],
        )


class TriggerShape(BaseModel):
    """A trigger; `source` is the pipeline whose file declares it."""

    id: str
    name: str
    kind: str
    spec: dict[str, Any]
    target: dict[str, Any]
    session: str
    enabled: bool
    misfire: str
    overlap: str
    next_fire: float | None
    last_fired: float | None
    source: str

    @classmethod
    def of(cls, trigger: Trigger) -> Self:
        """Return a trigger's shape."""
        return cls(
            id=trigger.id,
            name=trigger.name,
            kind=trigger.kind.value,
            spec=trigger.spec,
            target=trigger.target,
            session=trigger.session_id,
            enabled=trigger.enabled,
            misfire=trigger.misfire.value,
            overlap=trigger.overlap.value,
            next_fire=trigger.next_fire,
            last_fired=trigger.last_fired,
            source=trigger.source,
        )


class EventShape(BaseModel):
    """An event. `status` is new, handled or dead; `error` says why it is dead."""

    id: int
    key: str
    type: str
    source: str
    project: str
    status: str
    error: str
    received_at: float
    payload: dict[str, Any]

    @classmethod
    def of(cls, event: Event) -> Self:
        """Return an event's shape."""
        return cls(**{name: getattr(event, name) for name in cls.model_fields})


class ApprovalShape(BaseModel):
    """A call that waits for a yes, or did. `digest` stands for exactly this call; `origins` is where it comes from."""

    id: str
    run: str
    step: str
    tool: str
    args: dict[str, Any]
    digest: str
    because: str
    origins: list[str]
    choices: list[str]
    decision: str | None
    decided_by: str
    comment: str
    asked_at: float
    expires_at: float | None

    @classmethod
    def of(cls, run: Run, approval: Approval) -> Self:
        """Return an approval's shape."""
        more = {"run": run.ref, "step": approval.step_id, "origins": sources(approval.origins)}
        return cls(**named(cls, approval, more))


class QuestionShape(BaseModel):
    """A question to a person. `answer` is null while it is open."""

    id: str
    run: str
    step: str
    kind: str
    text: str
    options: list[str]
    answer: str | None
    asked_at: float

    @classmethod
    def of(cls, run: Run, question: Question) -> Self:
        """Return a question's shape."""
        return cls(**named(cls, question, {"run": run.ref, "step": question.step_id}))


class LogShape(BaseModel):
    """Lines of a log, oldest first."""

    lines: list[str]


class AccountShape(BaseModel):
    """What an account has spent and set aside, in US dollars; `limit` is null without one."""

    name: str
    money: float
    reserved: float
    limit: float | None

    @classmethod
    def of(cls, name: str, balance: Balance, cap: float) -> Self:
        """Return an account's shape."""
        return cls(name=name, money=balance.money, reserved=balance.reserved_money, limit=cap or None)


class DayShape(BaseModel):
    """What was begun on a day and what it used."""

    begins: float
    runs: dict[str, int]
    steps: dict[str, int]
    calls: int
    tokens: int
    money: float

    @classmethod
    def of(cls, day: Day) -> Self:
        """Return a day's shape."""
        return cls(**named(cls, day, {}))


class AuditShape(BaseModel):
    """An entry of the audit log; `seal` is a SHA-256 over it and the seal before it."""

    id: int
    at: float
    kind: str
    session: str
    detail: dict[str, Any]
    seal: str

    @classmethod
    def of(cls, entry: AuditEntry) -> Self:
        """Return an entry's shape."""
        return cls(**named(cls, entry, {"session": entry.session_id, "detail": entry.facts}))


class AuditCheck(BaseModel):
    """How many entries fit, the last seal, and the first entry that does not fit."""

    count: int
    head: str
    broken: int | None


class FireShape(BaseModel):
    """One time that a trigger fired; `run` is what it began."""

    key: str
    due_at: float
    fired_at: float
    status: str
    subject: str
    run: str

    @classmethod
    def of(cls, fire: Fire, ref: str) -> Self:
        """Return a fire's shape."""
        return cls(**named(cls, fire, {"run": ref, "status": fire.status.value}))


class ProjectShape(BaseModel):
    """A project; `budget` in US dollars is null without one."""

    name: str
    paused: bool
    budget: float | None
    money: float
    runs: dict[str, int]
    events: dict[str, int]

    @classmethod
    def of(cls, status: ProjectStatus) -> Self:
        """Return a project's shape."""
        project = status.project
        return cls(
            name=project.name,
            paused=project.paused,
            budget=project.budget,
            money=status.balance.money,
            runs={str(name): number for name, number in status.runs.items()},
            events={str(name): number for name, number in status.events.items()},
        )


class Said(BaseModel):
    """What came of it, in words."""

    said: str


class Opened(BaseModel):
    """The run that was opened; `known` when an earlier call with the same idempotency key had opened it."""

    ref: str
    status: str
    known: bool = False


def given(step: PlanStep) -> dict[str, Any]:
    """Return what a step works from."""
    words = {"instruction": step.instruction, "question": step.question}
    return {**step.args, **{name: text for name, text in words.items() if text}}


def sources(label: Provenance) -> list[str]:
    """Return where a value came from; what is not trusted is marked."""
    return [one.name if one.trusted else f"{one.name} (not trusted)" for one in sorted(label.sources)]


def named(shape: type[BaseModel], record: Any, more: dict[str, Any]) -> dict[str, Any]:
    """Return a record's fields that a shape has, and more."""
    return {name: getattr(record, name) for name in shape.model_fields if name not in more} | more


def _fields(run: Run) -> dict[str, Any]:
    plain = {name: getattr(run, name) for name in RunShort.model_fields}
    return {**plain, "status": run.status.value, "origin": run.origin.value}
