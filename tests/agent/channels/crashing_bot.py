"""A bot process for the crash tests: answers every message once, by key. Ended with SIGKILL.

Arguments: home, address of the Bot API server.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from agent.channels.outbox import OutboxSender
from agent.channels.telegram.channel import TelegramChannel
from agent.config import AppConfig
from agent.domain.messages import InboundMessage, MessageKind, OutboundMessage
from agent.store.sql import SqlStore
from agent.testing.telegram_world import TOKEN


class Echo:
    def __init__(self, store: SqlStore) -> None:
        self.store = store

    async def hear(self, message: InboundMessage) -> None:
        text = f"Echo of {message.text}: " + "and so on, " * 12 + "done."
        payload = {"text": text}
        await self.store.post(OutboundMessage(message.dest, MessageKind.ANSWER, f"a/{message.update_id}", payload))

    async def press(self, message: InboundMessage) -> str:
        return "?"


async def main() -> None:
    home = Path(sys.argv[1])
    config = AppConfig(home=home, telegram_token=TOKEN, telegram_base_url=sys.argv[2], owners=(11, 12, 13))
    home.mkdir(exist_ok=True)
    store = SqlStore(home / "journal.db")
    await store.open()
    sender = OutboxSender(store)
    channel = TelegramChannel(config, store, Echo(store), press=sender.press, patience=0.05)
    sender.add(channel)
    async with asyncio.TaskGroup() as group:
        group.create_task(sender.run())
        group.create_task(channel.serve())


if __name__ == "__main__":
    asyncio.run(main())
