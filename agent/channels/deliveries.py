"""Which request a message belongs to, and how its delivery went: for the log, the traces and the metrics."""

from __future__ import annotations

import contextlib
import time
from collections import OrderedDict
from contextvars import ContextVar
from typing import TYPE_CHECKING

from agent import tracing
from agent.domain.messages import REPLY
from agent.errors import DirigentError, correlation_id
from agent.metrics.tally import tally

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.domain.messages import OutboundMessage
    from agent.store.protocol import Store

REMEMBERED = 1_000
_outcome: ContextVar[list[str] | None] = ContextVar("outcome", default=None)


class Requests:
    """Finds the correlation ids of messages; those of the last thousand runs are remembered."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: OrderedDict[int, str] = OrderedDict()

    async def of(self, message: OutboundMessage) -> str:
        """Return the id of the request that a message answers; one that answers none has an id of its own."""
        if message.run_id is not None:
            return await self._of_run(message.run_id) or _of_key(message)
        return _of_key(message)

    async def _of_run(self, run_id: int) -> str:
        if run_id not in self._known:
            try:
                self._known[run_id] = (await self._store.get_run(run_id)).corr_id
            except DirigentError:  # forgotten since, or the journal is in trouble: it is sent all the same
                return ""
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return self._known[run_id]


def _of_key(message: OutboundMessage) -> str:
    """Return the id of the message that a reply's key names (`reply:CHANNEL:UPDATE`), else one of the key."""
    if message.key.startswith(REPLY):
        channel, _, update = message.key.removeprefix(REPLY).partition(":")
        return correlation_id(channel, message.dest.session_id, update)
    return correlation_id("outbox", message.key)


@contextlib.contextmanager
def delivering(message: OutboundMessage, corr_id: str) -> Iterator[None]:
    """Time and trace one attempt, and count it by what `delivered` was told of it."""
    told = {
        "messaging.operation.name": "send",
        "messaging.destination.name": message.dest.channel,
        "dirigent.message.kind": message.kind.value,
        "dirigent.message.version": message.version,
        "dirigent.message.attempt": message.attempts,
    }
    began, outcome = time.perf_counter(), ["failed"]
    token = _outcome.set(outcome)
    try:
        with tracing.begin(f"deliver {message.kind.value}", told, kind="producer", of=corr_id) as span:
            yield
            if outcome[0] != "sent":
                span.fail(outcome[0])
    finally:
        _outcome.reset(token)
        tally.count("deliveries", message.kind.value, outcome[0])
        tally.time("delivery_seconds", time.perf_counter() - began)


def delivered(outcome: str) -> None:
    """Note how the present attempt went: `sent`, `delayed`, `unknown` or `refused`."""
    present = _outcome.get()
    if present is not None:
        present[0] = outcome
