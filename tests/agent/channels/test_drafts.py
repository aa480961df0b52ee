"""Drafts beside the outbox: they wait for everything, nothing waits for them. On a scripted channel with a real store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from agent.channels.drafts import draft_id
from agent.channels.outbox import OutboxBot, OutboxSender
from agent.domain.messages import Destination, MessageKind, OutboundMessage
from agent.errors import DeliveryDelayed

from .conftest import DEST, notice, running


class Sketcher:
    """A channel with drafts; `gate` holds them up, `troubles` are raised by the next ones."""

    name = "telegram"
    takes = True

    def __init__(self) -> None:
        self.log: list[str] = []
        self.gate: asyncio.Event | None = None
        self.troubles: list[Exception] = []
        self.changed = asyncio.Condition()

    async def serve(self) -> None: ...

    def busy(self, dest: Destination, *, on: bool) -> None: ...

    def takes_drafts(self, dest: Destination) -> bool:
        return self.takes

    async def _note(self, what: str) -> None:
        async with self.changed:
            self.log.append(what)
            self.changed.notify_all()

    async def deliver(self, message: OutboundMessage) -> str:
        await self._note(f"said {message.payload['text']}")
        return message.message_id or "1"

    async def draft(self, message: OutboundMessage) -> None:
        await self._note(f"draft {message.payload['text']}")
        if self.troubles:
            raise self.troubles.pop(0)
        if self.gate is not None:
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                await self._note(f"draft {message.payload['text']} was cancelled")
                raise

    async def until(self, *log: str) -> None:
        async with asyncio.timeout(60), self.changed:
            await self.changed.wait_for(lambda: self.log == list(log))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def channel() -> Sketcher:
    return Sketcher()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sender(store, channel, clock) -> OutboxSender:
    return OutboxSender(store, [channel], clock=clock)


@pytest.fixture
def bot(store, channel, sender) -> OutboxBot:
    return OutboxBot(store, [channel], sender.drafts)


def growing(text: str) -> OutboundMessage:
    return notice(text, key="a", kind=MessageKind.ANSWER, final=False, draft=True)


def whole(text: str) -> OutboundMessage:
    return notice(text, key="a", kind=MessageKind.ANSWER, final=True)


@asynccontextmanager
async def sending(sender: OutboxSender) -> AsyncIterator[None]:
    async with running(sender.run()):
        yield


async def test_a_draft_is_shown_and_not_kept(store, bot, sender, channel):
    async with sending(sender):
        await bot.post(growing("one"))
        await channel.until("draft one")
    assert await store.get_message("a") is None


async def test_of_drafts_that_wait_only_the_newest_is_shown(store, bot, sender, channel, clock):
    async with sending(sender):
        await bot.post(growing("one"))
        await channel.until("draft one")
        await bot.post(growing("two"))
        await bot.post(growing("three"))
        await store.post(replace(notice("elsewhere", dest=replace(DEST, chat_id="22"))))
        await channel.until("draft one", "said elsewhere")
        clock.now += 2
        store.outbox_changed.set()
        await channel.until("draft one", "said elsewhere", "draft three")


async def test_an_answer_does_not_wait_for_a_draft_and_ends_it(store, bot, sender, channel, clock):
    channel.gate = asyncio.Event()
    async with sending(sender):
        await bot.post(growing("one"))
        await channel.until("draft one")
        await bot.post(growing("two"))
        await store.post(whole("all"))
        await channel.until("draft one", "draft one was cancelled", "said all")
        clock.now += 10
        await store.post(notice("later", dest=replace(DEST, chat_id="22")))
        await store.until_state("n", "sent")
        assert channel.log[3:] == ["said later"]


async def test_drafts_leave_the_pace_that_an_answer_and_its_edit_need(store, bot, sender, channel, clock):
    async with sending(sender):
        for n in range(5):
            await bot.post(growing(str(n)))
            await channel.until(*(f"draft {k}" for k in range(n + 1)))
            clock.now += 2 if n < 4 else 0
        await store.post(whole("all"))
        await store.post(notice("and this"))
        await store.until_state("n", "sent")
    assert channel.log[5:] == ["said all", "said and this"]


async def test_where_drafts_are_not_taken_the_answer_grows_in_the_outbox(store, bot, sender, channel):
    channel.takes = False
    await bot.post(growing("one"))
    kept = await store.get_message("a")
    assert kept is not None
    assert kept.payload == {"text": "one", "final": False}


async def test_a_bot_whose_process_sends_nothing_keeps_what_grows_in_the_outbox(store):
    await OutboxBot(store).post(growing("one"))
    kept = await store.get_message("a")
    assert kept is not None
    assert "draft" not in kept.payload


async def test_asked_to_slow_down_only_drafts_keep_quiet(store, bot, sender, channel, clock):
    channel.troubles = [DeliveryDelayed("slowly", retry_after=50.0)]
    async with sending(sender):
        await bot.post(growing("one"))
        await channel.until("draft one")
        clock.now += 10
        await bot.post(growing("two"))
        await store.post(notice("said", kind=MessageKind.PLAN, state="running"))
        await channel.until("draft one", "said said")
        clock.now += 50
        store.outbox_changed.set()
        await channel.until("draft one", "said said", "draft two")


async def test_a_draft_that_goes_wrong_stops_nothing(store, bot, sender, channel, clock):
    channel.troubles = [ValueError("a mistake of ours")]
    async with sending(sender):
        await bot.post(growing("one"))
        await channel.until("draft one")
        clock.now += 2
        await bot.post(growing("two"))
        await channel.until("draft one", "draft two")


@pytest.mark.parametrize("key", ["", "run:1:answer", "run:2:answer"])
def test_a_drafts_number_is_never_zero_and_always_the_same(key):
    assert 0 < draft_id(key) == draft_id(key) < 2**31
