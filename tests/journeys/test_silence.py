"""Silence is impossible: a person sees at once that they were heard, and all the time that work goes on."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from agent.channels.telegram import signs
from agent.domain.messages import Destination, OutboundMessage
from agent.domain.run import Run
from agent.domain.states import Status
from agent.execution import live as live_plan
from agent.execution.live import LivePlan
from agent.planning.notation import render
from agent.testing import step
from agent.testing.openai_script import Answer
from agent.testing.openai_server import FakeOpenAI
from agent.testing.telegram_server import FakeTelegram
from tests.journeys.conftest import OWNER, SECOND_OWNER, Stage, settings

GROUP = -1001
LATE = 120.0


@pytest.fixture
def patient(telegram: FakeTelegram, model: FakeOpenAI, tmp_path: Path) -> Stage:
    """A stage whose model may think for a minute."""
    telegram.add_group(GROUP)
    llm = {"first_token_seconds": 90.0, "stall_seconds": 90.0, "tries": 1}
    return Stage(telegram, model, settings(tmp_path, telegram, model, llm=llm))


def acknowledged(stage: Stage, chat: int) -> list[float]:
    """Return when something was shown: "typing …", a look at a message, or words."""
    ways = ("sendChatAction", "setMessageReaction", "sendMessage")
    return sorted(call.at for way in ways for call in stage.telegram.called(way, chat))


async def test_an_acknowledgement_comes_within_a_second_also_when_the_planner_thinks(patient: Stage):
    patient.will("plan", *[Answer("answer: At last.", first_token_seconds=60.0)] * 3)
    took = []
    async with patient.up():
        patient.says("/help")  # the first message of a process pays for what is loaded then
        await patient.sees("/stop", seconds=LATE)
        for chat in (OWNER, SECOND_OWNER, GROUP):
            before = len(acknowledged(patient, chat))
            began = time.monotonic()
            patient.says("@dirigent_bot think hard", chat=chat, user_id=OWNER if chat < 0 else None)
            found = await patient.until(lambda chat=chat, before=before: acknowledged(patient, chat)[before:], LATE)
            took.append(found[0] - began)
            # nothing of the answer has come: it was not the model that broke the silence
            assert not [text for text in patient.texts(chat) if "At last." in text]
    assert min(took) < 1.0, took  # the others may have met a busy machine


async def test_the_plan_appears_before_its_first_step_and_fills(patient: Stage, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(live_plan, "SHOW_AFTER", 0.5)
    planned = asyncio.Event()
    patient.will("plan", Answer(render("Time", [step("s1", "now")]), gate=planned))
    patient.will("answer", "It is noon.")
    async with patient.up():
        patient.says("What time is it?")
        early = await patient.sees("I'm working out the steps.", button="⏹ Stop", seconds=LATE)
        assert early.text.startswith("🗺 What time is it?")
        planned.set()
        await patient.sees("It is noon.", seconds=LATE)
        whole = await patient.sees("✅ 1", seconds=LATE)
        assert whole.id == early.id
        assert "working out" not in whole.text
    assert patient.refused() == []


async def test_a_plan_without_steps_can_be_stopped(patient: Stage, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(live_plan, "SHOW_AFTER", 0.2)
    patient.will("plan", Answer("answer: Too late.", first_token_seconds=60.0))
    async with patient.up():
        patient.says("Think about everything")
        early = await patient.sees("I'm working out the steps.", button="⏹ Stop", seconds=LATE)
        assert "Stopped" in await patient.presses(early, "⏹ Stop")
        stopped = await patient.sees("· stopped", seconds=LATE)
        assert (stopped.id, stopped.labels) == (early.id, [])


async def test_no_plan_is_shown_beside_an_answer_that_grows(patient: Stage, monkeypatch: pytest.MonkeyPatch):
    plans: list[LivePlan] = []

    class Watched(LivePlan):
        def __init__(self, *given: Any, **more: Any) -> None:
            super().__init__(*given, **more)
            plans.append(self)

    monkeypatch.setattr("agent.lifecycle.LivePlan", Watched)
    words = "It is a long story. " * 40
    patient.will("plan", Answer(f"answer: {words}The end.", tokens_per_second=60.0))
    async with patient.up():
        patient.says("Tell me a story")
        await patient.until(lambda: sent(patient, "It is a long story"), LATE)
        (plan,) = plans
        assert "The end." not in str(patient.texts())
        assert plan._soon is not None
        assert plan._soon.cancelled()  # however long the answer grows from here
        await patient.sees("The end.", seconds=LATE)
    assert not sent(patient, "🗺")


def sent(stage: Stage, text: str) -> list[str]:
    """Return the messages that were sent with these words, whatever has become of them."""
    return [str(call.params) for call in stage.telegram.called("sendMessage", OWNER) if text in str(call.params)]


def test_the_chat_action_is_renewed_before_it_fades():
    assert 4.0 <= signs.ACTION_SECONDS <= 5.0  # Telegram shows one for five seconds


class Posted:
    """A bot that keeps what it was given."""

    def __init__(self) -> None:
        self.messages: list[OutboundMessage] = []

    async def post(self, message: OutboundMessage) -> None:
        self.messages.append(message)

    def busy(self, dest: Destination, *, on: bool) -> None:
        pass


async def test_a_long_step_that_says_nothing_is_said_to_go_on_and_what_it_says_comes_first():
    plan = LivePlan(Posted(), Run("s", "Work", Destination("test", "1", language="de"), id=1), lambda: 0.0)
    work = step("s1", "python", code="x")
    plan.changed(work, None)
    assert plan.message().payload["steps"][0]["note"] == ""
    plan._timing["s1"].began = time.time() - 75
    assert plan.message().payload["steps"][0]["note"] == "noch dabei, 1:15"
    plan.progress("s1", "reading", 2, 3)
    assert plan.message().payload["steps"][0]["note"] == "reading 2 of 3"
    assert plan.message().payload["steps"][0]["status"] == Status.RUNNING
    await plan.stop()
