"""Whether a run has anything to do: one that only waits for a person is left in the journal, also by a restart."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from agent.domain.states import FINAL, Status
from agent.execution.people import CHANGE

if TYPE_CHECKING:
    from agent.domain.run import Run
    from agent.store.protocol import Store


async def only_waits(store: Store, run: Run) -> bool:
    """Say whether every step of a run that was left in good order still waits for a word that nobody has said.

    True only when it is certain: whatever was answered, decided or wished for, or has expired, is worked on.
    """
    if run.status is not Status.WAITING_APPROVAL or run.lease_owner:
        return False
    steps = await store.get_steps(run.id)
    waiting = {one.step.id for one in steps if one.status is Status.WAITING_APPROVAL}
    if not waiting or any(one.status not in FINAL | {Status.PENDING, Status.WAITING_APPROVAL} for one in steps):
        return False
    asked = await store.questions_of(run.id)
    if any(one.answer is not None and (one.kind == CHANGE or one.step_id in waiting) for one in asked):
        return False
    now = time.time()
    still_open = {one.step_id for one in asked if one.answer is None}
    for approval in await store.approvals_of(run.id):
        if approval.decision is None and (approval.expires_at is None or approval.expires_at > now):
            still_open.add(approval.step_id)
        elif approval.step_id in waiting:
            return False
    return waiting <= still_open
