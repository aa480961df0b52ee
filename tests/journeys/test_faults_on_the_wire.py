"""Whatever goes wrong between Telegram and us: each request is answered exactly once, and nobody else waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from loguru import logger

from agent.testing import step
from tests.journeys.conftest import OWNER, SECOND_OWNER, Stage

GROUP = -1001
SUPER = -1002
LATE = 120.0
NOT_FOUND = "Bad Request: message to edit not found"
MODIFIED = (
    "Bad Request: message is not modified: specified new message content and reply markup are exactly the same as a "
    "current content and reply markup of the message"
)
ENTITIES = "Bad Request: can't parse entities: Unsupported start tag"
TOO_MANY = "Too Many Requests: retry after {}"


@pytest.fixture
def log() -> Iterator[list[str]]:
    """What the operator reads."""
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), level="WARNING")
    yield lines
    logger.remove(sink)


def answers(stage: Stage, text: str, chat: int = OWNER) -> int:
    return stage.texts(chat).count(text)


# --- one call goes wrong ------------------------------------------------------------------------------------------
FAULTS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "bad gateway": [("sendMessage", {"kind": "error", "code": 502, "description": "Bad Gateway"})],
    "server error after it was done": [("sendMessage", {"kind": "error_after", "code": 500})],
    "dropped before": [("sendMessage", {"kind": "drop_before"})],
    "dropped after": [("sendMessage", {"kind": "drop_after"}), ("editMessageText", {"kind": "drop_after"})],
    "garbage before": [("sendMessage", {"kind": "garbage"}), ("editMessageText", {"kind": "garbage"})],
    "garbage after": [("sendMessage", {"kind": "garbage_after"}), ("editMessageText", {"kind": "garbage_after"})],
    "slow": [
        ("sendMessage", {"kind": "delay", "seconds": 1.5}),
        ("editMessageText", {"kind": "delay", "seconds": 1.5}),
    ],
    "flood": [
        ("sendMessage", {"kind": "error", "code": 429, "description": TOO_MANY.format(1), "retry_after": 1}),
        ("editMessageText", {"kind": "error", "code": 429, "description": TOO_MANY.format(1), "retry_after": 1}),
    ],
    "edited in vain": [("editMessageText", {"kind": "error", "code": 400, "description": MODIFIED})],
    "to edit not found": [("editMessageText", {"kind": "error", "code": 400, "description": NOT_FOUND})],
    "too old to edit": [
        ("editMessageText", {"kind": "error", "code": 400, "description": "Bad Request: message can't be edited"})
    ],
    "formatting": [("editMessageText", {"kind": "error", "code": 400, "description": ENTITIES})],
    "too long": [
        ("editMessageText", {"kind": "error", "code": 400, "description": "Bad Request: MESSAGE_TOO_LONG"}),
    ],
    "no reactions and no typing": [
        ("sendChatAction", {"kind": "error", "code": 400, "description": "Bad Request: CHAT_ACTION_INVALID"}),
        ("setMessageReaction", {"kind": "error", "code": 400, "description": "Bad Request: REACTION_INVALID"}),
    ],
    "polls": [
        ("getUpdates", {"kind": "garbage"}),
        ("getUpdates", {"kind": "drop_after"}),
        ("getUpdates", {"kind": "error", "code": 500}),
        ("getUpdates", {"kind": "error", "code": 429, "description": TOO_MANY.format(1), "retry_after": 1}),
    ],
}


@pytest.mark.parametrize("what", FAULTS)
async def test_a_call_that_goes_wrong_costs_no_answer_and_doubles_none(stage: Stage, what: str):
    stage.will("plan", "answer: It is **fine**.", "answer: And still.")
    for method, fault in FAULTS[what]:
        stage.telegram.fail(method, **fault)
    async with stage.up():
        stage.says("How is it?")
        await _answered(stage, "It is fine.", what)
        stage.says("And now?")
        await stage.sees("And still.", seconds=LATE)
    assert answers(stage, "And still.") == 1


async def _answered(stage: Stage, text: str, what: str) -> None:
    if what == "edited in vain":  # the server says that it is there already: there is nothing more to do
        await stage.until(lambda: stage.telegram.called("editMessageText", OWNER), LATE)
        return

    def whole() -> list[str]:
        shown = stage.telegram.bot_messages(OWNER)
        return [m.text for m in shown if text in (m.text, *(data.decode().replace("*", "") for _, data in m.files))]

    await stage.until(whole, LATE)
    assert len(whole()) == 1


async def test_flood_control_in_one_chat_holds_up_no_other(stage: Stage):
    stage.will("plan", "answer: Slowly.", when="slow")
    stage.will("plan", "answer: At once.", when="quick")
    wait = {"code": 429, "description": TOO_MANY.format(4), "retry_after": 4}
    stage.telegram.fail("sendMessage", "error", chat=OWNER, **wait)
    async with stage.up():
        stage.says("slow")
        await stage.until(lambda: stage.telegram.called("sendMessage", OWNER))
        stage.says("quick", chat=SECOND_OWNER)
        await stage.sees("At once.", chat=SECOND_OWNER)
        assert answers(stage, "Slowly.") == 0
        await stage.sees("Slowly.", seconds=LATE)
    refused, again = [call.at for call in stage.telegram.called("sendMessage", OWNER)][:2]
    assert again - refused >= 4
    assert (answers(stage, "Slowly."), answers(stage, "At once.", SECOND_OWNER)) == (1, 1)


async def test_a_question_whose_sending_is_in_doubt_is_asked_again_and_says_so(stage: Stage):
    stage.will_plan(step("q", ask="Which colour?", options=("red", "blue")), title="Paint")
    stage.will("answer", "Painted.")
    stage.telegram.fail("sendMessage", "drop_after", text="❓ Which colour?\nJust")
    async with stage.up():
        stage.says("Paint it")
        asked = await stage.sees("(Asked again after an interruption.)", button="red", seconds=LATE)
        assert await stage.presses(asked, "red") == "✓ red"
        await stage.sees("Painted.", seconds=LATE)
    assert answers(stage, "Painted.") == 1


async def test_a_file_that_telegram_finds_too_large_is_named_with_its_place(stage: Stage):
    stage.will_plan(step("s1", "write_file", path="a.bin", text="x", outputs=("a.bin",)), title="Work")
    stage.will("answer", "It is written.")
    stage.telegram.fail("sendDocument", "error", code=413, description="Request Entity Too Large")
    async with stage.up():
        stage.says("Write a file")
        told = await stage.sees("Telegram does not take", seconds=LATE)
    assert "/delivered/" in told.text
    assert len(stage.telegram.called("sendDocument", OWNER)) == 1


# --- chats change under a run -------------------------------------------------------------------------------------
async def working(stage: Stage, chat: int, *, question: str = "Which colour?", **where: Any) -> None:
    """Have a run wait for an answer in a chat."""
    stage.will_plan(step("q", ask=question, options=("red", "blue")), title="Paint", when="paint")
    stage.will("answer", "Painted.", when="paint")
    stage.says("@dirigent_bot paint it" if chat < 0 else "paint it", chat=chat, user_id=OWNER, **where)
    await stage.sees(question, chat=chat, button="red", seconds=LATE, **where)


async def answer_elsewhere(app: Any, option: int = 0) -> None:
    """Answer the open question without the chat."""
    sessions = [run.session_id for run in await app.store.unfinished_runs()]
    (question,) = await app.store.open_questions(sessions[0])
    await app.orchestrator.answer_question(question.id, question.options[option], str(OWNER))


@pytest.mark.parametrize("how", ["closed", "deleted"])
async def test_a_topic_that_goes_away_gets_its_answer_in_the_chat(stage: Stage, how: str):
    chat = stage.telegram.add_group(GROUP, topics=(5,))
    stage.telegram.tolerated += ["TOPIC_CLOSED", "message thread not found"]
    async with stage.up() as app:
        await working(stage, GROUP, thread=5)
        if how == "closed":
            chat.closed_topics.add(5)
        else:
            chat.topics.discard(5)
        await answer_elsewhere(app)
        await stage.sees("Painted.", chat=GROUP, seconds=LATE)
    assert answers(stage, "Painted.", GROUP) == 1


async def test_a_bot_that_is_thrown_out_of_a_group_answers_when_it_is_back(stage: Stage):
    stage.telegram.add_group(GROUP)
    stage.telegram.tolerated.append("kicked from the supergroup chat")
    stage.will("plan", "answer: Here I am.", when="there")
    async with stage.up() as app:
        await working(stage, GROUP)
        stage.telegram.bot_is_thrown_out(GROUP, by=SECOND_OWNER)
        await answer_elsewhere(app)
        await app.engine.idle()
        stage.says("Are you there?")
        await stage.sees("Here I am.", seconds=LATE)
        assert answers(stage, "Painted.", GROUP) == 0
        stage.telegram.chat(GROUP).blocked = False
        stage.telegram.bot_joins(GROUP, by=OWNER)
        await stage.sees("Painted.", chat=GROUP, seconds=LATE)
    assert answers(stage, "Painted.", GROUP) == 1


async def test_a_group_that_becomes_a_supergroup_gets_its_answer_there(stage: Stage):
    old = stage.telegram.add_group(GROUP)
    stage.telegram.tolerated += ["group chat was upgraded to a supergroup chat", "message to edit not found"]
    async with stage.up() as app:
        await working(stage, GROUP)
        stage.telegram.add_group(SUPER)
        old.migrated_to = SUPER
        await answer_elsewhere(app)
        await stage.sees("Painted.", chat=SUPER, seconds=LATE)
        stage.will("plan", "answer: It is the same chat.", when="know")
        stage.says("@dirigent_bot do you know?", chat=SUPER, user_id=OWNER)
        await stage.sees("It is the same chat.", chat=SUPER, seconds=LATE)
    assert answers(stage, "Painted.", SUPER) == 1


@pytest.mark.parametrize(
    ("code", "description"),
    [
        (403, "Forbidden: bot was blocked by the user"),
        (403, "Forbidden: user is deactivated"),
        (400, "Bad Request: chat not found"),
        (400, "Bad Request: not enough rights to send text messages to the chat"),
        (400, "Bad Request: CHAT_WRITE_FORBIDDEN"),
    ],
)
async def test_a_chat_that_may_not_be_written_to_costs_one_call_and_gets_all_once_it_may(
    stage: Stage, code: int, description: str
):
    stage.will("plan", "answer: First.", when="one")
    stage.will("plan", "answer: Second.", when="two")
    stage.telegram.fail("sendMessage", "error", code=code, description=description)
    async with stage.up() as app:
        stage.says("one")
        await stage.until(lambda: stage.telegram.called("sendMessage", OWNER))
        await app.engine.idle()
        stage.says("two")  # who speaks to the bot may be spoken to
        await stage.sees("Second.", seconds=LATE)
        await stage.sees("First.", seconds=LATE)
    assert (answers(stage, "First."), answers(stage, "Second.")) == (1, 1)


async def test_a_plan_that_somebody_deletes_is_shown_anew(stage: Stage):
    stage.telegram.tolerated += ["message to edit not found"]
    async with stage.up() as app:
        await working(stage, OWNER)
        plan = await stage.sees("🗺 Paint")
        stage.telegram.user_deletes(OWNER, plan.id)
        await answer_elsewhere(app)
        await stage.sees("Painted.", seconds=LATE)
        anew = await stage.sees("✅ 1", seconds=LATE)
    assert anew.id != plan.id
    assert stage.telegram.called("editMessageReplyMarkup", OWNER) == []  # there are no buttons left to take away


async def test_a_request_that_is_deleted_is_answered_all_the_same(stage: Stage):
    async with stage.up() as app:
        await working(stage, OWNER)
        for message in stage.telegram.messages(OWNER):
            if not message.from_bot:
                stage.telegram.user_deletes(OWNER, message.id)
        await answer_elsewhere(app)
        await stage.sees("Painted.", seconds=LATE)
    assert answers(stage, "Painted.") == 1


# --- the bot itself -----------------------------------------------------------------------------------------------
async def test_a_second_poller_is_named_to_the_operator_and_outlived(stage: Stage, log: list[str]):
    other = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
    stage.will("plan", "answer: Still here.")
    stage.telegram.fail("getUpdates", "error", times=3, code=409, description=other)
    async with stage.up():
        stage.says("Are you there?")
        await stage.sees("Still here.", seconds=LATE)
    assert any("Another program polls with this bot's token" in line for line in log)


def unauthorized(stage: Stage) -> set[str]:
    return {call.method for call in stage.telegram.calls if "401" in call.outcome}


async def test_a_token_that_is_revoked_is_said_to_the_operator_and_nothing_is_lost(stage: Stage, log: list[str]):
    async with stage.up() as app:
        await working(stage, OWNER)
        token, stage.telegram.token = stage.telegram.token, "4711:another-token"
        stage.telegram.tolerated.append("401 Unauthorized")
        await answer_elsewhere(app)
        stage.says("/status")
        await stage.until(lambda: {"getUpdates", "editMessageText"} <= unauthorized(stage), LATE)
        stage.telegram.token = token
        await stage.sees("Painted.", seconds=LATE)
        await stage.sees("Open requests here", seconds=LATE)
    assert answers(stage, "Painted.") == 1
    assert any("no longer accepts the bot's token" in line for line in log)
    assert not any(token.partition(":")[2] in line for line in log)
