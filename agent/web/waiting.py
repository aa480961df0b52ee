"""What waits for a person, found in the journal."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.domain.states import FINAL

if TYPE_CHECKING:
    from agent.domain.run import Approval, Question, Run
    from agent.store.protocol import Store

CHOICES = {"allow": "Allow", "task": "For this task", "deny": "Deny", "revise": "Revise"}
RUNS_LOOKED_AT = 200


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
