"""Projects: work that goes on over many runs, with one budget, one line of runs, and events that keep their order."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.domain.ledger import Balance
from agent.domain.messages import Destination


@dataclass(frozen=True, slots=True)
class Project:
    """A project by its name. Its runs belong to `session_id` and speak to `dest`; one of them is at work at a time.

    `budget` in US dollars (None: no limit); a warning is due when the share `warn_at` of it is spent.
    While it is `paused`, its events are kept, and handled in order when it goes on. Times are seconds since 1970.
    """

    name: str
    session_id: str
    dest: Destination
    budget: float | None = None
    warn_at: float = 0.9
    paused: bool = False
    warned: bool = False
    created_at: float = 0.0


@dataclass(frozen=True, slots=True)
class ProjectStatus:
    """A project and where it stands. `runs` counts its runs by status, `events` its events by status."""

    project: Project
    balance: Balance
    runs: dict[str, int] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)
