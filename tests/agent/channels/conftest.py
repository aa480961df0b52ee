"""What the channel tests share: a fake Bot API server, a real store, a hearer that records, and the whole channel."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.channels.outbox import OutboxSender
from agent.config import AppConfig
from agent.domain.messages import Destination, InboundMessage, MessageKind, OutboundMessage
from agent.store.sql import SqlStore
from agent.testing.telegram_server import FakeTelegram

OWNER = 11
DEST = Destination("telegram", str(OWNER))


class Recorder:
    """A hearer that notes what it hears; `on_hear` and `on_press` may be replaced."""

    def __init__(self) -> None:
        self.heard: list[InboundMessage] = []
        self.presses: list[InboundMessage] = []
        self.changed = asyncio.Condition()
        self.gates: dict[str, asyncio.Event] = {}
        self.raises: dict[str, Exception] = {}

    async def hear(self, message: InboundMessage) -> None:
        if message.text in self.gates:
            await self.gates[message.text].wait()
        if message.text in self.raises:
            raise self.raises[message.text]
        await self._note(self.heard, message)

    async def press(self, message: InboundMessage) -> str:
        await self._note(self.presses, message)
        return f"did {message.action}"

    async def _note(self, where: list[InboundMessage], message: InboundMessage) -> None:
        async with self.changed:
            where.append(message)
            self.changed.notify_all()

    async def until(self, predicate, timeout: float = 60.0) -> None:
        async with asyncio.timeout(timeout), self.changed:
            await self.changed.wait_for(predicate)

    @property
    def texts(self) -> list[str]:
        return [message.text for message in self.heard]


@asynccontextmanager
async def running(coroutine):
    """Run something beside the test and end it cleanly; its own failure is the test's failure."""
    task = asyncio.create_task(coroutine)
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def notice(text: str, key: str = "n", dest: Destination = DEST, kind=MessageKind.NOTICE, **payload) -> OutboundMessage:
    return OutboundMessage(dest=dest, kind=kind, key=key, payload={"text": text, **payload})


class WatchedStore(SqlStore):
    """A store whose changes can be waited for."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.changed = asyncio.Condition()

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def mark_sending(self, message_ids) -> None:
        await super().mark_sending(message_ids)
        await self._tell()

    async def mark_sent(self, outbox_id, version, message_id) -> None:
        await super().mark_sent(outbox_id, version, message_id)
        await self._tell()

    async def mark_failed(self, outbox_id, error, *, retry_at) -> None:
        await super().mark_failed(outbox_id, error, retry_at=retry_at)
        await self._tell()

    async def heard(self, inbox_id) -> None:
        await super().heard(inbox_id)
        await self._tell()

    async def until(self, holds, timeout: float = 60.0):
        """Return the first true value of the coroutine function `holds`, asked again after every change."""
        async with asyncio.timeout(timeout), self.changed:
            while not (found := await holds()):
                await self.changed.wait()
            return found

    async def until_state(self, key: str, *states: str) -> OutboundMessage:
        async def there():
            message = await self.get_message(key)
            return message if message is not None and message.state in states else None

        return await self.until(there)


@dataclass
class Rig:
    """A channel with everything around it."""

    server: FakeTelegram
    store: WatchedStore
    hearer: Recorder
    config: AppConfig
    folder: Path
    parts: list = field(default_factory=list)

    @asynccontextmanager
    async def up(self, *, receive: bool = True, send: bool = True):
        """Run the channel and the sender until the block ends."""
        from agent.channels.telegram.channel import TelegramChannel

        sender = OutboxSender(self.store)
        channel = TelegramChannel(self.config, self.store, self.hearer, press=sender.press, patience=0.02)
        sender.add(channel)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(sender.run())] if send else []
                tasks += [group.create_task(channel.serve())] if receive else []
                try:
                    yield channel
                finally:
                    for task in tasks:
                        task.cancel()
        finally:
            await channel.close()


@pytest.fixture
async def store(tmp_path):
    store = WatchedStore(tmp_path / "journal.db")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def server():
    async with FakeTelegram() as server:
        yield server


@pytest.fixture
async def rig(server, store, tmp_path):
    config = AppConfig(
        home=tmp_path / "home",
        telegram_token=server.token,
        telegram_base_url=server.base_url,
        owners=(OWNER,),
        telegram={"poll_seconds": 5},
    )
    server.chat(OWNER)
    return Rig(server, store, Recorder(), config, tmp_path)
