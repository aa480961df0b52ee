"""Answers that grow as Telegram's own drafts: where a chat has chosen them, and what happens where they don't work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.domain.messages import MessageKind, OutboundMessage
from agent.store.sql import SqlStore
from agent.testing.engines import on_workers
from agent.testing.openai_script import Answer
from agent.testing.openai_server import FakeOpenAI
from agent.testing.served import serving
from agent.testing.telegram_server import FakeTelegram
from tests.journeys.conftest import OWNER, Stage

GROUP = -1001
WORDS = "I am well, and I can plan, search and calculate for you. "


def wants_drafts(home: Path, chat: int = OWNER) -> None:
    """Choose drafts in a chat's file."""
    folder = home / "sessions" / f"telegram_{chat}"
    folder.mkdir(parents=True)
    (folder / "SESSION.json").write_text(json.dumps({"id": f"telegram:{chat}", "settings": {"drafts": "live"}}))


def slowly(length: int = 12) -> Answer:
    return Answer(f"answer: {WORDS * length}The end.", tokens_per_second=45)


def drafts(stage: Stage, chat: int = OWNER) -> list[tuple[int, str]]:
    return stage.telegram.chats[chat].drafts


async def test_a_chat_that_chose_drafts_sees_them_grow_and_gets_one_message(stage: Stage):
    stage.will("plan", slowly(24))
    async with stage.up():
        stage.says("/settings")
        settings = await stage.sees("Answers show while", button="✍️ Drafts: on")
        assert await stage.presses(settings, "✍️ Drafts: on") == "off"
        settings = await stage.sees("Answers show while", button="✍️ Drafts: off")
        assert await stage.presses(settings, "✍️ Drafts: off") == "live"
        await stage.sees("live, in Telegram’s own drafts", button="✍️ Drafts: live")
        asked = stage.says("How are you?")
        await stage.until(lambda: len(drafts(stage)) >= 2)
        assert stage.texts()[1:] == []
        answer = await stage.sees("The end.")
    numbers, texts = zip(*drafts(stage), strict=True)
    assert len(set(numbers)) == 1
    assert [len(text) for text in texts] == sorted({len(text) for text in texts})
    assert all(text.endswith(" …") for text in texts)
    assert (answer.reply_to, answer.edits) == (asked, 1)
    assert len(stage.texts()) == 2
    assert stage.refused() == []


@pytest.mark.parametrize("refusal", ["unknown", "refused"])
async def test_where_drafts_do_not_work_answers_grow_by_edits_from_then_on(stage: Stage, refusal: str):
    wants_drafts(stage.config.folder)
    if refusal == "unknown":
        stage.telegram.unknown.add("sendMessageDraft")
        stage.telegram.tolerated.append("404 Not Found")
    else:
        stage.telegram.fail("sendMessageDraft", "error", code=400, description="Bad Request: TEXTDRAFT_PEER_INVALID")
    stage.will("plan", slowly(), slowly())
    async with stage.up():
        for times in (1, 2):
            stage.says("How are you?")
            growing = await stage.sees("I am well", growing=True)
            assert growing.id == (await stage.until(lambda n=times: ended(stage, n)))
    assert len(stage.telegram.called("sendMessageDraft")) == 1
    assert drafts(stage) == []


def ended(stage: Stage, times: int) -> int | None:
    """Return the id of the newest whole answer once there are so many."""
    whole = [m.id for m in stage.telegram.bot_messages(OWNER) if m.text.endswith("The end.")]
    return whole[-1] if len(whole) == times else None


async def test_in_a_group_answers_grow_by_edits(stage: Stage):
    stage.telegram.add_group(GROUP)
    wants_drafts(stage.config.folder, GROUP)
    stage.will("plan", slowly())
    async with stage.up():
        stage.says("@dirigent_bot how are you?", chat=GROUP, user_id=OWNER)
        growing = await stage.sees("I am well", chat=GROUP, growing=True)
        whole = await stage.sees("The end.", chat=GROUP)
    assert whole.id == growing.id
    assert stage.telegram.called("sendMessageDraft") == []
    assert stage.refused() == []


@pytest.mark.crash
async def test_killed_in_the_middle_of_drafts_the_answer_arrives_once(tmp_path: Path):
    home = tmp_path / "home"
    wants_drafts(home)
    async with FakeTelegram() as telegram, FakeOpenAI(lambda _: slowly(), models=["fake-model"]) as model:
        telegram.user_says(OWNER, "How are you?")
        async with serving(home, telegram, model):
            await telegram.wait_for(lambda: grown(telegram))
        assert on_workers() or await waiting(home) == []
        async with serving(home, telegram, model):
            await telegram.wait_for(lambda: [m for m in telegram.bot_messages(OWNER) if m.text.endswith("The end.")])
            telegram.user_says(OWNER, "/help")
            await telegram.wait_for(lambda: "/undo" in telegram.bot_messages(OWNER)[-1].text)
    assert [m.text.endswith("The end.") for m in telegram.bot_messages(OWNER)].count(True) == 1
    assert [call.outcome for call in telegram.called("sendMessageDraft") if call.outcome not in {"", "ok"}] == []


def grown(telegram: FakeTelegram) -> bool:
    """Say whether an answer is seen to grow: in drafts, or in a message where a worker of its own plans."""
    return bool(telegram.bot_messages(OWNER) if on_workers() else telegram.chats[OWNER].drafts)


async def waiting(home: Path) -> list[OutboundMessage]:
    """Return the answers that the outbox of a dead process holds."""
    store = SqlStore(home / "journal.db")
    await store.open()
    try:
        due = await store.due_messages("telegram", 100)
    finally:
        await store.close()
    return [message for message in due if message.kind is MessageKind.ANSWER]
