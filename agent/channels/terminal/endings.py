"""What a conversation comes to: something that waits for an answer, or an end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.domain.states import FINAL, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.channels.terminal.choices import Choice
    from agent.domain.messages import MessageKind
    from agent.domain.run import Run


@dataclass(frozen=True, slots=True)
class Asked:
    """An open question or approval that the person has seen."""

    id: str
    kind: MessageKind
    message_id: str
    choices: tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a request came to rest: `completed`, `failed`, `cancelled` or `waiting` (for an answer)."""

    status: str

    @property
    def code(self) -> int:
        """The exit code of the command line."""
        return {"completed": 0, "waiting": 3}.get(self.status, 1)


def status_of(runs: Sequence[Run], *, failed: bool) -> str:
    """Return how these runs ended together; `failed` says that an error was shown."""
    states = {run.status for run in runs}
    if states - FINAL:
        return "waiting"
    if Status.FAILED in states or (failed and Status.COMPLETED not in states):
        return "failed"
    return "cancelled" if Status.CANCELLED in states else "completed"
