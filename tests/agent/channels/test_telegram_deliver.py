"""Delivering: what the chat shows, and what is done when Telegram says no."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from agent.channels.base import Unfinished
from agent.channels.telegram.channel import TelegramChannel
from agent.domain.messages import Destination, MessageKind, OutboundMessage
from agent.errors import DeliveryDelayed, DeliveryRefused, DeliveryUnknown

from .conftest import DEST, OWNER, notice

GROUP = -1001
FORUM = Destination("telegram", str(GROUP), "7", "supergroup")
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 64


@pytest.fixture
async def channel(rig):
    rig.server.add_group(GROUP, topics=(7,))
    channel = TelegramChannel(rig.config, rig.store, rig.hearer)
    yield channel
    await channel.close()


async def fully(channel, message):
    """Deliver until it is done; return the id."""
    while True:
        shown = await channel.deliver(message)
        if not isinstance(shown, Unfinished):
            return shown
        message = replace(message, message_id=str(shown))


def texts(server, chat=OWNER):
    return [message.text for message in server.bot_messages(chat)]


# --- answers ------------------------------------------------------------------------------------------------------------
async def test_an_answer_starts_as_a_preview_that_is_never_the_whole(channel, server):
    answer = notice("yes", kind=MessageKind.ANSWER)
    preview = await channel.deliver(answer)
    assert isinstance(preview, Unfinished)
    assert texts(server) == ["yes …"]

    await channel.deliver(replace(answer, message_id=preview))
    assert texts(server) == ["yes"]


async def test_completing_an_answer_again_after_a_restart_changes_nothing(channel, server, rig):
    answer = notice("yes", kind=MessageKind.ANSWER)
    message_id = await fully(channel, answer)
    restarted = TelegramChannel(rig.config, rig.store, rig.hearer)
    assert await restarted.deliver(replace(answer, message_id=message_id)) == message_id
    await restarted.close()

    assert texts(server) == ["yes"]
    assert "not modified" in server.called("editMessageText")[-1].outcome


async def test_a_long_answer_is_several_messages_with_the_buttons_under_the_last(channel, server):
    text = "\n\n".join(f"Paragraph {n}. " + "word " * 150 for n in range(12))
    buttons = [[{"label": "Redo", "action": "r/1/redo"}]]
    message_id = await fully(channel, notice(text, kind=MessageKind.ANSWER, buttons=buttons))

    shown = server.bot_messages(OWNER)
    assert 2 <= len(shown) <= 3
    assert [m.labels for m in shown] == [[]] * (len(shown) - 1) + [["Redo"]]
    assert message_id == str([m.id for m in shown])
    assert "".join("".join(m.text.split()) for m in shown) == "".join(text.split())


async def test_a_very_long_answer_is_a_summary_and_a_file(channel, server):
    text = "\n\n".join(f"Paragraph {n}. " + "word " * 150 for n in range(40))
    await fully(channel, notice(text, kind=MessageKind.ANSWER))

    summary, document = server.bot_messages(OWNER)
    assert summary.text.startswith("Paragraph 0.")
    assert "answer.md" in summary.text
    assert document.files == (("answer.md", text.encode()),)


async def test_an_answer_that_shrinks_leaves_no_old_part(channel, server):
    text = "\n\n".join("word " * 150 for _ in range(12))
    answer = notice(text, kind=MessageKind.ANSWER, final=False)
    message_id = await fully(channel, answer)
    assert len(texts(server)) > 1

    final = replace(answer, payload={"text": "short", "final": True}, message_id=message_id)
    assert await fully(channel, final) == message_id.strip("[").split(",")[0]
    assert texts(server) == ["short"]


async def test_an_answer_replies_to_its_request_and_survives_its_deletion(channel, server):
    asked = server.user_says(OWNER, "hi")
    await fully(channel, notice("a", kind=MessageKind.ANSWER, dest=replace(DEST, reply_to=str(asked))))
    await fully(channel, notice("b", kind=MessageKind.ANSWER, dest=replace(DEST, reply_to="777")))
    assert [m.reply_to for m in server.bot_messages(OWNER)] == [asked, None]


async def test_formatting_that_telegram_dislikes_is_sent_plain(channel, server):
    server.fail("editMessageText", "error", code=400, description="Bad Request: Can't parse entities: nope")
    await fully(channel, notice("**bold**", kind=MessageKind.ANSWER))
    [shown] = server.bot_messages(OWNER)
    assert (shown.text, shown.entities) == ("bold", ())


async def test_a_message_that_is_gone_is_replaced_by_a_new_one(channel, server):
    plan = plan_message()
    first = await channel.deliver(plan)
    del server.chats[OWNER].messages[int(first)]
    second = await channel.deliver(replace(plan, message_id=first, payload={**plan.payload, "done": 2}))
    assert second != first
    assert len(texts(server)) == 1


# --- trouble ------------------------------------------------------------------------------------------------------------
async def test_flood_control_delays(channel, server):
    server.fail("sendMessage", "error", code=429, description="Too Many Requests: retry after 7", retry_after=7)
    with pytest.raises(DeliveryDelayed) as delayed:
        await channel.deliver(notice("x"))
    assert delayed.value.retry_after == 7


@pytest.mark.parametrize("kind", ["drop_after", "drop_before", "error"])
async def test_a_send_without_an_answer_is_unknown(channel, server, kind):
    server.fail("sendMessage", kind)
    with pytest.raises(DeliveryUnknown):
        await channel.deliver(notice("x"))


async def test_an_edit_without_an_answer_is_simply_repeated(channel, server):
    message = notice("x")
    sent = await channel.deliver(message)
    server.fail("editMessageText", "drop_after")
    changed = replace(message, payload={"text": "y"}, message_id=sent)
    with pytest.raises(DeliveryDelayed):
        await channel.deliver(changed)
    assert await channel.deliver(changed) == sent
    assert texts(server) == ["y"]


async def test_a_server_that_is_not_there_means_that_nothing_arrived(rig, server):
    await server.stop()
    channel = TelegramChannel(rig.config, rig.store, rig.hearer)
    with pytest.raises(DeliveryDelayed):
        await channel.deliver(notice("x"))
    await channel.close()


async def test_a_blocked_bot_gives_up(channel, server):
    server.chat(OWNER).blocked = True
    with pytest.raises(DeliveryRefused, match="blocked"):
        await channel.deliver(notice("x"))


async def test_an_unknown_chat_gives_up(channel):
    with pytest.raises(DeliveryRefused, match="hat not found"):
        await channel.deliver(notice("x", dest=Destination("telegram", "12345")))


async def test_a_group_that_became_a_supergroup_is_followed(channel, server):
    server.add_group(-5).migrated_to = GROUP
    await channel.deliver(notice("x", dest=Destination("telegram", "-5", chat_type="group")))
    assert texts(server, GROUP) == ["x"]


async def test_a_topic_gets_its_message_and_a_lost_topic_is_left_for_the_chat(channel, server):
    await channel.deliver(notice("in", dest=FORUM))
    await channel.deliver(notice("out", dest=replace(FORUM, thread_id="8")))
    await channel.deliver(notice("general", dest=replace(FORUM, thread_id="1")))
    assert [(m.text, m.thread) for m in server.bot_messages(GROUP)] == [("in", 7), ("out", None), ("general", None)]


# --- plan, question, approval -------------------------------------------------------------------------------------------
def plan_message(**payload):
    steps = [
        {"id": "a", "label": "Collect specs", "status": "COMPLETED", "note": ""},
        {"id": "b", "label": "Compare", "status": "RUNNING", "note": "reading 2 of 3 pages"},
        {"id": "c", "label": "Write report", "status": "PENDING", "note": ""},
        {"id": "d", "label": "Ask", "status": "WAITING_APPROVAL", "note": ""},
        {"id": "e", "label": "Fail", "status": "FAILED", "note": ""},
        {"id": "f", "label": "Skip", "status": "CANCELLED", "note": ""},
    ]
    base = {"title": "Compare three laptops", "done": 1, "total": 4, "seconds": 41, "money": 0.012, "state": "running"}
    buttons = [[{"label": "⏹ Stop", "action": "r/abc/stop"}]]
    whole = {**base, "steps": steps, "hidden": 3, "buttons": buttons, **payload}
    return OutboundMessage(dest=DEST, kind=MessageKind.PLAN, key="p", payload=whole)


async def test_a_plan_reads_as_designed(channel, server):
    await channel.deliver(plan_message())
    [shown] = server.bot_messages(OWNER)
    assert shown.text.splitlines() == [
        "🗺 Compare three laptops  1/4 · 0:41 · $0.01",
        "✅ 1 Collect specs",
        "⏳ 2 Compare — reading 2 of 3 pages",
        "▫️ 3 Write report",
        "❓ 4 Ask",
        "❌ 5 Fail",
        "⏭ 6 Skip",
        "… and 3 more",
    ]
    assert shown.buttons == ((("⏹ Stop", "r/abc/stop"),),)


async def test_a_huge_plan_fits_one_message(channel, server):
    steps = [{"id": f"s{n}", "label": "x" * 120, "status": "PENDING", "note": "y" * 90} for n in range(300)]
    await channel.deliver(plan_message(steps=steps, hidden=0))
    [shown] = server.bot_messages(OWNER)
    lines = shown.text.splitlines()
    assert lines[-1] == f"… and {300 - (len(lines) - 2)} more"


async def test_a_question_has_its_options_and_reads_as_its_answer_afterwards(channel, server):
    payload = {"question": "Which budget?", "options": ["≤ 800 €", "No limit"], "number": 1, "of": 2, "id": "k3"}
    question = OutboundMessage(dest=DEST, kind=MessageKind.QUESTION, key="q", payload=payload)
    sent = await channel.deliver(question)
    [shown] = server.bot_messages(OWNER)
    assert shown.text.startswith("❓ Which budget?  (1 of 2)")
    assert [action for row in shown.buttons for _, action in row] == ["q/k3/0", "q/k3/1", "q/k3/you", "q/k3/skip"]
    assert shown.labels == ["≤ 800 €", "No limit", "You decide", "Skip"]

    answered = {**payload, "label": "Budget", "answered": "≤ 800 €"}
    await channel.deliver(replace(question, payload=answered, message_id=sent))
    [shown] = server.bot_messages(OWNER)
    assert (shown.text, shown.buttons) == ("Budget: ≤ 800 €", ())


async def test_a_free_question_in_a_group_asks_for_a_reply(channel, server):
    payload = {"question": "Which name?", "options": [], "id": "k3"}
    question = OutboundMessage(dest=FORUM, kind=MessageKind.QUESTION, key="q", payload=payload)
    sent = await channel.deliver(question)
    assert server.bot_messages(GROUP)[0].force_reply

    await channel.deliver(replace(question, payload={**payload, "answered": "Ada"}, message_id=sent))
    assert texts(server, GROUP)[-1] == "Which name: Ada"


async def test_long_options_are_written_out_and_numbered(channel, server):
    options = ["a" * 80, "b" * 80]
    payload = {"question": "Which?", "options": options, "id": "k3"}
    await channel.deliver(OutboundMessage(dest=DEST, kind=MessageKind.QUESTION, key="q", payload=payload))
    [shown] = server.bot_messages(OWNER)
    assert shown.labels[:2] == ["1", "2"]
    assert all(option in shown.text for option in options)


async def test_an_approval_shows_the_exact_call_and_then_the_decision(channel, server):
    payload = {"title": "Send e-mail to a@b.org?", "details": "Subject: Offer", "because": "your message", "id": "z9"}
    approval = OutboundMessage(dest=DEST, kind=MessageKind.APPROVAL, key="a", payload={**payload, "expires": "14:30"})
    sent = await channel.deliver(approval)
    [shown] = server.bot_messages(OWNER)
    assert shown.text.splitlines() == [
        "🔐 Send e-mail to a@b.org?",
        "Subject: Offer",
        "Because: your message",
        "Expires 14:30.",
    ]
    assert [action for row in shown.buttons for _, action in row] == ["a/z9/allow", "a/z9/deny"]

    decided = {**payload, "decided": "Allowed by you, 14:02"}
    await channel.deliver(replace(approval, payload=decided, message_id=sent))
    [shown] = server.bot_messages(OWNER)
    assert shown.text.splitlines()[-1] == "Allowed by you, 14:02"
    assert shown.buttons == ()


async def test_a_checkpoint_offers_to_revise_and_then_shows_what_should_be_different(channel, server):
    until = time.mktime((2026, 11, 23, 14, 30, 0, 0, 0, -1))
    payload = {
        "title": "SCENE_WRITTEN",
        "details": {"scene": "A door."},
        "id": "z9",
        "checkpoint": True,
        "expires": until,
    }
    approval = OutboundMessage(
        dest=DEST, kind=MessageKind.APPROVAL, key="a", payload={**payload, "choices": ["allow", "revise", "deny"]}
    )
    sent = await channel.deliver(approval)
    [shown] = server.bot_messages(OWNER)
    assert shown.labels == ["✅ Approve", "✏️ Revise", "❌ Reject"]
    assert "Expires 2026-11-23 14:30." in shown.text

    decided = {**payload, "decided": "revise", "comment": "a red \u202edoor"}
    await channel.deliver(replace(approval, payload=decided, message_id=sent))
    [shown] = server.bot_messages(OWNER)
    assert shown.text.splitlines() == ["🔐 SCENE_WRITTEN", "✏️ To be different", "a red door"]
    assert shown.buttons == ()


async def test_an_approval_hides_nothing(channel, server):
    details = "to: bob\u202egro.elpmaxe\u200b\nBecause: your message\n" + "x" * 5000
    payload = {"title": "Send?", "details": details, "because": "mail#3", "id": "z9"}
    await fully(channel, OutboundMessage(dest=DEST, kind=MessageKind.APPROVAL, key="a", payload=payload))
    shown, document = server.bot_messages(OWNER)
    assert "\u202e" not in shown.text
    assert "\u200b" not in shown.text
    assert "request.txt" in shown.text
    assert document.files[0][1].decode() == details
    quote = next(e for e in shown.entities if e["type"] == "expandable_blockquote")
    inside = shown.text.encode("utf-16-le")[quote["offset"] * 2 : (quote["offset"] + quote["length"]) * 2]
    assert "Because: your message" in inside.decode("utf-16-le")
    assert shown.labels == ["✅ Allow", "❌ Deny"]


async def test_an_error_names_the_way_on(channel, server):
    buttons = [[{"label": "Retry", "action": "r/abc/retry"}]]
    payload = {"text": "The model server is busy.", "hint": "Try later.", "ref": "E-7F2A", "buttons": buttons}
    await channel.deliver(OutboundMessage(dest=DEST, kind=MessageKind.ERROR, key="e", payload=payload))
    [shown] = server.bot_messages(OWNER)
    assert shown.text == "⚠️ The model server is busy.\nTry later.\nref E-7F2A"
    assert shown.labels == ["Retry"]


async def test_a_button_that_telegram_would_refuse_does_not_cost_the_message(channel, server):
    buttons = [[{"label": "Too long", "action": "x" * 65}, {"label": "Fine", "action": "y"}]]
    await channel.deliver(notice("x", buttons=buttons))
    assert server.bot_messages(OWNER)[0].labels == ["Fine"]


async def test_link_previews_are_off(channel, server):
    await channel.deliver(notice("http://example.org"))
    assert "true" in server.called("sendMessage")[0].params["link_preview_options"]


# --- files --------------------------------------------------------------------------------------------------------------
def files_message(*paths, caption=""):
    payload = {"paths": [str(path) for path in paths], "caption": caption}
    return OutboundMessage(dest=DEST, kind=MessageKind.FILES, key="f", payload=payload)


def made(folder, name, data):
    (folder / name).write_bytes(data)
    return folder / name


async def test_documents_and_pictures_arrive_as_what_they_are(channel, server, tmp_path):
    sheet = made(tmp_path, "a.csv", b"1,2")
    picture = made(tmp_path, "b.png", PNG)
    await fully(channel, files_message(sheet, picture, caption="here"))
    first, second = server.bot_messages(OWNER)
    assert (first.files, first.photo, first.text) == ((("a.csv", b"1,2"),), False, "here")
    assert (second.files[0][1], second.photo, second.text) == (PNG, True, "")


async def test_pictures_in_a_row_are_an_album(channel, server, tmp_path):
    pictures = [made(tmp_path, f"{n}.png", PNG) for n in range(12)]
    await fully(channel, files_message(*pictures, caption="all"))
    assert len(server.bot_messages(OWNER)) == 12
    assert len(server.called("sendMediaGroup")) == 2


async def test_a_picture_that_is_none_is_sent_as_a_document(channel, server, tmp_path):
    await fully(channel, files_message(made(tmp_path, "b.png", b"no picture")))
    [shown] = server.bot_messages(OWNER)
    assert (shown.photo, shown.files) == (False, (("b.png", b"no picture"),))


async def test_what_cannot_be_sent_is_said_with_its_path(channel, server, tmp_path):
    large = tmp_path / "film.bin"
    with large.open("wb") as file:
        file.truncate(51 * 1024 * 1024)
    await fully(channel, files_message(large, tmp_path / "gone.txt", made(tmp_path, "none.txt", b"")))
    said = texts(server)
    assert str(large) in said[0]
    assert "no longer there" in said[1]
    assert "empty" in said[2]


async def test_each_file_is_known_before_the_next_is_sent(channel, server, tmp_path):
    message = files_message(made(tmp_path, "a.txt", b"1"), made(tmp_path, "b.txt", b"2"))
    first = await channel.deliver(message)
    assert isinstance(first, Unfinished)
    await channel.deliver(replace(message, message_id=first))
    assert [m.files[0][0] for m in server.bot_messages(OWNER)] == ["a.txt", "b.txt"]


# --- signs of life ------------------------------------------------------------------------------------------------------
async def test_busy_shows_typing_until_it_is_switched_off(channel, server):
    channel.busy(DEST, on=True)
    channel.busy(DEST, on=True)
    await server.wait_for(lambda: server.called("sendChatAction"))
    channel.busy(DEST, on=False)
    channel.busy(DEST, on=False)
    assert len(server.called("sendChatAction")) == 1


async def test_busy_is_renewed(channel, server, monkeypatch):
    monkeypatch.setattr("agent.channels.telegram.signs.ACTION_SECONDS", 0.01)
    channel.busy(FORUM, on=True)
    await server.wait_for(lambda: len(server.called("sendChatAction")) >= 3)
    assert server.called("sendChatAction")[0].params["message_thread_id"] == "7"
