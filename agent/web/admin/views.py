"""What the templates show, in words: times, money, states, where something came from."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from agent.domain.states import FINAL, Status
from agent.web.admin.picture import picture_of

if TYPE_CHECKING:
    from agent.domain.provenance import Provenance
    from agent.domain.run import Approval, Question, Run, StepRecord
    from agent.store.protocol import Store

MARKS = {
    Status.PENDING: "▫",
    Status.READY: "▫",
    Status.RUNNING: "▶",
    Status.WAITING_APPROVAL: "!",
    Status.COMPLETED: "✓",
    Status.FAILED: "✗",
    Status.CANCELLED: "–",
}
WORDS = {
    Status.PENDING: "waiting",
    Status.READY: "ready",
    Status.RUNNING: "running",
    Status.WAITING_APPROVAL: "waits for you",
    Status.COMPLETED: "done",
    Status.FAILED: "failed",
    Status.CANCELLED: "cancelled",
}
CHOICES = {"allow": "Allow", "task": "For this task", "deny": "Deny", "revise": "Revise"}
TEXT_SHOWN = 4_000
RUNS_LOOKED_AT = 200


@dataclass(frozen=True, slots=True)
class StepView:
    """A step as a page shows it."""

    record: StepRecord
    label: str
    input: str
    output: str
    taken: float | None
    origins: str


@dataclass(frozen=True, slots=True)
class Waits:
    """Something that waits for a person: `approval` or `question` is set."""

    run: Run
    approval: Approval | None = None
    question: Question | None = None

    @property
    def asked_at(self) -> float:
        """When it was asked, in seconds since 1970."""
        return self.approval.asked_at if self.approval else self.question.asked_at if self.question else 0.0

    @property
    def choices(self) -> list[tuple[str, str]]:
        """What can be decided, and what the buttons say."""
        return [(one, CHOICES.get(one, one)) for one in self.approval.choices] if self.approval else []


def moment(at: float | None) -> str:
    """Return a time (seconds since 1970) for the reader of a log: UTC, to the second."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if at else "–"


def ago(at: float | None, now: float | None = None) -> str:
    """Return how long ago, or in how long, a time is."""
    if not at:
        return "–"
    seconds = (time.time() if now is None else now) - at
    said = _long(abs(seconds))
    return f"in {said}" if seconds < 0 else f"{said} ago"


def taken(seconds: float | None) -> str:
    """Return how long something took."""
    if seconds is None:
        return ""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s" if seconds < 60 else _long(seconds)


def _long(seconds: float) -> str:
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"


def money(amount: float | None) -> str:
    """Return US dollars; small amounts with four digits."""
    return "–" if amount is None else f"${amount:.2f}" if amount >= 1 or not amount else f"${amount:.4f}"


def as_json(value: Any) -> str:
    """Return a value as readable JSON, shortened where it is long."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1, default=str)
    return text if len(text) <= TEXT_SHOWN else f"{text[:TEXT_SHOWN]}\n… {len(text) - TEXT_SHOWN:,} more characters"


def mark(status: Status | str) -> str:
    """Return the sign of a state."""
    return MARKS[Status(status)]


def word(status: Status | str) -> str:
    """Return a state in words."""
    return WORDS[Status(status)]


def origins(label: Provenance) -> str:
    """Say where a value came from; what is not trusted is marked."""
    names = [source.name if source.trusted else f"{source.name} (not trusted)" for source in sorted(label.sources)]
    return ", ".join(names)


def step_view(record: StepRecord) -> StepView:
    """Return a step as a page shows it."""
    step = record.step
    given: dict[str, Any] = dict(step.args)
    given |= {"instruction": step.instruction} if step.instruction else {}
    given |= {"question": step.question} if step.question else {}
    made = record.text or record.output
    done = record.completed_at - record.started_at if record.completed_at and record.started_at else None
    return StepView(
        record,
        step.label,
        as_json(given) if given else "",
        as_json(made) if made else "",
        done,
        origins(record.provenance),
    )


async def run_view(store: Store, run: Run) -> dict[str, Any]:
    """Return what the page of a run shows."""
    records = await store.get_steps(run.id)
    spent = await store.spent(run_id=run.id)
    return {
        "run": run,
        "steps": [step_view(record) for record in records],
        "picture": picture_of(records),
        "spent": spent,
        "done": sum(record.status is Status.COMPLETED for record in records),
        "files": await store.artifacts_of(run.id),
        "over": run.status in FINAL,
        "waits": await waits_of(store, run),
    }


async def waits_of(store: Store, run: Run) -> list[Waits]:
    """Return what a run waits for, the oldest first."""
    if run.status in FINAL:
        return []
    now = time.time()
    found = [
        Waits(run, approval=one)
        for one in await store.approvals_of(run.id)
        if one.decision is None and (one.expires_at is None or one.expires_at > now)
    ]
    found += [Waits(run, question=one) for one in await store.questions_of(run.id) if one.answer is None]
    return sorted(found, key=lambda one: one.asked_at)


async def all_that_waits(store: Store) -> list[Waits]:
    """Return what waits for a person in the 200 oldest unfinished runs, the oldest first."""
    runs = (await store.unfinished_runs())[:RUNS_LOOKED_AT]
    found = [one for run in runs for one in await waits_of(store, run)]
    return sorted(found, key=lambda one: one.asked_at)


async def how_many_wait(store: Store) -> int:
    """Return how many steps wait for a person, for the menu."""
    backlog = await store.backlog()
    return backlog.approvals + backlog.questions
