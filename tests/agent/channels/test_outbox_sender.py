"""The sender: order, pace, crash rules, on a scripted channel with a real store; no clock is waited for."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from agent.channels.base import Unfinished
from agent.channels.outbox import TRIES_OF_A_BUG, OutboxBot, OutboxSender
from agent.channels.pacing import CAREFUL, Pace
from agent.domain.messages import Destination, MessageKind, OutboundMessage
from agent.errors import DeliveryDelayed, DeliveryRefused, DeliveryUnknown

from .conftest import DEST, notice, running

OTHER = Destination("telegram", "22")


class Script:
    """A channel that delivers into lists, or raises what it was told to for a text."""

    name = "telegram"

    def __init__(self) -> None:
        self.log: list[tuple[str, str]] = []
        self.shown: dict[str, str] = {}
        self.raises: dict[str, list[Exception]] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.changed = asyncio.Condition()
        self.staged = False
        self.active: set[str] = set()

    async def serve(self) -> None: ...

    async def deliver(self, message: OutboundMessage) -> str:
        text = str(message.payload.get("text", message.payload.get("paths", "")))
        if message.payload.get("again"):
            text += " (again)"
        if text in self.gates:
            await self.gates[text].wait()
        if self.raises.get(text):
            raise self.raises[text].pop(0)
        first = self.staged and not message.message_id
        message_id = message.message_id or str(len(self.shown) + 1)
        async with self.changed:
            self.shown[message_id] = f"{text} …" if first else text
            self.log.append((message.dest.chat_id, self.shown[message_id]))
            self.changed.notify_all()
        return Unfinished(message_id) if first else message_id

    def busy(self, dest: Destination, *, on: bool) -> None:
        (self.active.add if on else self.active.discard)(dest.chat_id)

    async def until(self, predicate, timeout: float = 60.0) -> None:
        async with asyncio.timeout(timeout), self.changed:
            await self.changed.wait_for(predicate)

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self.log]


@pytest.fixture
def channel():
    return Script()


@asynccontextmanager
async def sending(store, channel, **clock):
    sender = OutboxSender(store, [channel], **clock)
    async with running(sender.run()):
        yield sender


async def settled(store, key):
    """Wait until the outbox has noted what became of a message."""
    return await store.until_state(key, "sent", "failed")


async def test_what_is_posted_is_sent_and_its_id_kept(store, channel):
    async with sending(store, channel):
        await store.post(notice("hi"))
        message = await settled(store, "n")
    assert (message.message_id, message.sent_version, message.state) == ("1", 1, "sent")


async def test_what_was_posted_before_the_start_is_sent(store, channel):
    await store.post(notice("hi"))
    async with sending(store, channel):
        await channel.until(lambda: channel.texts == ["hi"])


async def test_a_chat_gets_its_messages_in_order(store, channel):
    for n in range(4):
        await store.post(notice(str(n), key=str(n)))
    async with sending(store, channel):
        await channel.until(lambda: len(channel.log) == 4)
    assert channel.texts == ["0", "1", "2", "3"]


async def test_one_chat_does_not_wait_for_another(store, channel):
    channel.gates["slow"] = asyncio.Event()
    await store.post(notice("slow", key="a"))
    await store.post(notice("fast", key="b", dest=OTHER))
    async with sending(store, channel):
        await channel.until(lambda: channel.texts == ["fast"])


async def test_a_change_while_sending_becomes_an_edit(store, channel):
    gate = channel.gates["one"] = asyncio.Event()
    async with sending(store, channel):
        await store.post(notice("one"))
        await store.post(notice("two"))
        gate.set()
        await channel.until(lambda: channel.shown.get("1") == "two")
    assert len(channel.shown) == 1


async def test_an_answers_preview_is_stored_before_the_whole_is_sent(store, channel):
    channel.staged = True
    seen = []
    deliver = channel.deliver

    async def watched(message):
        seen.append((await store.get_message("a")).message_id)
        return await deliver(message)

    channel.deliver = watched
    async with sending(store, channel):
        await store.post(notice("yes", key="a", kind=MessageKind.ANSWER))
        await settled(store, "a")
    assert seen == ["", "1"]
    assert channel.texts == ["yes …", "yes"]


# --- crash rules --------------------------------------------------------------------------------------------------------
async def interrupted(store, message):
    """Leave a message as a process does that dies while sending it."""
    await store.post(message)
    stored = await store.get_message(message.key)
    await store.mark_sending([stored.id])
    return stored


@pytest.mark.parametrize("kind", [MessageKind.PLAN, MessageKind.NOTICE, MessageKind.ERROR, MessageKind.ANSWER])
async def test_after_a_crash_words_are_sent_again(store, channel, kind):
    await interrupted(store, notice("x", kind=kind))
    async with sending(store, channel):
        await settled(store, "n")
    assert channel.texts == ["x"]


@pytest.mark.parametrize("kind", [MessageKind.QUESTION, MessageKind.APPROVAL])
async def test_after_a_crash_a_question_is_asked_again_and_says_so(store, channel, kind):
    await interrupted(store, notice("x", kind=kind))
    async with sending(store, channel):
        await settled(store, "n")
    assert channel.texts == ["x (again)"]


async def test_an_answer_whose_preview_is_known_is_carried_on_with(store, channel):
    stored = await interrupted(store, notice("x", kind=MessageKind.ANSWER))
    await store.mark_sent(stored.id, 0, "77")
    async with sending(store, channel):
        await settled(store, "n")
    assert channel.shown == {"77": "x"}


def files(key="f"):
    return OutboundMessage(
        dest=DEST, kind=MessageKind.FILES, key=key, payload={"paths": ["/w/report.pdf"], "caption": ""}
    )


async def test_after_a_crash_files_are_asked_about_and_not_sent(store, channel):
    stored = await interrupted(store, files())
    async with sending(store, channel) as sender:
        await channel.until(lambda: channel.log)
        assert "report.pdf" in channel.texts[0]
        assert (await store.get_message("f")).state == "failed"

        assert await sender.press(f"o/{stored.id}/again") == "Sending it again."
        await channel.until(lambda: "['/w/report.pdf']" in channel.texts)
        assert (await settled(store, "f")).state == "sent"
        assert "Too late" in await sender.press(f"o/{stored.id}/again")
    assert channel.texts.count("['/w/report.pdf']") == 1


async def test_files_that_arrived_are_not_sent_again(store, channel):
    stored = await interrupted(store, files())
    async with sending(store, channel) as sender:
        await channel.until(lambda: channel.log)
        assert await sender.press(f"o/{stored.id}/arrived") == "Good."
        await channel.until(lambda: "It arrived." in channel.shown["1"])
    assert (await store.get_message("f")).state == "sent"
    assert "['/w/report.pdf']" not in channel.texts


async def test_files_without_an_answer_are_asked_about_at_once_and_every_time(store, channel):
    channel.raises["['/w/report.pdf']"] = [DeliveryUnknown("cut"), DeliveryUnknown("cut")]
    await store.post(files())
    async with sending(store, channel) as sender:
        await channel.until(lambda: len(channel.shown) == 1)
        await settled(store, "f")
        number = (await store.get_message("f")).id
        await sender.press(f"o/{number}/again")
        await channel.until(lambda: len(channel.shown) == 2)
    assert "don't know" in channel.shown["2"]


@pytest.mark.parametrize("action", ["a/1/allow", "o/x/again", "o/1/other", "", "o/1"])
async def test_other_buttons_are_not_the_senders(store, action):
    assert await OutboxSender(store).press(action) is None


async def test_channels_are_closed_once_also_when_nothing_was_ever_sent(store, channel, monkeypatch):
    closed = []

    async def close():
        closed.append(channel.name)

    monkeypatch.setattr(channel, "close", close, raising=False)
    idle = OutboxSender(store, [channel])
    await idle.close()
    assert closed == ["telegram"]
    async with sending(store, channel) as sender:
        pass
    await sender.close()
    assert closed == ["telegram", "telegram"]


async def test_a_press_about_files_that_were_never_asked_about_is_late(store):
    assert "Too late" in await OutboxSender(store).press("o/5/again")


# --- trouble ------------------------------------------------------------------------------------------------------------
async def test_a_delay_holds_up_that_chat_alone(store, channel):
    channel.raises["first"] = [DeliveryDelayed("slow down", retry_after=3600)]
    await store.post(notice("first", key="a"))
    await store.post(notice("second", key="b"))
    await store.post(notice("elsewhere", key="c", dest=OTHER))
    async with sending(store, channel):
        await channel.until(lambda: channel.log)
        await store.post(notice("elsewhere too", key="d", dest=OTHER))
        await channel.until(lambda: len(channel.log) == 2)
    assert channel.texts == ["elsewhere", "elsewhere too"]
    assert (await store.get_message("a")).state == "pending"


async def test_a_delayed_message_is_sent_when_its_time_comes(store, channel):
    channel.raises["x"] = [DeliveryDelayed("slow down", retry_after=0.05)]
    await store.post(notice("x"))
    async with sending(store, channel):
        await channel.until(lambda: channel.texts == ["x"])


async def test_an_unknown_question_is_asked_again_and_says_so_even_after_a_delay(store, channel):
    channel.raises["x"] = [DeliveryUnknown("cut")]
    channel.raises["x (again)"] = [DeliveryDelayed("slow down", retry_after=0.05)]
    await store.post(notice("x", kind=MessageKind.QUESTION))
    async with sending(store, channel):
        await channel.until(lambda: channel.texts == ["x (again)"])


async def test_a_refused_message_is_given_up_and_the_next_goes_out(store, channel):
    channel.raises["x"] = [DeliveryRefused("blocked")]
    await store.post(notice("x", key="a"))
    await store.post(notice("y", key="b"))
    async with sending(store, channel):
        await channel.until(lambda: channel.texts == ["y"])
        assert (await settled(store, "a")).state == "failed"
    assert (await store.get_message("a")).error == "blocked"


async def test_a_bug_in_a_channel_does_not_stop_the_sender(store, channel):
    channel.raises["x"] = [ZeroDivisionError("bug")]
    await store.post(notice("x", key="a"))
    await store.post(notice("y", key="b", dest=OTHER))
    async with sending(store, channel):
        await channel.until(lambda: sorted(channel.texts) == ["x", "y"])


async def test_a_message_is_given_up_for_a_fault_of_ours_and_never_for_the_machines(store, channel):
    channel.raises = {"x": [OSError(24, "Too many open files")], "y": [ZeroDivisionError("bug")]}
    await store.post(notice("x", key="a"))
    await store.post(notice("y", key="b", dest=OTHER))
    sender = OutboxSender(store, [channel])
    for key in ("a", "b"):
        sender._tries[(await store.get_message(key)).id] = TRIES_OF_A_BUG
    async with running(sender.run()):
        await store.until_state("b", "failed")
        waiting = await store.until_state("a", "pending")
    assert waiting.error.startswith("an error of ours, E-")


async def test_a_store_that_fails_for_a_moment_does_not_stop_the_sender(store, channel, monkeypatch):
    real = store.due_messages
    fails = iter([True])

    async def flaky(*args):
        if next(fails, False):
            raise OSError("locked")
        return await real(*args)

    monkeypatch.setattr(store, "due_messages", flaky)
    await store.post(notice("x"))
    async with sending(store, channel):
        await channel.until(lambda: channel.texts == ["x"])


async def test_a_stop_lets_a_send_finish(store, channel):
    gate = channel.gates["x"] = asyncio.Event()
    await store.post(notice("x"))
    sender = OutboxSender(store, [channel])
    task = asyncio.create_task(sender.run())
    await store.until_state("n", "sending")
    task.cancel()
    asyncio.get_running_loop().call_later(0.05, gate.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await store.get_message("n")).state == "sent"


async def test_a_stop_does_not_wait_for_a_send_that_hangs(store, channel):
    channel.gates["x"] = asyncio.Event()
    await store.post(notice("x"))
    loop = asyncio.get_running_loop()
    async with sending(store, channel):
        await store.until_state("n", "sending")
        began = loop.time()
    assert loop.time() - began < 1
    assert (await store.get_message("n")).state == "sending"


async def test_the_bot_facade_posts_and_shows_signs_of_life(store, channel):
    bot = OutboxBot(store, [channel])
    await bot.post(notice("x"))
    bot.busy(DEST, on=True)
    bot.busy(Destination("elsewhere", "1"), on=True)
    assert (await store.get_message("n")).payload == {"text": "x"}
    assert channel.active == {"11"}


# --- pace ---------------------------------------------------------------------------------------------------------------
class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def allowed(pace, message, *, clock, seconds, step=0.05, settled=True):
    """Send as fast as the pace allows for some seconds; return when."""
    sent = []
    end = clock.now + seconds
    while clock.now < end:
        if pace.wait(message, settled=settled) <= 0:
            pace.count(message)
            sent.append(clock.now)
        clock.now += step
    return sent


def test_a_private_chat_gets_one_a_second_after_a_burst():
    clock = Clock()
    sent = allowed(Pace(clock), replace(notice("x"), id=1), clock=clock, seconds=60)
    assert 60 <= len(sent) <= 65


@pytest.mark.parametrize("chat_type", ["private", "supergroup"])
def test_a_restart_gives_no_new_burst(chat_type):
    clock = Clock()
    chat = replace(notice("x"), id=1, dest=Destination("telegram", "-1", chat_type=chat_type))
    sent = allowed(Pace(clock), chat, clock=clock, seconds=1)
    restarted = Pace(clock)
    for at in sent:
        restarted.recall(chat.dest, clock.now - at)
    sent += allowed(restarted, chat, clock=clock, seconds=90)
    uninterrupted = Clock()
    expected = allowed(Pace(uninterrupted), chat, clock=uninterrupted, seconds=91)
    assert abs(len(sent) - len(expected)) <= 1


async def test_the_next_process_neither_overtakes_nor_hurries(store):
    """What is tried again later keeps its place behind a restart, and the chat its pace."""
    wall = [1_000.0]
    store._clock = lambda: wall[0]
    channel = Script()
    channel.raises["first"] = [DeliveryDelayed("busy", retry_after=20.0)]
    await store.post(notice("first", key="a"))
    async with running(OutboxSender(store, [channel], wall=lambda: wall[0]).run()):
        async with asyncio.timeout(30):
            while not await store.delayed_messages("telegram"):
                await asyncio.sleep(0.01)
    await store.post(notice("second", key="b"))
    sender = OutboxSender(store, [channel], wall=lambda: wall[0])
    async with running(sender.run()):
        store.outbox_changed.set()
        await asyncio.sleep(0.05)
        assert channel.log == []
        wall[0] += 21.0
        store.outbox_changed.set()
        await channel.until(lambda: len(channel.log) == 2)
    assert [text for _, text in channel.log] == ["first", "second"]


def test_a_group_gets_twenty_a_minute():
    clock = Clock()
    group = replace(notice("x"), id=1, dest=Destination("telegram", "-1", chat_type="supergroup"))
    sent = allowed(Pace(clock), group, clock=clock, seconds=180)
    assert all(later - first >= 60 for first, later in zip(sent, sent[20:], strict=False))
    assert len(sent) >= 40


def test_progress_is_edited_no_oftener_than_every_one_and_a_half_seconds():
    clock = Clock()
    plan = replace(notice("x"), id=1, sent_version=1)
    sent = allowed(Pace(clock), plan, clock=clock, seconds=30, settled=False)
    assert min(b - a for a, b in itertools.pairwise(sent)) >= 1.49
    assert len(sent) >= 18


def test_progress_leaves_room_for_the_answer():
    clock = Clock()
    pace = Pace(clock)
    group = Destination("telegram", "-1", chat_type="supergroup")
    allowed(pace, replace(notice("x"), id=1, sent_version=1, dest=group), clock=clock, seconds=120, settled=False)
    assert pace.wait(replace(notice("answer"), id=2, dest=group), settled=True) == 0


def test_all_chats_together_get_thirty_a_second():
    clock = Clock()
    pace = Pace(clock)
    sent = []
    for _ in range(80):
        for chat in range(300):
            message = replace(notice("x"), id=chat, dest=Destination("telegram", str(chat)))
            if pace.wait(message, settled=True) <= 0:
                pace.count(message)
                sent.append(clock.now)
        clock.now += 0.05
    assert sent[:30] == [100.0] * 30
    assert all(later - first >= 1 for first, later in zip(sent, sent[30:], strict=False))
    assert len(sent) >= 110


async def test_a_channel_that_bears_any_pace_is_never_waited_for(store, channel):
    channel.rates = None
    for n in range(20):
        await store.post(notice(str(n), key=str(n)))
    async with sending(store, channel, clock=Clock()):
        await channel.until(lambda: len(channel.log) == 20)
        for n in range(20):
            await store.post(notice(f"progress {n}", key="0", state="running"))
            await channel.until(lambda n=n: channel.texts[-1] == f"progress {n}")


async def test_the_pace_of_one_channel_is_not_that_of_another(store, channel):
    quick = Script()
    quick.name, quick.rates = "terminal", None
    for n in range(8):
        await store.post(notice(f"t{n}", key=f"t{n}"))
        await store.post(notice(f"q{n}", key=f"q{n}", dest=Destination("terminal", "main")))
    sender = OutboxSender(store, [channel, quick], clock=Clock())
    async with running(sender.run()):
        await quick.until(lambda: len(quick.log) == 8)
        await channel.until(lambda: len(channel.log) == CAREFUL.private_burst)
    assert len(channel.log) == CAREFUL.private_burst
