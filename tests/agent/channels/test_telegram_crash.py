"""`kill -9` at any moment, a flooded server, a lossy network: every message is answered, exactly once, in order."""

from __future__ import annotations

import asyncio
import random
import sys
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from agent.channels.pacing import CAREFUL
from agent.domain.messages import MessageKind

from .conftest import OWNER, notice

BOT = Path(__file__).parent / "crashing_bot.py"
CHATS = (11, 12, 13)


@asynccontextmanager
async def process(home, server):
    """Run the bot; the block's end kills it with SIGKILL."""
    bot = await asyncio.create_subprocess_exec(
        sys.executable,
        str(BOT),
        str(home),
        server.base_url,
        cwd=Path(__file__).parents[3],
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield bot
    finally:
        with suppress(ProcessLookupError):
            bot.kill()
        await bot.wait()


def complete(server, chat):
    return [
        m.text.removeprefix("Echo of ").split(":")[0] for m in server.bot_messages(chat) if m.text.endswith("done.")
    ]


def all_there(server, expected):
    return all(len(complete(server, chat)) >= len(expected[chat]) for chat in CHATS)


@pytest.mark.crash
@pytest.mark.parametrize("seed", range(2))
async def test_kill_9_loses_and_doubles_no_answer(server, tmp_path, seed):
    dice = random.Random(seed)
    expected = {chat: [] for chat in CHATS}
    for round_ in range(4):
        for chat in CHATS:
            text = f"m{round_}-{chat}"
            server.user_says(chat, text)
            expected[chat].append(text)
        calls = len(server.calls) + dice.randrange(2, 14)
        async with process(tmp_path / "home", server):
            await server.wait_for(lambda: len(server.calls) >= calls or all_there(server, expected), 60)  # noqa: B023
    async with process(tmp_path / "home", server):
        await server.wait_for(lambda: all_there(server, expected), 60)
        for chat in CHATS:
            server.user_says(chat, "last")
        await server.wait_for(lambda: all("last" in complete(server, chat) for chat in CHATS), 60)

    for chat in CHATS:
        assert complete(server, chat) == [*expected[chat], "last"]


@pytest.mark.crash
async def test_a_kill_between_arriving_and_noting_leaves_one_whole_answer(server, tmp_path):
    server.fail("sendMessage", "hang")
    async with process(tmp_path / "home", server):
        server.user_says(11, "one")
        await server.wait_for(lambda: server.bot_messages(11), 60)
    async with process(tmp_path / "home", server):
        await server.wait_for(lambda: complete(server, 11), 60)

    shown = server.bot_messages(11)
    assert complete(server, 11) == ["one"]
    assert len(shown) == 2  # the preview whose fate was unknown stays; nobody takes it for the answer
    assert shown[0].text.endswith("…")


async def test_flood_control_loses_and_doubles_nothing(rig):
    rig.server.flood_control = True
    rig.server.flood.burst = 3
    async with rig.up(receive=False):
        for n in range(3):
            await rig.store.post(notice(f"answer {n}", key=f"a{n}", kind=MessageKind.ANSWER))
        await rig.server.wait_for(
            lambda: [m.text for m in rig.server.bot_messages(OWNER)] == [f"answer {n}" for n in range(3)]
        )

    assert any(call.outcome.startswith("429") for call in rig.server.calls)


@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "error", "error_after"])
@pytest.mark.parametrize("method", ["sendMessage", "editMessageText"])
async def test_a_lossy_network_leaves_one_whole_answer(rig, method, fault):
    rig.server.fail(method, fault)
    async with rig.up(receive=False):
        await rig.store.post(notice("the whole answer", key="a", kind=MessageKind.ANSWER))
        sent = await rig.store.until_state("a", "sent")

    texts = [m.text for m in rig.server.bot_messages(OWNER)]
    assert texts.count("the whole answer") == 1
    assert set(texts) <= {"the whole answer", "the whole answer …"}
    shown = {str(m.id): m.text for m in rig.server.bot_messages(OWNER)}
    assert shown[sent.message_id] == "the whole answer"


async def test_an_answer_waits_for_a_server_that_is_away(rig):
    await rig.server.stop()
    async with rig.up(receive=False):
        await rig.store.post(notice("hello", key="a", kind=MessageKind.ANSWER))

        async def tried():
            return (await rig.store.get_message("a")).error

        await rig.store.until(tried)
        await rig.server.start()
        await rig.server.wait_for(lambda: [m.text for m in rig.server.bot_messages(OWNER)] == ["hello"])


async def test_a_live_plan_is_one_message_and_its_last_state_is_shown_at_once(rig, monkeypatch):
    monkeypatch.setattr("agent.channels.outbox.CAREFUL", replace(CAREFUL, edit_gap=600.0))
    steps = [{"id": "a", "label": "A", "status": "RUNNING", "note": ""}]
    async with rig.up(receive=False):
        for done in range(30):
            state = "done" if done == 29 else "running"
            payload = {"title": "T", "done": done, "total": 29, "state": state, "steps": steps}
            await rig.store.post(notice("", key="p", kind=MessageKind.PLAN, **payload))
        await rig.server.wait_for(lambda: "29/29" in rig.server.bot_messages(OWNER)[0].text, 60)

    assert len(rig.server.bot_messages(OWNER)) == 1
    assert len(rig.server.called("editMessageText")) <= 4
