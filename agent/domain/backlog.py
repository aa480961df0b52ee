"""What waits in the journal, counted."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits. `runs` are the unfinished ones by status, `events` those `new` and `dead`.

    `outbox` are messages that are yet to be sent and whose time has come, `inbox` those that nothing has been done
    about; the `*_age` are the seconds since the oldest of them came (0 without any).
    """

    runs: dict[str, int] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)
    outbox: int = 0
    outbox_age: float = 0.0
    inbox: int = 0
    inbox_age: float = 0.0
    approvals: int = 0
    questions: int = 0
