"""Files that a step left behind when it was cut off: nobody has noted where they come from, so it is worked out.

A step that a crash or a stop has interrupted may have written what it had read. Its files have no label in the journal;
before the next run reads them, they get that of everything which the step could have read.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agent.domain.artifacts import Artifact
from agent.domain.provenance import Provenance
from agent.domain.states import Status
from sandbox.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.domain.run import StepRecord
    from agent.execution.context import RunContext
    from agent.store.protocol import Store


async def adopt_files(store: Store, ctx: RunContext) -> None:
    """Label the workspace's files that have no label, when a step of this run or of the last one was cut off."""
    records = list(ctx.records.values()) or await _of_last_run(store, ctx)
    if not any(_was_cut_off(record) for record in records):
        return
    names = await asyncio.to_thread(_names, ctx)
    unknown = [name for name in names if name not in ctx.file_labels]
    if not unknown:
        return
    read = [part for record in records for part in (record.control, record.provenance)]
    label = Provenance.union([*read, *ctx.file_labels.values()])
    files = [Artifact(name, 0, "", deliver=False, provenance=label) for name in unknown]
    await store.add_artifacts(ctx.session.id, None, "", files)
    ctx.file_labels |= dict.fromkeys(unknown, label)


async def _of_last_run(store: Store, ctx: RunContext) -> list[StepRecord]:
    before = [run for run in await store.recent_runs(ctx.session.id, 2) if run.id != ctx.run.id]
    return await store.get_steps(before[0].id) if before else []


def _was_cut_off(record: StepRecord) -> bool:
    """Say whether a step had begun and never came to its end."""
    ended = bool(record.response_status)
    return record.status is Status.RUNNING or (
        record.status is Status.CANCELLED and record.started_at is not None and not ended
    )


def _names(ctx: RunContext) -> Iterable[str]:
    with Workspace(ctx.session.workspace) as workspace:
        return workspace.list_files()
