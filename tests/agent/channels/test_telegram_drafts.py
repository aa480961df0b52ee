"""Drafts on Telegram's wire: what is shown, what the server refuses, and where answers grow by edits instead."""

from __future__ import annotations

from dataclasses import replace

import pytest
from loguru import logger
from telegram import Bot, MessageEntity
from telegram.error import BadRequest, InvalidToken

from agent.channels.base import Drafting
from agent.channels.telegram.channel import TelegramChannel
from agent.domain.messages import Destination, MessageKind
from agent.errors import DeliveryDelayed

from .conftest import DEST, OWNER, notice

GROUP = -1001
IN_GROUP = Destination("telegram", str(GROUP), chat_type="supergroup")


@pytest.fixture
async def channel(rig):
    rig.server.add_group(GROUP)
    channel = TelegramChannel(rig.config, rig.store, rig.hearer)
    yield channel
    await channel.close()


def growing(text: str, dest: Destination = DEST):
    return notice(text, key="run:1:answer", dest=dest, kind=MessageKind.ANSWER, final=False, draft=True)


def drafts(server, chat=OWNER):
    return server.chats[chat].drafts


async def test_a_draft_is_formatted_and_no_message(channel, server):
    assert isinstance(channel, Drafting)
    await channel.draft(growing("**one**"))
    await channel.draft(growing("**one** and two"))
    assert [text for _, text in drafts(server)] == ["one …", "one and two …"]
    assert len({number for number, _ in drafts(server)}) == 1
    assert server.called("sendMessageDraft")[0].params["entities"][0]["type"] == "bold"
    assert server.bot_messages(OWNER) == []


async def test_of_a_long_answer_the_part_that_is_being_written_is_shown(channel, server):
    await channel.draft(growing("\n\n".join(f"Paragraph {n}. " + "word " * 150 for n in range(8))))
    [(_, text)] = drafts(server)
    assert "Paragraph 7." in text
    assert "Paragraph 0." not in text


async def test_a_draft_is_shown_in_its_topic(channel, server):
    server.chat(OWNER).topics.add(7)
    await channel.draft(growing("one", replace(DEST, thread_id="7")))
    assert int(server.called("sendMessageDraft")[0].params["message_thread_id"]) == 7
    assert channel.takes_drafts(DEST)


async def test_groups_take_no_drafts(channel):
    assert channel.takes_drafts(DEST)
    assert not channel.takes_drafts(IN_GROUP)


async def test_a_server_that_does_not_know_drafts_is_asked_once_and_the_token_stays_out_of_the_log(channel, server):
    server.unknown.add("sendMessageDraft")
    said: list[str] = []
    sink = logger.add(said.append, level="DEBUG", format="{message}")
    try:
        await channel.draft(growing("one"))
    finally:
        logger.remove(sink)
    assert not channel.takes_drafts(DEST)
    assert not channel.takes_drafts(replace(DEST, chat_id="22"))
    assert "does not know drafts" in "".join(said)
    assert server.token not in "".join(said)


@pytest.mark.parametrize(("code", "description"), [(400, "Bad Request: PEER_INVALID"), (403, "Forbidden: blocked")])
async def test_a_refusal_is_for_one_chat(channel, server, code, description):
    server.fail("sendMessageDraft", "error", code=code, description=description)
    await channel.draft(growing("one"))
    assert not channel.takes_drafts(DEST)
    assert channel.takes_drafts(replace(DEST, chat_id="22"))


async def test_a_draft_that_is_lost_is_no_error(channel, server):
    server.fail("sendMessageDraft", "drop_before", times=1)
    await channel.draft(growing("one"))
    await channel.draft(growing("one and two"))
    assert [text for _, text in drafts(server)] == ["one and two …"]


async def test_a_429_is_passed_on(channel, server):
    server.fail("sendMessageDraft", "error", code=429, description="Too Many Requests: retry after 7", retry_after=7)
    with pytest.raises(DeliveryDelayed) as delay:
        await channel.draft(growing("one"))
    assert delay.value.retry_after == 7
    assert channel.takes_drafts(DEST)


# --- the fake server ------------------------------------------------------------------------------------------------
@pytest.fixture
async def bot(server):
    server.chat(OWNER)
    server.add_group(GROUP)
    async with Bot(server.token, base_url=f"{server.base_url}/bot") as bot:
        yield bot


@pytest.mark.parametrize(
    ("chat", "number", "text"),
    [(GROUP, 1, "a"), (OWNER, 0, "a"), (OWNER, 1, " "), (OWNER, 1, "a" * 4097), (99, 1, "a")],
)
async def test_the_server_refuses_what_telegram_refuses(bot, server, chat, number, text):
    with pytest.raises(BadRequest):
        await bot.send_message_draft(chat, number, text)
    assert drafts(server) == []


async def test_the_server_checks_a_drafts_entities(bot, server):
    with pytest.raises(BadRequest):
        await bot.send_message_draft(OWNER, 1, "a", entities=[MessageEntity("bold", 0, 2)])
    await bot.send_message_draft(OWNER, 1, "a" * 4096)
    assert len(drafts(server)) == 1


async def test_a_server_may_be_too_old_for_a_method(bot, server):
    server.unknown.add("sendMessageDraft")
    with pytest.raises(InvalidToken):
        await bot.send_message_draft(OWNER, 1, "a")
