"""Earlier states of workspaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from agent.domain.messages import OutboundMessage
    from agent.domain.versions import Restoration, Snapshot


class Versions(Protocol):
    """Snapshots of workspaces by run, and what was put back from them."""

    async def add_snapshot(self, snapshot: Snapshot) -> None:
        """Note the state before a run; one that is there for the run already is left as it is."""

    async def close_snapshot(self, run_id: int, after: str) -> None:
        """Note the state after a run."""

    async def snapshot_of(self, run_id: int) -> Snapshot | None:
        """Return the snapshot of a run."""

    async def get_snapshot(self, snapshot_id: int) -> Snapshot | None:
        """Return a snapshot."""

    async def snapshots(self, session_id: str, limit: int = 100) -> list[Snapshot]:
        """Return a session's snapshots, newest first."""

    async def snapshot_sessions(self, before: float) -> list[str]:
        """Return the sessions that have snapshots from before a time, in seconds since 1970."""

    async def forget_snapshots(self, ids: Sequence[int]) -> None:
        """Forget snapshots and what was put back from them."""

    async def label_rows(self, session_id: str) -> dict[str, int]:
        """Return path → number of the label of every labelled file; `KeptFile.row`."""

    async def writers(self, session_id: str, since: float) -> dict[str, int | None]:
        """Return path → the run that has written it last, None for a person; of labels since a time."""

    async def begin_restoration(self, restoration: Restoration) -> Restoration:
        """Note what is about to be put back; return it with its id."""

    async def finish_restoration(
        self, restoration: Restoration, done: Sequence[str], messages: Sequence[OutboundMessage] = ()
    ) -> None:
        """Note that it is over: the labels of the paths that were `done` follow, and the messages are posted.

        One transaction. Finished again, nothing changes.
        """

    async def open_restorations(self) -> list[Restoration]:
        """Return those that were begun and not finished."""

    async def get_restoration(self, restoration_id: int) -> Restoration | None:
        """Return one."""

    async def restorations(self, session_id: str, limit: int = 100) -> list[Restoration]:
        """Return a session's, newest first."""
