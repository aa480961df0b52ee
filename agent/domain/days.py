"""What happened from day to day, as the journal knows it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Day:
    """A span of time, its beginning in seconds since 1970.

    `runs` and `steps` are those made then, by the status that they have now; `calls`, `tokens` and `money` (US
    dollars) are the ledger's.
    """

    begins: float
    runs: dict[str, int] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    calls: int = 0
    tokens: int = 0
    money: float = 0.0
