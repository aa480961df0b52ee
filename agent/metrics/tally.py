"""What this process has done, counted where it is done: cheap, without a library, whether anybody looks or not.

Each process of an installation counts its own work, so that figures of several may be added up. Labels are values of
enums and names of ours, never what a person wrote.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

CALL_SECONDS = (0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300)
JOB_SECONDS = (0.005, 0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800)
SEND_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30)


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: what it says, its labels, and (for seconds) the upper bounds of its buckets."""

    about: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


FAMILIES = {
    "model_calls": Family("Calls of models.", ("purpose", "outcome")),
    "model_seconds": Family("Seconds that calls of models took.", ("purpose",), CALL_SECONDS),
    "model_tokens": Family("Tokens of calls of models.", ("purpose", "kind")),
    "model_dollars": Family("US dollars that calls of models cost, where prices are known.", ("purpose",)),
    "tool_calls": Family("Calls of tools.", ("where", "outcome")),
    "sandbox_jobs": Family("Jobs in sandboxes that have ended.", ("kind", "status")),
    "sandbox_job_seconds": Family("Seconds that jobs in sandboxes took.", ("kind",), JOB_SECONDS),
    "sandbox_connections": Family("Connections that jobs in sandboxes made or were refused.", ("network", "outcome")),
    "sandbox_connection_bytes": Family("Bytes that jobs in sandboxes sent and received.", ("direction",)),
    "deliveries": Family("Attempts to deliver a message.", ("kind", "outcome")),
    "delivery_seconds": Family("Seconds that delivering a message took.", (), SEND_SECONDS),
    "messages_received": Family("Messages and presses that were heard.", ("channel", "kind")),
}


@dataclass(slots=True)
class Times:
    """Observed seconds: how many in each bucket (the last has no bound), and their sum."""

    buckets: list[int]
    total: float = 0.0


@dataclass(slots=True)
class Tally:
    """What has been counted, by metric and the values of its labels."""

    counts: dict[str, Counter[tuple[str, ...]]] = field(default_factory=dict)
    times: dict[str, dict[tuple[str, ...], Times]] = field(default_factory=dict)

    def count(self, name: str, *labels: str, by: float = 1) -> None:
        """Count one more, or `by`; `labels` are in the order of the metric's."""
        counted = self.counts.setdefault(name, Counter())
        counted[labels] += by  # type: ignore[assignment]  # sums of money are no whole numbers

    def time(self, name: str, seconds: float, *labels: str) -> None:
        """Note how long something took."""
        bounds = FAMILIES[name].buckets
        times = self.times.setdefault(name, {})
        known = times.setdefault(labels, Times([0] * (len(bounds) + 1)))
        known.buckets[bisect_left(bounds, seconds)] += 1
        known.total += seconds


tally = Tally()
"""This process's."""
