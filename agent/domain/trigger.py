"""Triggers as the journal holds them: what starts a run by itself, when, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agent.domain.messages import Destination
from agent.domain.states import Status


class TriggerKind(StrEnum):
    """What a trigger waits for."""

    SCHEDULE = "schedule"
    FILE = "file"
    EVENT = "event"
    WEBHOOK = "webhook"
    MANUAL = "manual"


class Misfire(StrEnum):
    """What becomes of times that passed while nobody was there to fire: none, the newest, or all up to a cap."""

    SKIP = "skip"
    ONCE = "once"
    ALL = "all"


class Overlap(StrEnum):
    """What becomes of a fire while a run of the same trigger is unfinished."""

    SKIP = "skip"
    QUEUE = "queue"
    ALLOW = "allow"


@dataclass(frozen=True, slots=True)
class Trigger:
    """Something that fires.

    `spec` by kind: schedule `{"every": seconds}`, `{"cron": "0 9 * * 5", "zone": "Europe/Vienna"}` (with `"weeks": 2`
    or `"days": 2`, and `"from": "2026-11-27"`, for one week or day of two) or `{"at": seconds since 1970}`; file
    `{"folder", "pattern", "afterwards": keep|move|ignore, "move_to", "settle": seconds}`; event and webhook
    `{"type": "order.*", "conditions": {"total": {"ge": 100}}}`; manual `{}`. `target` is what happens:
    `{"request": text}` is run as if it was asked in the chat, `{"pipeline": name, "inputs": {…}}`, or
    `{"notice": text}` for a reminder, which needs no run. `misfire_cap` bounds `Misfire.ALL`. Times are
    seconds since 1970; `next_fire` is None when no further time is known. `priority` (higher first), `project` and
    `budget` (US dollars) are those of the runs that it opens; an event's own project wins. `approval` is a text that a
    person must agree to before such a run begins. `source` names the pipeline whose file declares the trigger.
    """

    id: str
    name: str
    kind: TriggerKind
    target: dict[str, Any]
    session_id: str
    dest: Destination
    spec: dict[str, Any] = field(default_factory=dict)
    enabled: bool = True
    misfire: Misfire = Misfire.ONCE
    misfire_cap: int = 10
    overlap: Overlap = Overlap.ALLOW
    next_fire: float | None = None
    last_fired: float | None = None
    created_by: str = ""
    trusted: bool = True
    created_at: float = 0.0
    priority: int = 5
    project: str = ""
    budget: float | None = None
    approval: str = ""
    source: str = ""


class FireStatus(StrEnum):
    """What a fire led to."""

    STARTED = "started"  # a run, which has its own status
    TOLD = "told"  # a notice, nothing else was to be done
    PENDING = "pending"  # a reminder fired by hand that is yet to be posted
    WAITING = "waiting"  # for an earlier run of the trigger (Overlap.QUEUE)
    SKIPPED = "skipped"  # an earlier run of the trigger was unfinished (Overlap.SKIP)
    MISSED = "missed"  # nobody was there, and the trigger's policy passes it over
    FAILED = "failed"  # it could not be started


@dataclass(frozen=True, slots=True)
class Fire:
    """One time that a trigger fired. `(trigger_id, key)` is unique: the same cause never fires twice.

    `key` is the scheduled time, a file's identity, an event's id, or a random one for a fire by hand. `subject` names
    the file or event, or says why nothing was started. `run_status` is that of its run, when there is one.
    """

    trigger_id: str
    key: str
    due_at: float
    status: FireStatus = FireStatus.STARTED
    subject: str = ""
    id: int = 0
    run_id: int | None = None
    run_status: Status | None = None
    fired_at: float = 0.0
