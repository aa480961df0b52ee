"""Chats that close, open and move; edits that come late; a look at what was received; places."""

from __future__ import annotations

import asyncio

import pytest

from agent.channels.telegram.directory import MOVED, Directory
from agent.domain.messages import Attachment
from agent.domain.run import Run

from .conftest import DEST, OWNER, notice

GROUP = -1001
SUPER = -100200


async def test_a_chat_that_is_closed_costs_one_call_and_gets_what_waited_once_it_is_open(rig):
    async with rig.up():
        rig.server.chat(OWNER).blocked = True
        await rig.store.post(notice("one", key="a"))
        await rig.store.until_state("a", "failed")
        await rig.store.post(notice("two", key="b"))
        await rig.store.until_state("b", "failed")
        assert len(rig.server.called("sendMessage")) == 1
        rig.server.user_unblocks(OWNER)
        await rig.server.wait_for(lambda: [m.text for m in rig.server.bot_messages(OWNER)] == ["one", "two"])


async def test_a_block_is_noted_when_telegram_tells_it_and_survives_a_restart(rig):
    async with rig.up():
        rig.server.user_blocks(OWNER)
        await rig.server.wait_for(lambda: not rig.server.updates and len(rig.server.called("getUpdates")) > 1)
    async with rig.up():
        await rig.store.post(notice("one", key="a"))
        await rig.store.until_state("a", "failed")
        assert rig.server.called("sendMessage") == []
        rig.server.chat(OWNER).blocked = False
        rig.server.user_says(OWNER, "I am back")
        await rig.server.wait_for(lambda: rig.server.bot_messages(OWNER)[0].text == "one")


async def test_a_group_that_becomes_a_supergroup_keeps_its_session(rig):
    group = rig.server.add_group(GROUP)
    async with rig.up():
        rig.server.user_says(GROUP, "/help", user_id=OWNER)
        await rig.hearer.until(lambda: len(rig.hearer.heard) == 1)
        rig.server.add_group(SUPER)
        group.migrated_to = SUPER
        rig.server.group_moves(GROUP, SUPER)
        rig.server.user_says(SUPER, "/help", user_id=OWNER)
        await rig.hearer.until(lambda: len(rig.hearer.heard) == 2)
        await rig.store.post(notice("here", dest=rig.hearer.heard[1].dest))
        await rig.server.wait_for(lambda: rig.server.bot_messages(SUPER)[0].text == "here")
    assert {message.dest.session_id for message in rig.hearer.heard} == {f"telegram:{GROUP}"}


async def test_a_move_that_is_first_seen_when_sending_is_noted(rig):
    group = rig.server.add_group(GROUP)
    rig.server.add_group(SUPER)
    group.migrated_to = SUPER
    async with rig.up():
        dest = DEST.__class__("telegram", str(GROUP), chat_type="group")
        await rig.store.post(notice("one", key="a", dest=dest))
        await rig.store.until_state("a", "sent")
        await rig.store.post(notice("two", key="b", dest=dest))
        await rig.store.until_state("b", "sent")
    assert [m.text for m in rig.server.bot_messages(SUPER)] == ["one", "two"]
    assert len(rig.server.called("sendMessage", GROUP)) == 1


async def test_a_move_that_is_noted_while_everything_is_read_is_not_lost(rig):
    directory, asked, go_on = Directory({OWNER}), asyncio.Event(), asyncio.Event()
    plain = rig.store.get_value

    async def slow(key: str) -> str | None:
        found = await plain(key)
        if key == MOVED:
            asked.set()
            await go_on.wait()
        return found

    rig.store.get_value = slow
    async with rig.up():
        async with asyncio.TaskGroup() as group:
            group.create_task(directory.refresh(rig.store))
            await asked.wait()
            group.create_task(directory.move(rig.store, str(GROUP), str(SUPER)))
            await asyncio.sleep(0)
            go_on.set()
        assert directory.outside(str(GROUP)) == str(SUPER)


async def test_a_group_that_an_owner_adds_the_bot_to_is_told_how_it_works(rig):
    rig.server.add_group(GROUP)
    async with rig.up():
        rig.server.bot_joins(GROUP, by=99)
        rig.server.bot_joins(GROUP, by=OWNER)
        await rig.server.wait_for(lambda: "@dirigent_bot" in rig.server.bot_messages(GROUP)[0].text)
        rig.server.user_says(OWNER, "one")
        await rig.hearer.until(lambda: rig.hearer.heard)
    assert len(rig.server.bot_messages(GROUP)) == 1


async def test_what_is_received_gets_a_look_and_a_chat_without_reactions_is_left_alone(rig):
    rig.server.add_group(GROUP).reactions_allowed = False
    async with rig.up():
        number = rig.server.user_says(OWNER, "one")
        await rig.server.wait_for(lambda: rig.server.chats[OWNER].reactions == {number: ["👀"]})
        for text in ("/help", "/plan"):
            rig.server.user_says(GROUP, text, user_id=OWNER)
            await rig.server.wait_for(lambda: rig.server.called("setMessageReaction", GROUP))
            await rig.hearer.until(lambda text=text: text in rig.hearer.texts)
        rig.server.user_says(OWNER, "last")
        await rig.server.wait_for(lambda: len(rig.server.chats[OWNER].reactions) == 2)
    assert len(rig.server.called("setMessageReaction", GROUP)) == 1


async def test_reactions_can_be_switched_off(rig):
    rig.config = rig.config.model_copy(update={"telegram": rig.config.telegram.model_copy(update={"reactions": False})})
    async with rig.up():
        rig.server.user_says(OWNER, "one")
        await rig.hearer.until(lambda: rig.hearer.heard)
    assert rig.server.called("setMessageReaction") == []


# --- edits ----------------------------------------------------------------------------------------------------------
async def test_an_edit_of_a_running_request_offers_to_do_it_again(rig):
    async with rig.up():
        number = rig.server.user_says(OWNER, "one")
        await rig.hearer.until(lambda: rig.hearer.heard)
        inbox = rig.hearer.heard[0].id
        await rig.store.open_run(Run(DEST.session_id, "one", DEST, inbox_id=inbox, user_id=str(OWNER)))
        rig.server.user_edits(OWNER, number, "two")
        shown = await rig.server.wait_for(
            lambda: rig.server.bot_messages(OWNER)[-1] if rig.server.bot_messages(OWNER)[-1].buttons else None
        )
        rig.server.user_edits(OWNER, number, "three")
        rig.server.user_presses(OWNER, shown.id, shown.labels[0])
        await rig.hearer.until(lambda: rig.hearer.presses)
    assert "after I had begun" in shown.text
    assert rig.hearer.presses[0].action == f"e/{inbox}/redo"
    assert await rig.store.get_value(f"edit:{inbox}") == "three"


async def test_an_edit_that_changes_no_words_or_a_command_says_nothing(rig):
    async with rig.up():
        numbers = [rig.server.user_says(OWNER, text) for text in ("one", "/help")]
        await rig.hearer.until(lambda: len(rig.hearer.heard) == 2)
        inbox = rig.hearer.heard[0].id
        await rig.store.open_run(Run(DEST.session_id, "one", DEST, inbox_id=inbox))
        rig.server.user_edits(OWNER, numbers[0], "one")
        rig.server.user_edits(OWNER, numbers[1], "/plan")
        rig.server.user_says(OWNER, "last")
        await rig.hearer.until(lambda: len(rig.hearer.heard) == 3)
    assert rig.server.bot_messages(OWNER) == []


# --- contents ---------------------------------------------------------------------------------------------------------
async def test_an_owners_place_is_their_word_and_a_forwarded_one_is_not(rig):
    place = {"latitude": 48.2, "longitude": 16.37}
    async with rig.up(send=False):
        rig.server.user_says(OWNER, "", location=place)
        rig.server.user_says(OWNER, "", location=place, forwarded=True)
        await rig.hearer.until(lambda: len(rig.hearer.heard) == 2)
    own, other = rig.hearer.heard
    assert (own.text, own.trusted) == ("48.2, 16.37", True)
    assert (other.text, other.quoted, other.trusted) == ("", "48.2, 16.37", False)


@pytest.mark.parametrize("kind", ["voice", "video_note", "audio", "photo"])
async def test_a_file_says_what_it_is(rig, kind):
    async with rig.up(send=False):
        rig.server.user_sends_file(OWNER, "x.bin", b"\xff\xd8\xffdata", kind=kind)
        await rig.hearer.until(lambda: rig.hearer.heard)
    [file] = rig.hearer.heard[0].attachments
    assert isinstance(file, Attachment)
    assert file.kind == kind
    assert file.seconds == (0.0 if kind == "photo" else 1.0)
