"""A plan in the person's hands: details, changes in words and in fixed forms, messages while a run works."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.domain.messages import InboundMessage, MessageKind, OutboundMessage
from agent.domain.plan import PlanStep
from agent.domain.states import Status
from agent.testing import Bot, step
from plugins.api import tool


class Gate:
    """A tool that waits until the test lets it go, and one that sends; both note what they did."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.sent: list[str] = []
        self.open: dict[str, asyncio.Event] = {}
        self.changed = asyncio.Event()

    def tools(self) -> list[Callable[..., Any]]:
        @tool
        async def work(name: str) -> str:
            """Work for a while."""
            self._note(self.began, name)
            await self.open.setdefault(name, asyncio.Event()).wait()
            return f"did {name}"

        @tool(effect="once")
        async def send(name: str) -> str:
            """Send something."""
            self._note(self.sent, name)
            await self.open.setdefault(name, asyncio.Event()).wait()
            return f"sent {name}"

        return [work, send]

    def _note(self, where: list[str], name: str) -> None:
        where.append(name)
        self.changed.set()

    def let_go(self, *names: str) -> None:
        for name in names:
            self.open.setdefault(name, asyncio.Event()).set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not holds():
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def bot(tmp_path: Path, gate: Gate) -> AsyncIterator[Bot]:
    async with Bot(tmp_path, gate.tools()) as one:
        yield one


def three(**more: Any) -> list[PlanStep]:
    return [
        step("s1", "work", name="a"),
        step("s2", "work", name="b", after=("s1",)),
        step("s3", "work", name="c", after=("s1",), **more),
    ]


async def plan_of(bot: Bot) -> OutboundMessage:
    return (await bot.shown(MessageKind.PLAN))[-1]


async def press(bot: Bot, label: str, **fields: Any) -> str:
    for message in reversed(await bot.shown()):
        for row in message.payload.get("buttons", ()):
            for button in row:
                if label in button["label"]:
                    return await bot.presses(button["action"], **fields)
    raise AssertionError(f"nothing offers {label}")


async def until_shown(bot: Bot, kind: MessageKind, holds: Callable[[OutboundMessage], bool]) -> OutboundMessage:
    async with asyncio.timeout(60):
        while True:
            bot.app.store.outbox_changed.clear()
            for message in reversed(await bot.shown(kind)):
                if holds(message):
                    return message
            await bot.app.store.outbox_changed.wait()


async def begin(bot: Bot, gate: Gate, *steps: PlanStep, first: str = "a") -> None:
    bot.llm.will_plan(*steps, title="Three things")
    await bot.receives("do three things")
    await gate.until(lambda: first in gate.began + gate.sent)


# --- details --------------------------------------------------------------------------------------------------------
async def test_details_unfold_and_fold_while_the_run_goes_on(bot: Bot, gate: Gate):
    await begin(bot, gate, *three())
    await until_shown(bot, MessageKind.PLAN, lambda m: bool(m.payload["steps"]))
    assert await press(bot, "Details") == ""
    shown = await until_shown(bot, MessageKind.PLAN, lambda m: "details" in m.payload)
    assert shown.payload["details"][0].startswith('work(name="a")')
    assert [button["label"] for button in shown.payload["buttons"][0]] == ["⏹ Stop", "✏️ Change", "▴ Less"]
    await press(bot, "Less")
    await until_shown(bot, MessageKind.PLAN, lambda m: "details" not in m.payload)
    gate.let_go("a", "b", "c")
    bot.llm.will_answer("done")
    assert (await bot.answer()).status == "COMPLETED"
    assert not (await plan_of(bot)).payload.get("buttons")


# --- fixed forms ----------------------------------------------------------------------------------------------------
async def test_a_step_is_dropped_in_words_after_the_button(bot: Bot, gate: Gate):
    await begin(bot, gate, *three())
    await until_shown(bot, MessageKind.PLAN, lambda m: bool(m.payload["steps"]))
    assert await press(bot, "Change") == "What should be different?"
    await bot.receives("skip step 3")
    gate.let_go("a", "b")
    bot.llm.will_answer("two things done")
    answer = await bot.answer()
    assert answer.text == "two things done"
    assert gate.began == ["a", "b"]
    assert bot.statuses == {"s1": "COMPLETED", "s2": "COMPLETED", "s3": "CANCELLED"}
    (question,) = await bot.shown(MessageKind.QUESTION)
    assert question.payload["answered"] == "skip step 3"
    assert len(bot.llm.requests) == 2  # no new plan was asked for


async def test_a_running_step_that_is_dropped_is_cut_off_and_what_needs_its_result_is_left_out(bot: Bot, gate: Gate):
    plan = [
        step("s1", "work", name="a"),
        step("s2", "work", name="{{ s1.output }}", after=("s1",)),
        step("s3", "work", name="c"),
    ]
    await begin(bot, gate, *plan)
    await reply_to_plan(bot, "drop 1")
    gate.let_go("c")
    bot.llm.will_answer("c is done")
    await bot.answer()
    assert bot.statuses == {"s1": "CANCELLED", "s2": "CANCELLED", "s3": "COMPLETED"}


async def reply_to_plan(bot: Bot, words: str) -> None:
    plan = await until_shown(bot, MessageKind.PLAN, lambda m: bool(m.payload["steps"]))
    if not plan.message_id:
        await bot.app.store.mark_sent(plan.id, plan.version, "77")
    await bot.receives(words, reply_to="77")


async def test_what_is_being_sent_is_not_cut_off_and_that_is_said(bot: Bot, gate: Gate):
    bot.llm.will_plan(step("s1", "send", name="mail"), title="Mail")
    await bot.hears("send the mail")
    (asked,) = await bot.shown(MessageKind.APPROVAL)
    assert await bot.presses(f"a/{asked.payload['id']}/allow") == "Allowed"
    await gate.until(lambda: gate.sent == ["mail"])
    await reply_to_plan(bot, "drop step 1")
    await until_shown(bot, MessageKind.NOTICE, lambda m: "not cut off" in m.payload["text"])
    gate.let_go("mail")
    bot.llm.will_answer("sent")
    assert (await bot.answer()).status == "COMPLETED"
    assert gate.sent == ["mail"]


async def test_one_thing_is_used_instead_of_another_without_a_model_call(bot: Bot, gate: Gate):
    plan = [
        step("s1", "work", name="a"),
        step("s2", "work", name="sales", after=("s1",)),
        step("s3", "work", name="{{ s2.text }}", after=("s2",)),
    ]
    await begin(bot, gate, *plan)
    await reply_to_plan(bot, "use costs instead of sales")
    gate.let_go("a", "costs", "did costs")
    bot.llm.will_answer("costs it is")
    await bot.answer()
    assert gate.began == ["a", "costs", "did costs"]
    assert bot.statuses == {
        "s1": "COMPLETED",
        "s2": "CANCELLED",
        "s3": "CANCELLED",
        "s2_2": "COMPLETED",
        "s3_2": "COMPLETED",
    }
    assert len(bot.llm.requests) == 2


async def test_stop_after_a_step_leaves_the_rest_out(bot: Bot, gate: Gate):
    await begin(bot, gate, *three())
    await reply_to_plan(bot, "stop after 1")
    gate.let_go("a")
    bot.llm.will_answer("one thing")
    await bot.answer()
    assert gate.began == ["a"]
    assert bot.statuses == {"s1": "COMPLETED", "s2": "CANCELLED", "s3": "CANCELLED"}


# --- with a model ---------------------------------------------------------------------------------------------------
async def test_other_words_become_a_new_plan_and_what_runs_goes_on(bot: Bot, gate: Gate):
    await begin(bot, gate, *three())
    kept = three()[1]
    bot.llm.will_plan(kept, step("s4", "work", name="2024"))
    await reply_to_plan(bot, "also include 2024, and leave the last one")
    await gate.until(lambda: "2024" in gate.began)
    assert gate.began == ["a", "2024"]
    gate.let_go("a", "b", "2024")
    bot.llm.will_answer("with 2024")
    await bot.answer()
    assert bot.statuses == {"s1": "COMPLETED", "s2": "COMPLETED", "s3": "CANCELLED", "s4": "COMPLETED"}
    assert "also include 2024" in bot.llm.requests[1].messages[-1].content


async def test_when_the_model_cannot_change_the_plan_it_goes_on_as_it_was(bot: Bot, gate: Gate):
    await begin(bot, gate, *three())
    bot.llm.will_say("plan", "s9 nonsense(\nend")
    bot.llm.will_say("plan", "s9 nonsense(\nend")
    await reply_to_plan(bot, "make it nicer")
    await until_shown(bot, MessageKind.NOTICE, lambda m: "goes on as it was" in m.payload["text"])
    gate.let_go("a", "b", "c")
    bot.llm.will_answer("all three")
    assert (await bot.answer()).text == "all three"
    assert set(bot.statuses.values()) == {"COMPLETED"}


async def test_a_wish_while_a_question_waits_changes_the_plan(bot: Bot, gate: Gate):
    bot.llm.will_plan(step("s1", ask="Which?", options=("x", "y")), step("s2", "work", name="b"))
    gate.let_go("b")
    await bot.hears("ask me")
    bot.llm.will_answer("nothing to ask")
    await reply_to_plan(bot, "drop 1")
    answer = await bot.answer()
    assert answer.status == "COMPLETED"
    assert bot.statuses == {"s1": "CANCELLED", "s2": "COMPLETED"}
    assert await bot.question() is None


async def test_what_a_dropped_step_had_asked_is_taken_back(bot: Bot, gate: Gate):
    bot.llm.will_plan(step("s1", "send", name="mail"), step("s2", "work", name="b"))
    gate.let_go("b")
    await bot.hears("send the mail")
    (asked,) = await bot.shown(MessageKind.APPROVAL)
    bot.llm.will_answer("nothing sent")
    await reply_to_plan(bot, "drop 1")
    assert (await bot.answer()).text == "nothing sent"
    assert (await bot.presses(f"a/{asked.payload['id']}/allow")).startswith("Too late")
    assert gate.sent == []
    assert (await bot.shown(MessageKind.APPROVAL))[0].payload["decided"] == "deny"


# --- who may, and when ----------------------------------------------------------------------------------------------
async def test_a_member_may_not_change_an_owners_plan(bot: Bot, gate: Gate):
    await begin(bot, gate, *three())
    await until_shown(bot, MessageKind.PLAN, lambda m: bool(m.payload["steps"]))
    run = await bot.last_run()
    stranger = InboundMessage("test", "x1", bot.dest, "2", action=f"r/{run.ref}/change", trusted=False)
    assert await bot.app.reception.press(stranger) == "Only the person who asked may do that."
    stranger = replace(stranger, action="", text="drop 2", reply_to="77", update_id="x2")
    assert not await bot.app.reception.doors[-1].wish(stranger)
    gate.let_go("a", "b", "c")
    bot.llm.will_answer("done")
    await bot.answer()


async def test_words_that_come_when_the_run_is_over_become_a_request(bot: Bot, gate: Gate):
    await begin(bot, gate, *three())
    await until_shown(bot, MessageKind.PLAN, lambda m: bool(m.payload["steps"]))
    await press(bot, "Change")
    gate.let_go("a", "b", "c")
    bot.llm.will_answer("done")
    await bot.answer()
    (question,) = await bot.shown(MessageKind.QUESTION)
    assert question.payload["answered"] == "(no longer needed)"
    bot.llm.will_say("plan", "answer: Here is 2024.")
    assert (await bot.hears("also include 2024")).text == "Here is 2024."


# --- messages while a run works -------------------------------------------------------------------------------------
async def test_a_message_while_a_run_works_comes_next(bot: Bot, gate: Gate):
    await begin(bot, gate, *three())
    await until_shown(bot, MessageKind.PLAN, lambda m: bool(m.payload["steps"]))
    await bot.receives("and what is the weather?")
    offer = await until_shown(bot, MessageKind.NOTICE, lambda m: "comes next" in m.payload["text"])
    assert [b["label"] for b in offer.payload["buttons"][0]] == ["Use it in what I'm doing", "Do it afterwards"]
    await press(bot, "Do it afterwards")
    gate.let_go("a", "b", "c")
    bot.llm.will_answer("three done")
    bot.llm.will_say("plan", "answer: It rains.")
    assert (await bot.answer()).text == "It rains."
    runs = await bot.app.store.recent_runs(bot.dest.session_id)
    assert [(run.request, run.answer) for run in runs] == [
        ("and what is the weather?", "It rains."),
        ("do three things", "three done"),
    ]


async def test_the_button_goes_when_the_message_has_its_turn(bot: Bot, gate: Gate):
    await begin(bot, gate, *three())
    await until_shown(bot, MessageKind.PLAN, lambda m: bool(m.payload["steps"]))
    await bot.receives("and what is the weather?")
    offer = await until_shown(bot, MessageKind.NOTICE, lambda m: "buttons" in m.payload)
    gate.let_go("a", "b", "c")
    bot.llm.will_answer("three done")
    bot.llm.will_say("plan", "answer: It rains.")
    assert (await bot.answer()).text == "It rains."
    (notice,) = [m for m in await bot.shown(MessageKind.NOTICE) if m.key == offer.key]
    assert notice.payload == {"text": "I'm still at “Three things”; this comes next."}
    assert (await bot.presses(offer.payload["buttons"][0][0]["action"])).startswith("Too late")


async def test_a_message_while_a_run_works_is_used_in_it_when_the_button_says_so(bot: Bot, gate: Gate):
    await begin(bot, gate, *three())
    await until_shown(bot, MessageKind.PLAN, lambda m: bool(m.payload["steps"]))
    await bot.receives("drop 3")
    await until_shown(bot, MessageKind.NOTICE, lambda m: "comes next" in m.payload["text"])
    assert await press(bot, "Use it") == "Used in what I was doing."
    gate.let_go("a", "b")
    bot.llm.will_answer("two done")
    await bot.answer()
    runs = await bot.app.store.recent_runs(bot.dest.session_id)
    assert [(run.request, run.status) for run in runs] == [
        ("drop 3", Status.CANCELLED),
        ("do three things", Status.COMPLETED),
    ]
    assert gate.began == ["a", "b"]
