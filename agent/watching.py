"""Sandboxes whose every job and connection is counted and traced."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from agent import tracing
from agent.metrics.tally import tally
from sandbox.boxes import Boxes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from agent.tracing import Span
    from sandbox.api import Connection, Job, JobResult, Progress, Written
    from sandbox.talking import Conversation

NETWORKS = frozenset({"public", "private", "loopback", "link-local", "this machine", "special"})


class WatchedBoxes(Boxes):
    """The app's pool of boxes."""

    async def run(
        self,
        session_id: str,
        workspace: Path,
        job: Job,
        on_progress: Callable[[Progress], None] | None = None,
        on_output: Callable[[Written], None] | None = None,
    ) -> JobResult:
        """Run a job in the session's box; see `Boxes.run`."""
        with _watched(job) as (span, ended):
            result = await super().run(session_id, workspace, job, on_progress, on_output)
            ended.append(result.status.value if result.failure is None else "failed")
            used = result.usage
            span.set({"dirigent.sandbox.rung": result.rung, "dirigent.sandbox.status": result.status.value})
            span.set({"dirigent.sandbox.cpu_seconds": used.cpu_s, "dirigent.sandbox.peak_bytes": used.peak_rss})
            if not result.ok:
                span.fail(ended[0])
            return result

    @contextlib.asynccontextmanager
    async def talk(
        self, session_id: str, workspace: Path, job: Job, on_output: Callable[[Written], None] | None = None
    ) -> AsyncIterator[Conversation]:
        """Start a job in the session's box and speak with it; see `Boxes.talk`."""
        with _watched(job) as (_, ended):
            async with super().talk(session_id, workspace, job, on_output) as talk:
                yield talk
            ended.append("talk")


@contextlib.contextmanager
def _watched(job: Job) -> Iterator[tuple[Span, list[str]]]:
    """Time a job, and count it by the status that is put into the list, or as one that could not be run to its end."""
    began = time.perf_counter()
    ended: list[str] = []
    try:
        with tracing.begin("sandbox job", {"dirigent.sandbox.kind": job.kind}) as span:
            yield span, ended
    finally:
        tally.count("sandbox_jobs", job.kind, ended[0] if ended else "broken off")
        tally.time("sandbox_job_seconds", time.perf_counter() - began, job.kind)


def counted(note: Callable[[Connection], None]) -> Callable[[Connection], None]:
    """Return what counts each connection of a job and then passes it on."""

    def seen(connection: Connection) -> None:
        network = connection.network if connection.network in NETWORKS else "unknown"
        outcome = "allowed" if connection.allowed else "refused"
        tally.count("sandbox_connections", network, outcome, by=connection.count)
        tally.count("sandbox_connection_bytes", "sent", by=connection.sent)
        tally.count("sandbox_connection_bytes", "received", by=connection.received)
        note(connection)

    return seen
