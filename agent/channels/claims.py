"""Which process hears a message, where several share a journal.

Whoever stores a message has it, and says so again while it waits in a lane or is heard. A message that comes while
another process has an earlier one of its session is nobody's until that was heard: what is said in a session is heard
in order. Of a process that says nothing any more, or was of this host and is dead, the others take up what it has left.
One that can't say that it has a message stops hearing it: somebody else may.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import TYPE_CHECKING

from loguru import logger

from agent.domain.messages import Claim
from agent.engine.owner import is_gone, own_name
from agent.errors import DirigentError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from agent.domain.messages import InboundMessage
    from agent.store.protocol import Store

CLAIM_SECONDS = 20.0
LOOK_SECONDS = 2.0


class Claims:
    """The messages of a channel that are this process's to hear; `seconds` long, unless it says so again."""

    def __init__(self, store: Store, channel: str, seconds: float = CLAIM_SECONDS) -> None:
        self._store = store
        self._channel = channel
        # Not only the process: whoever comes after us in it has nothing of ours.
        self._claim = Claim(f"{own_name()}/{secrets.token_hex(4)}", seconds)
        self._ends: dict[int, float] = {}  # on the loop's clock, which nobody sets
        self._heard: dict[int, asyncio.Timeout] = {}

    async def receive(
        self, messages: Sequence[InboundMessage], key: str, value: str
    ) -> tuple[list[InboundMessage], list[InboundMessage]]:
        """Store messages and a value in one transaction; return those that were new, and those that are ours now."""
        asked = _now()
        fresh, taken = await self._store.receive_and_claim(messages, key, value, self._claim)
        self._note(taken, asked)
        return fresh, taken

    async def take(self) -> list[InboundMessage]:
        """Return what nobody has (any more) and whose turn it is, oldest first; it is ours from now on."""
        others = await self._store.claimants(self._channel)
        gone = {owner for owner in set(others.values()) if owner and is_gone(owner)}
        if all(owner and owner not in gone for number, owner in others.items() if number not in self._ends):
            return []  # nothing has to be written to know that
        asked = _now()
        taken = await self._store.take_unheard(self._channel, self._claim, gone)
        self._note(taken, asked)
        return taken

    def _note(self, messages: list[InboundMessage], asked: float) -> None:
        self._ends |= dict.fromkeys((message.id for message in messages), asked + self._claim.seconds)

    async def renew(self) -> None:
        """Say once more that what we have is ours; what is not any more is forgotten, and its hearing ends."""
        ids = list(self._ends)
        if not ids:
            return
        asked = _now()
        kept = await self._store.renew_claims(ids, self._claim)
        for number in ids:
            if number in self._ends:  # else it has been heard meanwhile
                self._change(number, asked + self._claim.seconds if number in kept else 0.0)

    def _change(self, number: int, end: float) -> None:
        self._ends[number] = end
        if number in self._heard:
            with contextlib.suppress(RuntimeError):  # it has run out, or is over
                self._heard[number].reschedule(end)

    @contextlib.asynccontextmanager
    async def hearing(self, message: InboundMessage) -> AsyncIterator[bool]:
        """Yield whether a message is ours to hear; should it no longer be so, what is in the block is cancelled."""
        end = self._ends.get(message.id, 0.0)
        try:
            if end <= _now():
                logger.warning("Message {} is left to whoever has it now", message.id)
                yield False
                return
            async with asyncio.timeout_at(end) as limit:
                self._heard[message.id] = limit
                yield True
        except TimeoutError:
            logger.warning("Message {} could not be kept while it was heard; it is heard again", message.id)
        finally:
            self._ends.pop(message.id, None)
            self._heard.pop(message.id, None)

    async def release(self) -> None:
        """Leave to others at once what was not heard."""
        with contextlib.suppress(DirigentError, TimeoutError):  # they wait a little longer then
            async with asyncio.timeout(self._claim.seconds):
                await self._store.release_claims(self._channel, self._claim)
        self._ends.clear()


def _now() -> float:
    return asyncio.get_running_loop().time()
