"""Runs, their steps, and the files that steps made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from agent.domain.artifacts import Artifact
    from agent.domain.messages import OutboundMessage
    from agent.domain.plan import PlanStep
    from agent.domain.provenance import Provenance
    from agent.domain.run import Run, StepChange, StepRecord
    from agent.domain.states import Status


class Runs(Protocol):
    """Runs and their leases."""

    async def open_run(self, run: Run) -> Run:
        """Insert a run and mark its inbox message as heard, in one transaction; return it with id and ref.

        Idempotent by `inbox_id`: a second call returns the run that is already there.
        """

    async def get_run(self, run_id: int) -> Run:
        """Return a run. Raises NotFound."""

    async def find_run(self, ref: str) -> Run | None:
        """Return the run with this short id."""

    async def unfinished_runs(self, session_id: str | None = None) -> list[Run]:
        """Return runs that are not in a final state, oldest first."""

    async def recent_runs(
        self, session_id: str | None = None, limit: int = 20, *, before: int = 0, status: str = ""
    ) -> list[Run]:
        """Return the newest runs, newest first; `before` the one with this id, if it is given, and in a `status`."""

    async def runs_of(self, source: str, limit: int = 20) -> list[Run]:
        """Return the newest runs with this `Run.source`, newest first."""

    async def outcomes(self, source: str) -> dict[str, int]:
        """Return how many runs with this `Run.source` stand in each status."""

    async def lease_run(self, run_id: int, owner: str, seconds: float) -> Run | None:
        """Take the run for `owner` and return it with its new epoch; None when another owner's lease is still good.

        None, too, while another owner works on a run of the same project. Counts `starts` up and sets `started_at` the
        first time. The same owner may lease again.
        """

    async def renew_lease(self, run_id: int, epoch: int, seconds: float) -> bool:
        """Extend the lease; False when it was lost."""

    async def release_run(self, run_id: int, epoch: int) -> None:
        """Give the lease back (the run waits for a person, or the process ends in good order)."""

    async def take_away(self, run_id: int) -> None:
        """End whatever lease there is on a run that is not over: what its worker still writes is refused."""

    async def change_run(self, run_id: int, epoch: int, *, status: Status | None = None, **fields: Any) -> None:
        """Change a run's state and fields (title, plan_complete, replans, error, …)."""

    async def finish_run(
        self,
        run_id: int,
        epoch: int,
        *,
        status: Status,
        answer: str = "",
        error: str = "",
        messages: Sequence[OutboundMessage] = (),
    ) -> None:
        """End a run, cancel its steps that are not final, and post its last messages, in one transaction."""


class Steps(Protocol):
    """The steps of runs: each change is one of the seven states' strict transitions."""

    async def add_steps(self, run_id: int, epoch: int, steps: Sequence[PlanStep], control: Provenance) -> None:
        """Append steps as PENDING. A step whose id is already there with the same content is left alone."""

    async def get_steps(self, run_id: int) -> list[StepRecord]:
        """Return the run's steps in the order in which they were planned."""

    async def change_step(self, change: StepChange) -> None:
        """Make one transition; returns when it is committed."""

    def change_step_soon(self, change: StepChange) -> None:
        """Make one transition with the next commit, before anything requested later.

        Errors surface with the next awaited change of the same run. For starts of steps that may be repeated after a
        crash.
        """


class Artifacts(Protocol):
    """Files and their labels."""

    async def add_artifacts(self, session_id: str, run_id: int | None, step_id: str, files: Sequence[Artifact]) -> None:
        """Record files with their provenance. The newest record of a path is its label."""

    async def artifacts_of(self, run_id: int) -> list[Artifact]:
        """Return the files that the run's steps made, in order."""

    async def labels(self, session_id: str) -> dict[str, Provenance]:
        """Return path → provenance of every labelled file of the session's workspace."""
