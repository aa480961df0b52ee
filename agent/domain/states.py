"""The seven states of runs and steps, and the only transitions between them."""

from __future__ import annotations

from enum import StrEnum

from agent.errors import IllegalTransition


class Status(StrEnum):
    """Where a run or a step stands. The values are what the journal stores."""

    PENDING = "PENDING"
    READY = "READY"
    RUNNING = "RUNNING"
    WAITING_APPROVAL = "WAITING_APPROVAL"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


FINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})

# READY → PENDING and RUNNING → READY are recovery and retry: a worker died, or the next attempt is due.
# READY → COMPLETED/FAILED do not exist: what was never started can only be cancelled.
TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.READY, Status.CANCELLED}),
    Status.READY: frozenset({Status.RUNNING, Status.WAITING_APPROVAL, Status.PENDING, Status.CANCELLED}),
    Status.RUNNING: frozenset(
        {Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.WAITING_APPROVAL, Status.READY},
    ),
    Status.WAITING_APPROVAL: frozenset(
        {Status.READY, Status.RUNNING, Status.COMPLETED, Status.FAILED, Status.CANCELLED},
    ),
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
}


def check_transition(what: str, now: Status, then: Status) -> None:
    """Raise IllegalTransition unless `now` leads to `then`; `what` names the run or step for the message."""
    if then not in TRANSITIONS[now]:
        raise IllegalTransition(f"{what} is {now} and cannot become {then}.")


def sources_of(then: Status) -> frozenset[Status]:
    """Return the states that lead to `then`; the store puts them in its guarded updates."""
    return frozenset(now for now, nexts in TRANSITIONS.items() if then in nexts)
