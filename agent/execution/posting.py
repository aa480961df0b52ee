"""Where a run's messages go: to the outbox at once, or, at its end, into the transaction that ends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.domain.messages import MessageKind, OutboundMessage

if TYPE_CHECKING:
    from agent.domain.messages import Bot, Destination
    from agent.store.protocol import Store


class Outbox:
    """The plainest Bot: what it is given goes to the journal, from where a channel's sender takes it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def post(self, message: OutboundMessage) -> None:
        """Journal the message."""
        await self._store.post(message)

    def busy(self, dest: Destination, *, on: bool) -> None:
        """Show nothing: nobody is looking."""


class LastMessages:
    """A Bot that passes drafts on and keeps what must be posted in the transaction that ends the run."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot
        self.kept: list[OutboundMessage] = []

    async def post(self, message: OutboundMessage) -> None:
        """Keep final answers and files; pass everything else on."""
        if message.kind is MessageKind.FILES or message.payload.get("final"):
            self.kept.append(message)
        else:
            await self._bot.post(message)

    def busy(self, dest: Destination, *, on: bool) -> None:
        """Pass the sign of life on."""
        self._bot.busy(dest, on=on)
