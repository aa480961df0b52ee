"""What is counted and noted: money, the audit log, small values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from agent.domain.audit import AuditEntry
    from agent.domain.backlog import Backlog
    from agent.domain.days import Day
    from agent.domain.ledger import Balance, Cap, Reservation, Usage


class Money(Protocol):
    """The ledger and the accounts; sums are in US dollars."""

    async def spend(self, session_id: str, run_id: int | None, step_id: str, usage: Sequence[Usage]) -> None:
        """Append to the ledger."""

    async def spent(
        self, *, run_id: int | None = None, session_id: str | None = None, since: float = 0.0
    ) -> dict[str, float]:
        """Return {"money", "prompt_tokens", "completion_tokens", "calls", "unpriced_calls"}."""

    async def reserve(
        self, caps: Sequence[Cap], *, money: float, tokens: int, run_id: int | None = None
    ) -> Reservation:
        """Set an amount aside on every account, or on none when a cap would be passed (`Reservation.refused`).

        Atomic, also between processes: spent and reserved together never pass a cap.
        """

    async def settle(
        self, reservation_id: int, session_id: str, run_id: int | None, step_id: str, usage: Sequence[Usage]
    ) -> tuple[Balance, ...]:
        """Put what was really used in the place of a reservation, and append it to the ledger, in one transaction.

        Returns the accounts afterwards. A reservation that is settled already changes nothing and returns none.
        """

    async def settle_lost(self, run_id: int) -> int:
        """Settle what a worker that died had reserved for a run, as if all of it was used; return how many.

        `lease_run` does the same in its own transaction.
        """

    async def balance(self, account: str) -> Balance:
        """Return where an account stands; zeros for one that is unknown."""


class Audit(Protocol):
    """The audit log, a chain of hashes."""

    async def audit(self, kind: str, session_id: str, detail: dict[str, Any]) -> None:
        """Append to the audit log, without the secrets that the log hides.

        The journal itself notes there, in the transaction of what it tells: messages, runs, planned steps, approvals
        asked for and decided, answers, events, fires, and what a StepChange brings as its `note`.
        """

    def audit_soon(self, kind: str, session_id: str, detail: dict[str, Any]) -> None:
        """Append to the audit log with the next commit, which takes no longer than a moment; nobody waits for it.

        What is written afterwards is never committed before it. Raises DirigentError when the journal is not open.
        """

    async def audit_entries(
        self,
        *,
        session_id: str | None = None,
        kind: str | None = None,
        since: float = 0.0,
        limit: int = 100,
        before: int = 0,
    ) -> list[AuditEntry]:
        """Return the newest entries of the audit log (of a session, of a kind, since a time), oldest first.

        `before` is an id: only what is older.
        """

    async def audit_after(self, entry_id: int, limit: int = 1_000) -> list[AuditEntry]:
        """Return the entries of the audit log after one, oldest first: what `domain.audit.Chain` checks."""


class Values(Protocol):
    """Small durable values, and the journal as a whole."""

    async def prune(self, older_than: float) -> int:
        """Forget a batch of what has been over for so many seconds, never what is unfinished; return its rows.

        Steps of ended runs, messages heard and sent, events handled, fires (but not those of files); runs, ledger and
        audit log stay. What was set aside a day ago and never settled counts as used.
        """

    async def get_value(self, key: str) -> str | None:
        """Return a small durable value, such as Telegram's offset."""

    async def set_value(self, key: str, value: str) -> None:
        """Set a small durable value."""

    async def first_value(self, key: str, value: str) -> str:
        """Set a small durable value unless there is one already; return what there is."""

    async def backlog(self) -> Backlog:
        """Return how much waits in the journal, counted."""

    async def daily(self, days: Sequence[float]) -> list[Day]:
        """Return what began and was used in each of the times that these bound (n + 1 for n days), in their order."""
