"""Events: what happened elsewhere, stored before anything is done about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agent.domain.provenance import Provenance

OF_EVENT = "event:"
"""What the key of a fire begins with when an event caused it; the event's own key follows."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `key` is the sender's id: a second event with the same one is not stored.

    `at` is when it happened and `received_at` when it was stored, in seconds since 1970. `status`: `new`, `handled`, or
    `dead` when it could not be handled (`error` says why). `hops` counts the events that led to it: each started a
    pipeline that published the next one. `run_id` is the first run that it led to.
    """

    type: str
    source: str
    key: str
    payload: dict[str, Any] = field(default_factory=dict)
    at: float = 0.0
    project: str = ""
    priority: int = 5
    provenance: Provenance | None = None
    id: int = 0
    status: str = "new"
    run_id: int | None = None
    error: str = ""
    received_at: float = 0.0
    hops: int = 0

    @property
    def label(self) -> Provenance:
        """Where its payload came from; unless its publisher vouches for it, it is not trusted."""
        return self.provenance or Provenance.of(f"event:{self.source}", trusted=False)
