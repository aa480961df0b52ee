"""Lanes: order within a chat, chats beside each other, Stop and presses at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from agent.channels.inbox import Lanes
from agent.domain.messages import Attachment, Destination, InboundMessage, is_stop
from agent.errors import JournalFailed, ToolError

from .conftest import Recorder


def said(text, number, chat="1", thread="", **fields):
    return InboundMessage("telegram", str(number), Destination("telegram", chat, thread), "11", text=text, **fields)


@pytest.fixture
def hearer():
    return Recorder()


async def received(store, *messages):
    return await store.receive(messages)


async def test_a_lane_keeps_its_order_and_another_does_not_wait(store, hearer):
    gate = hearer.gates["slow"] = asyncio.Event()
    async with Lanes(store, hearer) as lanes:
        lanes.take(
            await received(store, said("slow", 1), said("after", 2), said("other", 3, "2"), said("topic", 4, "1", "7"))
        )
        await hearer.until(lambda: len(hearer.heard) == 2)
        assert sorted(hearer.texts) == ["other", "topic"]
        assert lanes.waiting() == 1
        gate.set()
        await hearer.until(lambda: len(hearer.heard) == 4)
    assert hearer.texts[2:] == ["slow", "after"]


@pytest.mark.parametrize("word", ["stop", "/stop", "Stop!", " STOP "])
async def test_stop_overtakes(store, hearer, word):
    hearer.gates["slow"] = asyncio.Event()
    async with Lanes(store, hearer) as lanes:
        lanes.take(await received(store, said("slow", 1), said(word, 2)))
        await hearer.until(lambda: hearer.heard)
    assert hearer.texts == [word]


@pytest.mark.parametrize("text", ["don't stop", "stop it", "", "/stopwatch"])
def test_only_the_bare_word_stops(text):
    assert not is_stop(text)


async def test_a_press_overtakes(store, hearer):
    hearer.gates["slow"] = asyncio.Event()
    shown = asyncio.Queue()

    async def pressed(message, text):
        await shown.put((message.action, text))

    async with Lanes(store, hearer, pressed=pressed) as lanes:
        lanes.take(await received(store, said("slow", 1), said("", 2, action="a/1/allow")))
        assert await asyncio.wait_for(shown.get(), 60) == ("a/1/allow", "did a/1/allow")


async def test_a_press_may_be_taken_before_the_hearer(store, hearer):
    shown = asyncio.Queue()

    async def pressed(message, text):
        await shown.put(text)

    async def press(action):
        return "mine" if action.startswith("o/") else None

    async with Lanes(store, hearer, pressed=pressed, press=press) as lanes:
        lanes.take(await received(store, said("", 1, action="o/1/again")))
        assert await asyncio.wait_for(shown.get(), 60) == "mine"
        lanes.take(await received(store, said("", 2, action="a/1/deny")))
        assert await asyncio.wait_for(shown.get(), 60) == "did a/1/deny"
    assert len(hearer.presses) == 1


async def test_what_was_heard_is_not_replayed_and_what_was_not_is(store, hearer):
    async def one_is_done():
        return len(await store.unheard("telegram")) == 2

    gate = hearer.gates["two"] = asyncio.Event()
    async with Lanes(store, hearer) as lanes:
        lanes.take(await received(store, said("one", 1), said("two", 2), said("three", 3)))
        await hearer.until(lambda: hearer.heard)
        await store.until(one_is_done)
    assert not gate.is_set()

    again = Recorder()
    async with Lanes(store, again) as lanes:
        assert await lanes.replay("telegram") == 2
        await again.until(lambda: len(again.heard) == 2)
    assert again.texts == ["two", "three"]


async def test_a_known_error_is_reported_in_its_own_words(store, hearer):
    hearer.raises["bad"] = ToolError("The folder is full.", hint="Delete something.")
    async with Lanes(store, hearer) as lanes:
        [message] = await received(store, said("bad", 1))
        lanes.take([message])
        lanes.take(await received(store, said("good", 2)))
        await hearer.until(lambda: hearer.heard)
    report = await store.get_message(f"inbox/{message.id}/error")
    assert report.payload["text"] == "The folder is full."
    assert report.payload["hint"] == "Delete something."
    assert report.payload["ref"].startswith("E-")


async def test_a_message_that_meets_a_locked_journal_is_heard_a_little_later_and_in_order(store, hearer, monkeypatch):
    monkeypatch.setattr("agent.channels.inbox.PAUSES", (0.0, 0.0))
    plain, troubles = hearer.hear, [JournalFailed("locked"), OSError(28, "No space left on device")]

    async def hear(message):
        if troubles:
            raise troubles.pop()
        await plain(message)

    monkeypatch.setattr(hearer, "hear", hear)
    async with Lanes(store, hearer) as lanes:
        first, second = await received(store, said("one", 1), said("two", 2))
        lanes.take([first, second])
        await hearer.until(lambda: len(hearer.heard) == 2)
    assert hearer.texts == ["one", "two"]
    assert await store.get_message(f"inbox/{first.id}/error") is None


async def test_a_message_that_meets_a_locked_journal_again_and_again_is_reported(store, hearer, monkeypatch):
    monkeypatch.setattr("agent.channels.inbox.PAUSES", (0.0, 0.0))
    hearer.raises["bad"] = JournalFailed("The journal is locked.")
    async with Lanes(store, hearer) as lanes:
        [message] = await received(store, said("bad", 1))
        lanes.take([message])
        lanes.take(await received(store, said("good", 2)))
        await hearer.until(lambda: hearer.heard)
    assert (await store.get_message(f"inbox/{message.id}/error")).payload["text"] == "The journal is locked."


async def test_a_press_that_fails_says_so(store, hearer, monkeypatch):
    shown = asyncio.Queue()

    async def pressed(message, text):
        await shown.put(text)

    async def fails(message):
        raise ValueError("secret detail")

    monkeypatch.setattr(hearer, "press", fails)
    async with Lanes(store, hearer, pressed=pressed) as lanes:
        lanes.take(await received(store, said("", 1, action="a/1/allow")))
        text = await asyncio.wait_for(shown.get(), 60)
    assert "E-" in text
    assert "secret" not in text


async def test_a_corrected_message_is_heard_as_corrected(store, hearer):
    gate = hearer.gates["slow"] = asyncio.Event()
    async with Lanes(store, hearer) as lanes:
        _, second = await received(store, said("slow", 1), said("secnd", 2))
        lanes.take(await store.unheard("telegram"))
        assert await store.edit_message(second.id, "second")
        gate.set()
        await hearer.until(lambda: len(hearer.heard) == 2)
    assert hearer.texts == ["slow", "second"]


async def test_a_message_that_is_corrected_while_its_files_are_fetched_is_heard_as_corrected(store, hearer):
    async def fetch(message):
        assert await store.edit_message(message.id, "second")
        return message

    file = Attachment("a.txt", file_id="1")
    async with Lanes(store, hearer, prepare=fetch) as lanes:
        lanes.take(await received(store, said("secnd", 1, attachments=(file,))))
        await hearer.until(lambda: hearer.heard)
    assert hearer.texts == ["second"]


async def test_what_was_understood_of_a_voice_stays_although_no_such_text_came_in(store, hearer):
    async def understand(message):
        return replace(message, text="spoken")

    async with Lanes(store, hearer, prepare=understand) as lanes:
        lanes.take(await received(store, said("", 1, attachments=(Attachment("a.ogg", file_id="1"),))))
        await hearer.until(lambda: hearer.heard)
    assert hearer.texts == ["spoken"]
