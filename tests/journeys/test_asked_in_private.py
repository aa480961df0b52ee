"""What a member's run wants to do outside is approved by an owner, in the owner's own private chat."""

from __future__ import annotations

import pytest

from agent.app import App
from agent.channels.pairing import make_code
from agent.domain.people import Role
from agent.execution import gathering
from agent.testing import step
from agent.testing.telegram_world import Shown
from tests.journeys.conftest import OWNER, SECOND_OWNER, Stage

FRIEND = 99
GROUP = -100
LATE = 120.0
TOLD = "🔐 effects.send_mail: I have asked an owner in private."
TOO_LATE = "Too late: this has been settled already."


async def let_in(stage: Stage, app: App) -> None:
    stage.telegram.add_group(GROUP)
    stage.says(f"/pair {await make_code(app.store, Role.MEMBER)}", chat=FRIEND)
    await stage.sees("an owner has to allow", chat=FRIEND, seconds=LATE)


def ask(stage: Stage, chat: int) -> None:
    mail = {"to": "ada@example.org", "subject": "Hi", "text": "secret words"}
    stage.will_plan(step("s1", "send_mail", title="Write to Ada", **mail), title="Mail")
    stage.will("answer", "It is done.")
    stage.says("@dirigent_bot write to Ada" if chat < 0 else "write to Ada", chat=chat, user_id=FRIEND)


def mails(stage: Stage, chat: int) -> str:
    log = stage.workspace(chat) / "outbox.log"
    return log.read_text() if log.exists() else ""


async def asked(stage: Stage, owner: int = OWNER) -> Shown:
    return await stage.sees("effects.send_mail", chat=owner, button="✅ Allow", seconds=LATE)


async def requested(stage: Stage, chat: int) -> Shown:
    """Return what the owner is asked, once the chat was told of it."""
    ask(stage, chat)
    request = await asked(stage)
    assert f"Asked by User {FRIEND} ({FRIEND})." in request.text
    assert "text: secret words" in request.text
    told = await stage.sees(TOLD, chat=chat, seconds=LATE)
    assert not told.buttons
    assert all("secret words" not in text for text in stage.texts(chat))
    assert mails(stage, chat) == ""
    return request


async def allowed(stage: Stage, request: Shown, chat: int) -> None:
    assert await stage.presses(request, "✅ Allow") == "Allowed"
    await stage.sees("It is done.", chat=chat, seconds=LATE)
    await stage.sees("✅ Allowed", chat=chat, seconds=LATE)
    decided = await stage.sees("✅ Allowed", seconds=LATE)
    assert not decided.buttons
    assert await stage.presses(request, "❌ Deny") == TOO_LATE
    assert mails(stage, chat) == "ada@example.org|Hi|secret words\n"


async def test_an_owner_allows_what_was_asked_for_in_a_group_from_the_owners_own_chat_also_after_a_restart(
    stage: Stage,
):
    stage.telegram.tolerated.append("chat not found")  # the second owner has not started the bot
    async with stage.up() as app:
        await let_in(stage, app)
        request = await requested(stage, GROUP)
    async with stage.up():
        await allowed(stage, request, GROUP)


async def test_an_owner_allows_what_a_member_asked_for_in_private(stage: Stage):
    stage.telegram.chat(SECOND_OWNER)
    async with stage.up() as app:
        await let_in(stage, app)
        await allowed(stage, await requested(stage, FRIEND), FRIEND)


async def test_each_owner_is_asked_and_the_first_word_counts(stage: Stage):
    stage.telegram.chat(SECOND_OWNER)
    async with stage.up() as app:
        await let_in(stage, app)
        ask(stage, GROUP)
        first, second = await asked(stage), await asked(stage, SECOND_OWNER)
        assert await stage.presses(second, "❌ Deny", chat=SECOND_OWNER) == "Denied"
        await stage.sees("❌ Denied", seconds=LATE)
        assert await stage.presses(first, "✅ Allow") == TOO_LATE
        await stage.sees("It is done.", chat=GROUP, seconds=LATE)
    assert mails(stage, GROUP) == ""


async def test_nobody_else_allows_it_and_no_other_message_of_the_owner_does(stage: Stage):
    stage.telegram.chat(SECOND_OWNER)
    async with stage.up() as app:
        await let_in(stage, app)
        ask(stage, GROUP)
        request = await asked(stage)
        told = await stage.sees(TOLD, chat=GROUP, seconds=LATE)
        allow = dict(button for row in request.buttons for button in row)["✅ Allow"]
        hello = await stage.sees("was let in as member", seconds=LATE)
        forged = [
            stage.telegram.forge_press(GROUP, told.id, allow, user_id=FRIEND),
            stage.telegram.forge_press(OWNER, hello.id, allow),
            stage.telegram.forge_press(FRIEND, stage.telegram.bot_messages(FRIEND)[0].id, allow),
        ]
        await stage.until(lambda: all(stage.telegram.queries[query] is not None for query in forged), LATE)
        said = [stage.telegram.queries[query] for query in forged]
        assert said == ["Only an owner may decide this.", TOO_LATE, "Only an owner may decide this."]
        stage.says("/stop", chat=GROUP, user_id=OWNER)
        await stage.sees("(stopped)", seconds=LATE)
    assert mails(stage, GROUP) == ""


async def test_where_no_owner_has_started_the_bot_the_request_stands_in_the_group(stage: Stage):
    stage.telegram.tolerated.append("chat not found")
    del stage.telegram.chats[OWNER]
    async with stage.up() as app:
        await let_in(stage, app)
        ask(stage, GROUP)
        request = await stage.sees("effects.send_mail", chat=GROUP, button="✅ Allow", seconds=LATE)
        assert await stage.presses(request, "✅ Allow", chat=GROUP, user_id=OWNER) == "Allowed"
        await stage.sees("It is done.", chat=GROUP, seconds=LATE)
    assert mails(stage, GROUP) == "ada@example.org|Hi|secret words\n"


async def test_an_owners_own_request_in_a_group_is_approved_there(stage: Stage):
    stage.telegram.add_group(GROUP)
    stage.will_plan(step("s1", "send_mail", to="ada@example.org", subject="Hi", text="x"), title="Mail")
    async with stage.up():
        stage.says("@dirigent_bot write to Ada", chat=GROUP, user_id=OWNER)
        await stage.sees("effects.send_mail", chat=GROUP, button="✅ Allow", seconds=LATE)
        assert stage.texts() == []


async def test_several_calls_of_a_member_are_one_message_to_the_owner(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gathering, "TOGETHER_SECONDS", 60.0)
    stage.telegram.chat(SECOND_OWNER)
    letters = [
        step(f"s{n}", "send_mail", title=f"Letter {n}", to=f"{name}@example.org", subject="Hi", text="secret words")
        for n, name in enumerate(("ada", "bob"), start=1)
    ]
    stage.will_plan(*letters, title="Letters")
    stage.will("answer", "It is done.")
    async with stage.up() as app:
        await let_in(stage, app)
        stage.says("@dirigent_bot write to both", chat=GROUP, user_id=FRIEND)
        request = await stage.sees("2 calls wait for your word", button="✅ Allow all", seconds=LATE)
        assert request.text.count(f"Asked by User {FRIEND} ({FRIEND}).") == 2
        await stage.sees("🔐 2 calls: I have asked an owner in private.", chat=GROUP, seconds=LATE)
        await stage.presses(request, "🔎 One by one")
        one = await stage.sees("(1 of 2)", button="✅ Allow", seconds=LATE)
        assert "✏️ Edit" not in one.labels  # what is typed for it would have to be typed in the group
        await stage.presses(one, "✅ Allow")
        two = await stage.sees("(2 of 2)", button="❌ Deny", seconds=LATE)
        await stage.presses(two, "❌ Deny")
        await stage.sees("It is done.", chat=GROUP, seconds=LATE)
        assert all("secret words" not in text for text in stage.texts(GROUP))
    assert mails(stage, GROUP) == "ada@example.org|Hi|secret words\n"
