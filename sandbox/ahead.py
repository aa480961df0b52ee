"""Control groups for the next job of a box, made and joined while nobody waits for it."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING

from sandbox import cgroups, frames

if TYPE_CHECKING:
    from sandbox.cgroups import JobGroup


class Ahead:
    """One job's groups at most; whoever has them ends with `close`, when no process of the box is left."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._group: JobGroup | None = None

    def prepare(self) -> None:
        """Make the groups, unless there are some, and have the process that waits for the next job join them.

        The kernel may take 15 ms for that. Where no process waits the job joins by itself, as it does others.
        """
        if self._group is not None or (group := cgroups.fresh()) is None:
            return
        self._group = group
        entrances: dict[str, int] = {}
        with contextlib.suppress(OSError):
            entrances = group.entrances()
            record = {"op": "join", "group": group.number, "fds": list(entrances)}
            socket.send_fds(self._control, [frames.encode(record)], list(entrances.values()))
        for entrance in entrances.values():
            os.close(entrance)

    def take(self, memory_mb: int, processes: int) -> JobGroup | None:
        """Return the groups of a job with its ceilings, new ones if need be; None where that is not possible."""
        group, self._group = self._group, None
        if group is not None and group.bound(memory_mb, processes):
            return group
        return cgroups.make(memory_mb, processes)

    def close(self) -> None:
        """Take away what no job has taken."""
        if self._group is not None:
            self._group.remove()
            self._group = None
