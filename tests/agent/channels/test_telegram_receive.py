"""Receiving: nothing lost, order kept, strangers turned away, trouble outlived."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from loguru import logger
from telegram import Bot

from agent.channels.telegram.channel import TelegramChannel
from agent.channels.telegram.files import safe_name
from agent.config import Telegram
from agent.domain.messages import Destination, MessageKind
from agent.errors import ConfigError

from .conftest import OWNER, notice, running

GROUP = -1001
STRANGER = 99


async def test_a_message_is_stored_before_telegram_may_forget_it(rig):
    rig.hearer.gates["one"] = asyncio.Event()
    async with rig.up(send=False):
        rig.server.user_says(OWNER, "one")
        await rig.server.wait_for(lambda: not rig.server.updates)
        waiting = await rig.store.unheard("telegram")

    assert [message.text for message in waiting] == ["one"]


async def test_what_was_stored_and_not_heard_is_heard_at_the_next_start_in_order(rig):
    rig.hearer.gates["one"] = asyncio.Event()
    async with rig.up(send=False):
        for text in ("one", "two", "three"):
            rig.server.user_says(OWNER, text)
        await rig.server.wait_for(lambda: not rig.server.updates)
    assert rig.hearer.texts == []

    rig.hearer.gates.clear()
    async with rig.up(send=False):
        await rig.hearer.until(lambda: len(rig.hearer.heard) == 3)

    assert rig.hearer.texts == ["one", "two", "three"]
    assert await rig.store.unheard("telegram") == []


async def test_a_store_that_fails_costs_no_message(rig, monkeypatch):
    real = rig.store.receive_and_set
    failures = iter([True, True])

    async def flaky(*args):
        if next(failures, False):
            raise OSError("disk full")
        return await real(*args)

    monkeypatch.setattr(rig.store, "receive_and_set", flaky)
    async with rig.up(send=False):
        rig.server.user_says(OWNER, "one")
        await rig.hearer.until(lambda: rig.hearer.heard)

    assert rig.hearer.texts == ["one"]


@pytest.mark.parametrize(
    "trouble",
    [
        {"kind": "error", "code": 502, "description": "Bad Gateway"},
        {"kind": "error", "code": 429, "description": "Too Many Requests: retry after 1", "retry_after": 1},
        {"kind": "error", "code": 401, "description": "Unauthorized"},
        {"kind": "drop_before"},
        {"kind": "error", "code": 409, "description": "Conflict: terminated by other getUpdates request"},
    ],
    ids=lambda trouble: str(trouble.get("code", "drop")),
)
async def test_polling_outlives(rig, trouble):
    rig.server.fail("getUpdates", times=3, **trouble)
    async with rig.up(send=False):
        rig.server.user_says(OWNER, "one")
        await rig.hearer.until(lambda: rig.hearer.heard)

    assert len(rig.server.called("getUpdates")) > 3


async def test_a_server_that_is_away_at_the_start_is_waited_for(rig):
    rig.server.fail("getMe", "drop_before", times=2)
    async with rig.up(send=False):
        rig.server.user_says(OWNER, "one")
        await rig.hearer.until(lambda: rig.hearer.heard)


async def test_a_second_poller_is_outlived(rig):
    async with rig.up(send=False), Bot(rig.server.token, base_url=f"{rig.server.base_url}/bot") as other:
        await rig.server.wait_for(lambda: rig.server.called("getUpdates"))
        await other.get_updates(timeout=0)
        rig.server.user_says(OWNER, "one")
        await rig.hearer.until(lambda: rig.hearer.heard)

    assert any("409" in call.outcome for call in rig.server.called("getUpdates"))


async def test_an_update_that_cannot_be_read_is_left_out(rig):
    async with rig.up(send=False):
        rig.server.add_update(message={"message_id": "?", "chat": 5})
        rig.server.user_says(OWNER, "after it")
        await rig.hearer.until(lambda: rig.hearer.heard)

    assert rig.hearer.texts == ["after it"]


async def test_a_wrong_token_is_named_without_showing_it(rig):
    rig.server.token = "4711:another"
    channel = TelegramChannel(rig.config, rig.store, rig.hearer)
    try:
        with pytest.raises(ConfigError, match="BotFather") as refused:
            await channel.serve()
    finally:
        await channel.close()

    assert "test-token" not in repr(refused.value)
    assert refused.value.__cause__ is None


async def test_without_a_token_the_error_says_where_to_get_one(rig):
    with pytest.raises(ConfigError, match="BotFather"):
        TelegramChannel(rig.config.model_copy(update={"telegram_token": None}), rig.store, rig.hearer)


async def test_only_one_process_receives_and_the_next_takes_over(rig):
    second = TelegramChannel(rig.config, rig.store, rig.hearer, patience=0.02)
    async with AsyncExitStack() as running_first:
        await running_first.enter_async_context(rig.up(send=False))
        await rig.server.wait_for(lambda: rig.server.called("getUpdates"))
        async with running(second.serve()):
            rig.server.user_says(OWNER, "for the first")
            await rig.hearer.until(lambda: len(rig.hearer.heard) == 1)
            assert second.last_poll_age() is None
            assert second.pulse() == "Telegram: not reached yet"
            await running_first.aclose()
            rig.server.user_says(OWNER, "for the second")
            await rig.hearer.until(lambda: len(rig.hearer.heard) == 2)
            assert second.last_poll_age() < 10
            assert " s ago" in second.pulse()
    await second.close()


async def test_a_stop_ends_within_a_second(rig):
    async with rig.up():
        await rig.server.wait_for(lambda: rig.server.called("getUpdates"))
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 1


async def test_another_bot_starts_with_what_telegram_holds_for_it(rig):
    await rig.store.set_value("telegram:offset", "999999999")
    await rig.store.set_value("telegram:bot", "1")
    async with rig.up(send=False):
        rig.server.user_says(OWNER, "one")
        await rig.hearer.until(lambda: rig.hearer.heard)


# --- who ----------------------------------------------------------------------------------------------------------------
async def test_a_stranger_gets_one_line_with_their_id_and_is_never_heard(rig):
    async with rig.up():
        rig.server.user_says(STRANGER, "do this")
        await rig.server.wait_for(lambda: rig.server.bot_messages(STRANGER))
        rig.server.user_says(STRANGER, "do this now")
        rig.server.user_says(OWNER, "mine")
        await rig.hearer.until(lambda: rig.hearer.heard)
        await rig.store.post(notice("later"))
        await rig.server.wait_for(lambda: rig.server.bot_messages(OWNER))

    assert rig.hearer.texts == ["mine"]
    [line] = rig.server.bot_messages(STRANGER)
    assert "99" in line.text


async def test_with_no_owners_nobody_is_heard(rig):
    rig.config = rig.config.model_copy(update={"owners": ()})
    async with rig.up():
        rig.server.user_says(OWNER, "hello")
        await rig.server.wait_for(lambda: "11" in rig.server.bot_messages(OWNER)[0].text)

    assert rig.hearer.heard == []


async def test_a_strangers_press_changes_nothing_and_is_told_so(rig):
    rig.server.add_group(GROUP)
    async with rig.up():
        buttons = [[{"label": "Allow", "action": "a/1/allow"}]]
        message = notice("May I?", buttons=buttons)
        await rig.store.post(message)
        shown = await rig.server.wait_for(lambda: rig.server.bot_messages(OWNER)[0])
        query = rig.server.user_presses(OWNER, shown.id, "Allow", user_id=STRANGER)
        await rig.server.wait_for(lambda: rig.server.queries[query])

    assert "owner" in rig.server.queries[query]
    assert rig.server.alerts[query]
    assert rig.hearer.presses == []


# --- what ---------------------------------------------------------------------------------------------------------------
async def hear_one(rig):
    await rig.hearer.until(lambda: rig.hearer.heard)
    return rig.hearer.heard.pop()


async def test_a_command_loses_the_bots_name(rig):
    async with rig.up(send=False):
        rig.server.user_says(OWNER, "/start@Dirigent_Bot now")
        assert (await hear_one(rig)).text == "/start now"


async def test_a_forwarded_text_is_quoted_and_not_trusted(rig):
    async with rig.up(send=False):
        rig.server.user_says(OWNER, "stop", forwarded=True)
        heard = await hear_one(rig)
    assert (heard.text, heard.quoted, heard.trusted) == ("", "stop", False)


async def test_words_through_another_bot_are_not_the_owners(rig):
    async with rig.up(send=False):
        rig.server.user_says(OWNER, "buy", via_bot={"id": 5, "is_bot": True, "first_name": "Other"})
        heard = await hear_one(rig)
    assert (heard.text, heard.quoted, heard.trusted) == ("", "buy", False)


async def test_a_reply_carries_the_other_text_as_a_quote(rig):
    async with rig.up(send=False):
        first = rig.server.user_says(OWNER, "the first")
        await hear_one(rig)
        rig.server.user_says(OWNER, "what about it?", reply_to=first)
        heard = await hear_one(rig)
    assert (heard.text, heard.quoted, heard.reply_to) == ("what about it?", "the first", str(first))


async def test_a_topic_is_a_session_of_its_own_and_general_is_the_chat(rig):
    rig.server.add_group(GROUP, topics=(7,))
    rig.config = rig.config.model_copy(update={"telegram": Telegram(groups="all", poll_seconds=5)})
    async with rig.up(send=False):
        rig.server.user_says(GROUP, "in the topic", user_id=OWNER, thread=7)
        in_topic = await hear_one(rig)
        rig.server.user_says(GROUP, "in general", user_id=OWNER)
        in_general = await hear_one(rig)
    assert in_topic.dest.session_id == f"telegram:{GROUP}:7"
    assert in_general.dest.session_id == f"telegram:{GROUP}"
    assert in_topic.dest.chat_type == "supergroup"


async def test_in_groups_only_what_is_for_the_bot_is_heard(rig):
    rig.server.add_group(GROUP)
    async with rig.up():
        await rig.store.post(notice("hi", dest=Destination("telegram", str(GROUP), chat_type="supergroup")))
        ours = await rig.server.wait_for(lambda: rig.server.bot_messages(GROUP)[0])
        rig.server.user_says(GROUP, "just talking", user_id=OWNER)
        rig.server.user_says(GROUP, "/plan@other_bot", user_id=OWNER)
        rig.server.user_says(GROUP, "@someone else", user_id=OWNER)
        rig.server.user_says(GROUP, "@dirigent_bot, mentioned", user_id=OWNER)
        rig.server.user_says(GROUP, "replied", user_id=OWNER, reply_to=ours.id)
        rig.server.user_says(GROUP, "/status", user_id=OWNER)
        rig.server.user_says(GROUP, "email me@dirigent_bottle.org", user_id=OWNER)
        rig.server.user_says(OWNER, "done")
        await rig.hearer.until(lambda: len(rig.hearer.heard) >= 4)

    assert sorted(rig.hearer.texts) == ["/status", "done", "mentioned", "replied"]


async def test_groups_may_be_left_out(rig):
    rig.server.add_group(GROUP)
    rig.config = rig.config.model_copy(update={"telegram": Telegram(groups="never", poll_seconds=5)})
    async with rig.up(send=False):
        rig.server.user_says(GROUP, "@dirigent_bot hello", user_id=OWNER)
        rig.server.user_says(OWNER, "private")
        assert (await hear_one(rig)).text == "private"


async def test_a_member_who_is_no_owner_is_not_heard_in_a_group(rig):
    rig.server.add_group(GROUP)
    async with rig.up(send=False):
        rig.server.user_says(GROUP, "@dirigent_bot hello", user_id=STRANGER)
        rig.server.user_says(GROUP, "@dirigent_bot mine", user_id=OWNER)
        assert (await hear_one(rig)).text == "mine"


async def test_an_edit_reaches_a_message_that_still_waits(rig):
    gate = rig.hearer.gates["first"] = asyncio.Event()
    async with rig.up(send=False) as channel:
        rig.server.user_says(OWNER, "first")
        second = rig.server.user_says(OWNER, "secnd")
        await rig.server.wait_for(lambda: not rig.server.updates)
        rig.server.user_edits(OWNER, second, "second")
        await rig.server.wait_for(lambda: not rig.server.updates)
        assert channel is not None
        gate.set()
        await rig.hearer.until(lambda: len(rig.hearer.heard) == 2)

    assert rig.hearer.texts == ["first", "second"]


async def test_an_edit_after_hearing_changes_nothing(rig):
    async with rig.up(send=False):
        first = rig.server.user_says(OWNER, "first")
        await rig.hearer.until(lambda: rig.hearer.heard)
        rig.server.user_edits(OWNER, first, "something else")
        rig.server.user_says(OWNER, "next")
        await rig.hearer.until(lambda: len(rig.hearer.heard) == 2)

    assert rig.hearer.texts == ["first", "next"]


async def test_an_edit_in_the_same_batch_counts(rig):
    first = rig.server.user_says(OWNER, "frist")
    rig.server.user_edits(OWNER, first, "first")
    async with rig.up(send=False):
        assert (await hear_one(rig)).text == "first"


async def test_a_sticker_is_declined_in_words(rig):
    async with rig.up():
        sticker = {"file_id": "x", "file_unique_id": "x", "width": 1, "height": 1, "is_animated": False}
        rig.server._user_sends(OWNER, None, {"sticker": {**sticker, "is_video": False, "type": "regular"}}, {})
        await rig.server.wait_for(lambda: "sticker" in rig.server.bot_messages(OWNER)[0].text)


# --- files --------------------------------------------------------------------------------------------------------------
async def test_a_document_is_on_disk_before_its_message_is_heard(rig):
    async with rig.up(send=False):
        rig.server.user_sends_file(OWNER, "../../etc/пас swd.csv", b"a,b\n1,2\n", caption="sum it")
        heard = await hear_one(rig)
    [file] = heard.attachments
    path = rig.config.folder / "inbox" / str(heard.id) / "1-пас swd.csv"
    assert (file.path, file.size, heard.text) == (str(path), 8, "sum it")
    assert path.read_bytes() == b"a,b\n1,2\n"
    assert file.trusted


@pytest.mark.parametrize("kind", ["photo", "voice", "audio", "video"])
async def test_other_files_come_too(rig, kind):
    async with rig.up(send=False):
        rig.server.user_sends_file(OWNER, "x.bin", b"12345", kind=kind)
        [file] = (await hear_one(rig)).attachments
    assert file.size == 5
    assert file.path


async def test_a_forwarded_file_is_not_trusted(rig):
    async with rig.up(send=False):
        rig.server.user_sends_file(OWNER, "x.txt", b"1", forwarded=True)
        heard = await hear_one(rig)
    assert not heard.attachments[0].trusted


async def test_an_album_is_one_message(rig):
    async with rig.up(send=False):
        for number in range(3):
            caption = "compare these" if number == 0 else ""
            rig.server.user_sends_file(OWNER, f"{number}.jpg", b"123", kind="photo", album="9", caption=caption)
        heard = await hear_one(rig)
        rig.server.user_says(OWNER, "next")
        assert (await hear_one(rig)).text == "next"
    assert heard.text == "compare these"
    assert len({file.path for file in heard.attachments}) == 3


@pytest.mark.parametrize("claimed", [21 * 1024 * 1024, 0], ids=["known", "found out late"])
async def test_a_file_that_is_too_large_is_said_and_the_words_are_heard(rig, claimed):
    async with rig.up():
        if claimed:
            rig.server.user_sends_file(OWNER, "film.mp4", b"1", caption="cut it", claimed_size=claimed)
        else:
            rig.server.fail("getFile", "error", code=400, description="Bad Request: file is too big")
            rig.server.user_sends_file(OWNER, "film.mp4", b"1", caption="cut it")
        heard = await hear_one(rig)
        await rig.server.wait_for(lambda: "film.mp4" in rig.server.bot_messages(OWNER)[0].text)
    assert (heard.text, [file.path for file in heard.attachments]) == ("cut it", [""])
    assert "20 MB" in rig.server.bot_messages(OWNER)[0].text


async def test_a_download_is_tried_again(rig):
    async with rig.up(send=False):
        rig.server.fail("file", "drop_before", times=2)
        rig.server.user_sends_file(OWNER, "x.txt", b"123")
        [file] = (await hear_one(rig)).attachments
    assert file.path
    assert len(rig.server.called("file")) == 3


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("report.pdf", "report.pdf"),
        ("../../.ssh/authorized_keys", "authorized_keys"),
        ("..", "file"),
        ("C:\\boot.ini", "boot.ini"),
        ("a\0b\n.txt", "a_b_.txt"),
        (".bashrc", "bashrc"),
        ("", "file"),
    ],
)
def test_file_names_stay_in_their_folder(name, safe):
    assert safe_name(name) == safe


def test_long_file_names_keep_their_suffix():
    name = safe_name("ж" * 300 + ".xlsx")
    assert name.endswith(".xlsx")
    assert len(name.encode()) <= 120


# --- presses ------------------------------------------------------------------------------------------------------------
async def test_a_press_is_answered_after_it_was_committed(rig):
    async with rig.up():
        await rig.store.post(notice("May I?", buttons=[[{"label": "Allow", "action": "a/1/allow"}]]))
        shown = await rig.server.wait_for(lambda: rig.server.bot_messages(OWNER)[0])
        query = rig.server.user_presses(OWNER, shown.id, "Allow")
        await rig.server.wait_for(lambda: rig.server.queries[query])

    [press] = rig.hearer.presses
    assert rig.server.queries[query] == "did a/1/allow"
    assert (press.action, press.message_id, press.user_id) == ("a/1/allow", str(shown.id), "11")
    assert await rig.store.unheard("telegram") == []


async def test_a_late_press_raises_an_alert(rig, monkeypatch):
    async def press(message):
        return "Too late: it has expired."

    monkeypatch.setattr(rig.hearer, "press", press)
    async with rig.up():
        await rig.store.post(notice("May I?", buttons=[[{"label": "Allow", "action": "a/1/allow"}]]))
        shown = await rig.server.wait_for(lambda: rig.server.bot_messages(OWNER)[0])
        query = rig.server.user_presses(OWNER, shown.id, "Allow")
        await rig.server.wait_for(lambda: rig.server.queries[query])

    assert rig.server.alerts[query]


async def test_a_message_that_cannot_be_heard_is_reported_with_a_reference(rig):
    rig.hearer.raises["bad"] = ValueError("boom")
    async with rig.up():
        rig.server.user_says(OWNER, "bad")
        rig.server.user_says(OWNER, "good")
        await rig.hearer.until(lambda: rig.hearer.heard)
        shown = await rig.server.wait_for(lambda: rig.server.bot_messages(OWNER)[0])

    assert "E-" in shown.text
    assert "boom" not in shown.text
    assert rig.hearer.texts == ["good"]
    stored = await rig.store.get_message("inbox/1/error")
    assert stored.kind is MessageKind.ERROR


# --- secrets ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["drop_before", "error"])
async def test_the_token_is_in_no_log_line(rig, kind):
    lines = []
    sink = logger.add(lines.append, level=0, diagnose=False, backtrace=True)
    for method in ("getMe", "getUpdates", "sendMessage", "getFile", "file"):
        rig.server.fail(method, kind, code=401, description="Unauthorized")
    if kind == "error":
        rig.server.faults.pop(0)  # a refused token at the start ends the channel, which is tested above
    try:
        async with rig.up():
            rig.server.user_sends_file(OWNER, "x.txt", b"1", caption="read")
            await rig.hearer.until(lambda: rig.hearer.heard)
            await rig.store.post(notice("hi"))
            await rig.store.until_state("n", "pending")
    finally:
        logger.remove(sink)

    assert len(lines) > 2
    assert not [line for line in lines if "test-token" in line]
