"""Which process hears a message, where several share a journal.

Whoever stores a message has it, and says so again while it waits in a lane or is heard. Of a process that says nothing
any more the others take up what it has left. One that can't say it stops hearing: somebody else may have the message.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import TYPE_CHECKING

from loguru import logger

from agent.domain.messages import Claim
from agent.engine.owner import own_name
from agent.errors import DirigentError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from agent.domain.messages import InboundMessage
    from agent.store.protocol import Store

CLAIM_SECONDS = 10.0
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

    async def receive(self, messages: Sequence[InboundMessage], key: str, value: str) -> list[InboundMessage]:
        """Store messages and a value in one transaction; return those that were new, which are ours."""
        asked = _now()
        fresh = await self._store.receive_and_set(messages, key, value, self._claim)
        return self._noted(fresh, asked)

    async def take(self) -> list[InboundMessage]:
        """Return what nobody has (any more), oldest first; it is ours from now on."""
        waiting = await self._store.unheard(self._channel)
        if all(message.id in self._ends for message in waiting):  # nothing has to be written to know that
            return []
        asked = _now()
        return self._noted(await self._store.take_unheard(self._channel, self._claim), asked)

    def _noted(self, messages: list[InboundMessage], asked: float) -> list[InboundMessage]:
        self._ends |= dict.fromkeys((message.id for message in messages), asked + self._claim.seconds)
        return messages

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
