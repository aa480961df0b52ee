"""Entries of the audit log. Each is sealed by a hash over itself and the seal of the entry before it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

GENESIS = ""  # what comes before the first entry


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry. `detail` is JSON exactly as it was sealed; `at` is seconds since 1970; `seal` is a SHA-256 (hex)."""

    id: int
    kind: str
    session_id: str
    detail: str
    at: float
    seal: str

    @property
    def facts(self) -> dict[str, Any]:
        """What the entry says. Text that is no JSON object (somebody has changed it) comes as `{"text": …}`."""
        try:
            value = json.loads(self.detail)
        except ValueError:
            value = None
        return value if isinstance(value, dict) else {"text": self.detail}

    def fits(self, previous: str) -> bool:
        """Say whether the entry is as it was written, right after the one with the seal `previous`."""
        return self.seal == seal(previous, self.kind, self.session_id, self.detail, self.at)


def seal(previous: str, kind: str, session_id: str, detail: str, at: float) -> str:
    """Return the SHA-256 (hex) of an entry together with the seal of the one before it."""
    return hashlib.sha256(json.dumps([previous, kind, session_id, detail, at]).encode()).hexdigest()


@dataclass(slots=True)
class Chain:
    """How far a log has been checked: `head` is the last seal, `broken` the first entry that does not fit."""

    head: str = GENESIS
    count: int = 0
    last_id: int = 0
    broken: AuditEntry | None = None
    met: str = ""  # a seal that is looked for
    found: bool = False

    def take(self, entries: Iterable[AuditEntry]) -> bool:
        """Check further entries, in their order; False from the first that does not fit."""
        for entry in entries:
            if not entry.fits(self.head):
                self.broken = entry
                return False
            self.head, self.last_id = entry.seal, entry.id
            self.count += 1
            self.found = self.found or entry.seal == self.met
        return True
