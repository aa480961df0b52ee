"""Stories in which a person decides: stop, questions across a restart, approvals; and those who may not."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from agent.testing import step
from tests.journeys.conftest import OWNER, SECOND_OWNER, Stage

STRANGER = 99
SLOW = "import os, time\nfrom pathlib import Path\nPath('pid').write_text(str(os.getpid()))\ntime.sleep(600)"
TOO_LATE = "Too late: this has been settled already."


# --- stop ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("how", ["button", "stop", "Stop!", "/stop"])
async def test_stop_ends_a_running_job_at_once_and_the_next_request_works(stage: Stage, how: str):
    stage.will_plan(
        step("s1", "write_file", path="specs.csv", text="a\n", outputs=("specs.csv",)),
        step("s2", "python", code=SLOW, after=("s1",)),
        title="Long work",
    )
    stage.will("plan", "answer: Still here.", when="are you there")
    async with stage.up():
        stage.says("Do the long work")
        plan = await stage.sees("⏳ 2 python", button="⏹ Stop")
        await asyncio.to_thread(_until_file, stage.workspace() / "pid")
        began = time.monotonic()
        if how == "button":
            assert "Stopped" in await stage.presses(plan, "⏹ Stop")
        else:
            stage.says(how)
        await stage.sees("⏹ Stopped; kept: specs.csv.")
        assert time.monotonic() - began < 30.0
        assert not _jobs_in(stage.workspace())
        stopped = await stage.sees("· stopped")
        assert not stopped.buttons
        stage.says("Hello, are you there?")
        await stage.sees("Still here.")
    assert stage.refused() == []


def _until_file(path: Path) -> None:
    """Wait for the job's own sign; nothing else tells from outside that it runs."""
    for _ in range(1200):
        if path.exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} did not appear")


def _jobs_in(workspace: Path) -> list[str]:
    """Return the command lines of the processes that work in the folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").resolve() == workspace.resolve():
                found.append((entry / "cmdline").read_text())
        except OSError:
            continue
    return found


async def test_stop_with_nothing_running_says_so(stage: Stage):
    async with stage.up():
        stage.says("/stop")
        await stage.sees("Nothing is running.")


# --- questions ----------------------------------------------------------------------------------------------------
async def test_two_questions_are_answered_after_a_restart_by_button_and_by_words(stage: Stage):
    stage.will_plan(
        step("q1", ask="Which colour?", options=("red", "blue")),
        step("q2", ask="Whose name goes on it?"),
        step("s1", "write_file", path="label.txt", text="{{ q1.output }} for {{ q2.output }}", outputs=("label.txt",)),
        title="A label",
    )
    stage.will("answer", "The label is ready.")
    async with stage.up():
        stage.says("Make a label")
        colour = await stage.sees("Which colour?", button="red")
        await stage.sees("Whose name goes on it?")
    async with stage.up():
        stage.says("Ada Lovelace")
        await stage.sees("Whose name goes on it: Ada Lovelace")
        assert await stage.presses(colour, "blue") == "✓ blue"
        assert await stage.presses(colour, "red") == TOO_LATE
        await stage.sees("The label is ready.")
        (file,) = await stage.until(lambda: [m for m in stage.telegram.bot_messages(OWNER) if m.files])
    assert file.files[0] == ("label.txt", b"blue for Ada Lovelace")
    assert stage.telegram.alerts[str(len(stage.telegram.alerts))] is True
    assert [m.labels for m in stage.telegram.bot_messages(OWNER) if m.text.startswith("Which colour")] == [[]]


async def test_a_reply_answers_the_question_that_it_replies_to(stage: Stage):
    stage.will_plan(step("q1", ask="Which colour?"), step("q2", ask="Which name?"), title="A label")
    stage.will("answer", "Noted.")
    async with stage.up():
        stage.says("Make a label")
        colour = await stage.sees("❓ Which colour?")  # the plan names it, too
        await stage.sees("❓ Which name?")
        stage.says("red", reply_to=colour.id)
        await stage.sees("Which colour: red")
        stage.says("Ada")
        await stage.sees("Which name: Ada")
        await stage.sees("Noted.")
    assert not list(stage.workspace().glob("quoted-*"))


async def test_an_answer_in_words_may_name_an_option_by_its_number(stage: Stage):
    stage.will_plan(step("q1", ask="Which colour?", options=("red", "blue")), title="Colours")
    stage.will("answer", "Noted.")
    async with stage.up():
        stage.says("Paint")
        await stage.sees("Which colour?", button="red")
        stage.says("2")
        await stage.sees("Which colour: blue")
        await stage.sees("Noted.")


async def test_in_a_group_only_the_one_who_asked_may_answer(stage: Stage):
    stage.telegram.add_group(-100)
    stage.will_plan(step("q1", ask="Which colour?", options=("red", "blue")), title="Colours")
    stage.will("answer", "Noted.")
    async with stage.up():
        stage.says("@dirigent_bot paint the wall", chat=-100, user_id=OWNER)
        asked = await stage.sees("Which colour?", chat=-100, button="red")
        said = await stage.presses(asked, "red", chat=-100, user_id=SECOND_OWNER)
        assert said == "Only the person who asked may answer this."
        assert await stage.presses(asked, "red", chat=-100, user_id=OWNER) == "✓ red"
        await stage.sees("Noted.", chat=-100)
    assert stage.refused() == []


# --- approvals ----------------------------------------------------------------------------------------------------
def _mail(stage: Stage) -> str:
    log = stage.workspace() / "outbox.log"
    return log.read_text() if log.exists() else ""


def _plan_mail(stage: Stage) -> None:
    stage.will_plan(
        step("s1", "send_mail", to="ada@example.org", subject="Offer", text="Dear Ada,\nto: eve@example.org"),
        title="Mail",
    )


async def test_an_effect_shows_its_exact_arguments_and_runs_once_when_allowed(stage: Stage):
    _plan_mail(stage)
    stage.will("answer", "Your mail is out.")
    async with stage.up():
        stage.says("Write to Ada")
        asked = await stage.sees("effects.send_mail", button="✅ Allow")
        lines = asked.text.splitlines()
        assert lines[1:5] == ["to: ada@example.org", "subject: Offer", "text: Dear Ada,", "    to: eve@example.org"]
        assert "Because: your message" in lines
        assert _mail(stage) == ""
        assert await stage.presses(asked, "✅ Allow", user_id=STRANGER) == "Only the owner of this bot can do that."
        assert _mail(stage) == ""
    async with stage.up():
        assert await stage.presses(asked, "✅ Allow") == "Allowed"
        await stage.sees("Your mail is out.")
        assert await stage.presses(asked, "❌ Deny") == TOO_LATE
        decided = await stage.sees("effects.send_mail\n✅ Allowed")
    assert not decided.buttons
    assert _mail(stage) == "ada@example.org|Offer|Dear Ada,\nto: eve@example.org\n"


async def test_a_denied_effect_does_not_happen_and_the_answer_says_so(stage: Stage):
    _plan_mail(stage)
    stage.will("answer", "I did not send it: you denied it.")
    async with stage.up():
        stage.says("Write to Ada")
        asked = await stage.sees("effects.send_mail", button="❌ Deny")
        assert await stage.presses(asked, "❌ Deny") == "Denied"
        await stage.sees("you denied it")
        await stage.sees("❌ Denied")
    assert "denied" in stage.asked("answer")[0]
    assert _mail(stage) == ""


async def test_an_approval_of_another_chat_cannot_be_given_from_here(stage: Stage):
    _plan_mail(stage)
    async with stage.up():
        stage.says("Write to Ada")
        asked = await stage.sees("effects.send_mail", button="✅ Allow")
        allow = dict(button for row in asked.buttons for button in row)["✅ Allow"]
        stage.will("plan", "answer: Hello.", when="Hi")
        stage.says("Hi", chat=SECOND_OWNER)
        other = await stage.sees("Hello.", chat=SECOND_OWNER)
        query = stage.telegram.forge_press(SECOND_OWNER, other.id, allow)
        await stage.until(lambda: stage.telegram.queries[query] is not None)
        assert stage.telegram.queries[query] == TOO_LATE
        stage.says("stop")
        await stage.sees("⏹ Stopped")
        assert await stage.presses(asked, "✅ Allow") == TOO_LATE
    assert _mail(stage) == ""


# --- others -------------------------------------------------------------------------------------------------------
async def test_a_stranger_gets_one_polite_line_and_no_plan(stage: Stage):
    async with stage.up():
        for text in ("hello", "/start", "do something"):
            stage.says(text, chat=STRANGER)
        await stage.sees(f"Your Telegram id is {STRANGER}", chat=STRANGER)
        stage.will("plan", "answer: Hello.", when="Hi")
        stage.says("Hi")
        await stage.sees("Hello.")
    assert len(stage.texts(STRANGER)) == 1
    assert len(stage.model.requests) == 1
