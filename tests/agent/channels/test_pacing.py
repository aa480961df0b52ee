"""The pace of a chat: what grows leaves room for what stays."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from agent.channels.outbox import OutboxSender, is_settled
from agent.channels.pacing import Pace
from agent.domain.messages import MessageKind, OutboundMessage

from .conftest import DEST, notice, running

DRAFT = OutboundMessage(DEST, MessageKind.ANSWER, "run:1:answer", {"text": "The", "final": False}, id=7)
WHOLE = replace(DRAFT, payload={"text": "The answer", "final": True})


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def wait(pace: Pace, message: OutboundMessage) -> float:
    return pace.wait(message, settled=is_settled(message))


@pytest.mark.parametrize("before", range(4))
@pytest.mark.parametrize("kind", ["private", "supergroup"])
def test_a_draft_never_makes_the_whole_answer_wait(kind, before):
    clock = Clock()
    pace = Pace(clock)
    dest = replace(DEST, chat_type=kind)
    for number in range(before):
        pace.count(replace(notice("plan", dest=dest), id=number + 1))
    draft, whole = replace(DRAFT, dest=dest), replace(WHOLE, dest=dest)

    clock.now += wait(pace, draft)
    pace.count(draft)
    pace.count(draft)  # a preview that is completed by an edit

    assert wait(pace, replace(whole, sent_version=1)) == 0


def test_what_stays_goes_out_at_once_where_a_draft_has_to_wait():
    pace = Pace(Clock())
    pace.count(notice("plan"))
    assert wait(pace, DRAFT) > 0
    assert wait(pace, WHOLE) == 0


async def test_a_draft_that_waits_holds_up_nothing_behind_it(store):
    shown: list[str] = []
    both = asyncio.Event()

    class Channel:
        name = DEST.channel

        async def serve(self) -> None: ...

        async def deliver(self, message: OutboundMessage) -> str:
            shown.append(message.payload["text"])
            if len(shown) == 2:
                both.set()
            return str(len(shown))

        def busy(self, dest, *, on) -> None: ...

    await store.post(notice("first", key="a"))
    async with running(OutboxSender(store, [Channel()], clock=Clock()).run()):
        await store.until_state("a", "sent")
        await store.post(DRAFT)
        await store.post(notice("behind", key="b"))
        async with asyncio.timeout(60):
            await both.wait()
    assert shown == ["first", "behind"]
