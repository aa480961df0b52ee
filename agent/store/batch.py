"""Many operations in one transaction: the hopeful way, and the exact way when one of them fails."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from agent.errors import JournalFailed
from agent.store import audit, transitions
from agent.store.dialect import BUSY_SECONDS, READS, WRITES, fate_of, number_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection, Transaction

    from agent.store.transitions import Owner, Transition

PAUSES = (0.0, 0.05, 0.1, 0.2, *(1.0 for _ in range(BUSY_SECONDS)))
"""Seconds between looks at what became of a transaction."""


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """Something to be done in the journal: a function of the connection, or one step's transition.

    `work` may be called twice (again after a rollback), so it must depend on nothing but its connection. `owner` is set
    when a refused transition that nobody waited for is to surface here. `rings` says that the outbox may have changed.
    """

    work: Callable[[Connection], Any] | None = None
    transition: Transition | None = None
    future: asyncio.Future[Any] | None = None
    owner: Owner | None = None
    writes: bool = True
    rings: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """The outcome of an operation that failed; nothing of it was kept."""

    error: Exception


def rang(operation: Operation, outcome: Any) -> bool:
    """Say whether the outbox may have changed by an operation, which had this outcome."""
    return operation.rings and outcome is not False and not isinstance(outcome, Refused)


class FateUnknown(JournalFailed):
    """The connection was lost while a transaction was committed, and the server does not say what became of it."""


class Batches:
    """Carries out batches of operations on one connection, each batch in one transaction with one commit.

    `commits` counts the transactions that wrote; `tell` is called in those after which the outbox may have changed.
    """

    def __init__(self, connection: Connection, tell: Callable[[Connection], None] | None = None) -> None:
        self._connection = connection
        self._tell = tell
        self._late: dict[Owner, Exception] = {}
        self._begins = READS
        self.commits = 0

    def carry_out(self, operations: Sequence[Operation]) -> list[Any]:
        """Return one outcome per operation, in order: what it returned, or Refused.

        When this raises, nothing of the batch was kept.
        """
        writes = any(operation.writes for operation in operations)
        self._begins = WRITES if writes else READS
        try:
            outcomes = None if self._is_late(operations) else self._hopefully(operations)
            if outcomes is None:
                outcomes = self._once(self._exactly, operations)
        except Exception as error:
            for operation in operations:
                self._not_told(operation, error)
            raise
        self.commits += writes
        return outcomes

    def _once(
        self, carry_out: Callable[[Sequence[Operation]], list[Any]], operations: Sequence[Operation]
    ) -> list[Any]:
        """Carry out one transaction; when this raises, nothing of it was kept, but for FateUnknown."""
        connection = self._connection
        connection.info["begin"] = self._begins
        transaction = connection.begin()
        try:
            audit.noted(connection).clear()
            outcomes = carry_out(operations)
            audit.write(connection)
            if self._tell is not None and any(map(rang, operations, outcomes)):
                self._tell(connection)
            number = number_of(connection)
        except BaseException:
            transaction.rollback()
            raise
        self._commit(transaction, number)
        return outcomes

    def _commit(self, transaction: Transaction, number: int | None) -> None:
        """Commit. When the connection is lost meanwhile, ask the server what it has kept."""
        try:
            transaction.commit()
        except Exception as error:
            self._connection.rollback()
            lost = isinstance(error, DBAPIError) and error.connection_invalidated
            if not lost or number is None or not self._was_kept(number):
                raise

    def _was_kept(self, number: int) -> bool:
        for pause in PAUSES:
            time.sleep(pause)
            try:
                self._connection.info["begin"] = READS
                with self._connection.begin():
                    fate = fate_of(self._connection, number)
            except DBAPIError:  # it is not back yet
                continue
            if fate is not None:
                return fate
        raise FateUnknown("The journal's server went away while it wrote: nobody knows whether it kept what it got.")

    def _is_late(self, operations: Sequence[Operation]) -> bool:
        return bool(self._late) and any(operation.owner in self._late for operation in operations)

    def _hopefully(self, operations: Sequence[Operation]) -> list[Any] | None:
        """Do everything as if nothing could fail; None (and nothing kept) when something did."""
        try:
            return self._once(self._all, operations)
        except FateUnknown:  # done again, it might be done twice
            raise
        except Exception:
            return None

    def _all(self, operations: Sequence[Operation]) -> list[Any]:
        outcomes: list[Any] = []
        for is_work, group in groupby(operations, key=_is_work):
            if is_work:
                outcomes += [operation.work(self._connection) for operation in group if operation.work]
            else:
                steps = [operation.transition for operation in group if operation.transition]
                transitions.apply(self._connection, steps)
                outcomes += [None] * len(steps)
        return outcomes

    def _exactly(self, operations: Sequence[Operation]) -> list[Any]:
        """Do everything that may be done, and say of the rest why not."""
        outcomes: list[Any] = []
        for is_work, group in groupby(operations, key=_is_work):
            if is_work:
                outcomes += [self._one(operation) for operation in group]
            else:
                outcomes += self._steps(list(group))
        return outcomes

    def _one(self, operation: Operation) -> Any:
        assert operation.work
        late = self._surface(operation)
        if late is not None:
            return Refused(late)
        savepoint = self._connection.begin_nested()
        noted = audit.noted(self._connection)
        before = list(noted)
        try:
            outcome = operation.work(self._connection)
        except Exception as error:
            savepoint.rollback()
            noted[:] = before
            return Refused(error)
        savepoint.commit()
        return outcome

    def _steps(self, operations: Sequence[Operation]) -> list[Any]:
        changes = [operation.transition for operation in operations if operation.transition]
        standing = transitions.Standing(self._connection, changes)
        accepted: list[Transition] = []
        outcomes: list[Any] = []
        for operation, change in zip(operations, changes, strict=True):
            late = self._surface(operation)
            error = late if late is not None else standing.refusal(change)
            if error is None:
                accepted.append(change)
            else:
                self._not_told(operation, error)
            outcomes.append(None if error is None else Refused(error))
        transitions.apply(self._connection, accepted)
        return outcomes

    def _not_told(self, operation: Operation, error: Exception) -> None:
        """Have the owner's next operation fail, where nobody waited for the one that did."""
        if operation.future is None and operation.owner is not None:
            self._late.setdefault(operation.owner, error)

    def _surface(self, operation: Operation) -> Exception | None:
        if operation.future is None or operation.owner is None:
            return None
        return self._late.pop(operation.owner, None)


def _is_work(operation: Operation) -> bool:
    return operation.work is not None
