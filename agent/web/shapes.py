"""What the REST API takes and gives. Times are seconds since 1970, money is in US dollars."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from agent.domain.chain import Chain, ChainHistory
from agent.domain.event import Event
from agent.domain.run import Run, StepRecord
from agent.domain.trigger import Trigger


class Problem(BaseModel):
    """What went wrong, and the way on."""

    error: str
    hint: str = ""


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


class PipelineShape(BaseModel):
    """A pipeline. `plugin` ships it ("" for the home's); `about` is what it does and takes, or its first mistake."""

    name: str
    plugin: str
    about: str


class RunShort(BaseModel):
    """A run in lists."""

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
    """A step of a run."""

    id: str
    title: str
    type: str
    tool: str | None
    status: str
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


class Order(BaseModel):
    """What a pipeline is run with."""

    model_config = ConfigDict(extra="forbid")
    inputs: dict[str, Any] = Field(default_factory=dict)


class Opened(BaseModel):
    """The run that was opened; `known` when an earlier call with the same idempotency key had opened it."""

    ref: str
    status: str
    known: bool = False


def _fields(run: Run) -> dict[str, Any]:
    plain = {name: getattr(run, name) for name in RunShort.model_fields}
    return {**plain, "status": run.status.value, "origin": run.origin.value}
