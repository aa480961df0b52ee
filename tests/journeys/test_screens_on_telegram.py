"""A journey for each screen of the chat over the wire; the wire itself is judged at the end of each (see conftest).

Elsewhere: /start and languages (test_telegram_languages), the live plan, change and details (test_plan_on_telegram),
questions, stop, allow and deny (test_telegram_people), groups, topics, over-size files (test_telegram_rooms), /users and
pairing (test_telegram_ways_in), forms (test_forms), owners asked in private (test_asked_in_private), memory in detail
(test_memory_in_chat).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.testing import step
from agent.testing.openai_script import Answer
from agent.testing.openai_server import FakeOpenAI
from agent.testing.telegram_server import FakeTelegram
from tests.journeys.conftest import OWNER, SECOND_OWNER, Stage, settings

LATE = 120.0
TOO_LATE = "Too late: this has been settled already."
LONG = "import time\nfrom pathlib import Path\nPath('started').touch()\ntime.sleep(60)"
PICTURE = (
    "import base64\n"
    "dot = base64.b64decode('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==')\n"
    "for n in range(3):\n    open(f'{n}.png', 'wb').write(dot)\n"
    "open('table.csv', 'w').write('a,b')\n"
)


# --- questions ----------------------------------------------------------------------------------------------------
def ask(stage: Stage) -> None:
    stage.will_plan(
        step("q", ask="Which colour?", options=("red", "blue")),
        step("s1", "write_file", path="c.txt", text="{{ q.output }}", outputs=("c.txt",)),
        title="Colour",
    )
    stage.will("answer", "It is painted.")


@pytest.mark.parametrize(("button", "kept"), [("You decide", "(you decide)"), ("Skip", "(skipped)")])
async def test_a_question_is_left_to_the_bot_or_skipped(stage: Stage, button: str, kept: str):
    ask(stage)
    async with stage.up():
        stage.says("Paint the wall")
        asked = await stage.sees("Which colour?", button="red", seconds=LATE)
        assert await stage.presses(asked, button) == f"✓ {kept}"
        answered = await stage.sees(f"Which colour: {kept}", seconds=LATE)
        assert (answered.id, answered.labels) == (asked.id, [])
        await stage.sees("It is painted.", seconds=LATE)
    assert (stage.workspace() / "c.txt").read_text() == kept


async def test_a_question_is_answered_days_later_after_restarts(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    ask(stage)
    async with stage.up():
        stage.says("Paint the wall")
        asked = await stage.sees("Which colour?", button="red", seconds=LATE)
    async with stage.up():
        pass
    import time

    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 6 * 86_400)
    async with stage.up():
        assert await stage.presses(asked, "blue") == "✓ blue"
        await stage.sees("It is painted.", seconds=LATE)
    assert (stage.workspace() / "c.txt").read_text() == "blue"


# --- approvals ----------------------------------------------------------------------------------------------------
def mail(stage: Stage, *names: str) -> None:
    """Plan letters with words that the person has not said, so that consent is asked for."""
    letters = [
        step(
            f"s{n}",
            "send_mail",
            to=f"{name}@example.org",
            subject="Hi",
            text="Dear all",
            after=(f"s{n - 1}",) * (n > 1),
        )
        for n, name in enumerate(names, start=1)
    ]
    stage.will_plan(*letters, title="Letters")
    stage.will("answer", "That was all.")


async def test_an_approval_expires_into_a_denial_and_a_tap_comes_too_late(stage: Stage):
    stage.config = stage.config.model_copy(
        update={"limits": stage.config.limits.model_copy(update={"approval_seconds": 2.0})}
    )
    mail(stage, "ada")
    async with stage.up():
        stage.says("Do it")
        asked = await stage.sees("effects.send_mail", button="✅ Allow", seconds=LATE)
        assert "Expires" in asked.text
        await stage.sees("That was all.", seconds=LATE)
        assert await stage.presses(asked, "✅ Allow") == TOO_LATE
        assert stage.telegram.alerts[str(len(stage.telegram.alerts))] is True
        closed = await stage.until(
            lambda: next(m for m in stage.telegram.bot_messages(OWNER) if m.id == asked.id), LATE
        )
        assert not closed.buttons
    assert not (stage.workspace() / "outbox.log").exists()


async def test_a_second_owner_may_allow_in_a_group_and_is_named(stage: Stage):
    group = -100
    stage.telegram.add_group(group)
    mail(stage, "ada")
    async with stage.up():
        stage.says("@dirigent_bot do it", chat=group, user_id=OWNER)
        asked = await stage.sees("effects.send_mail", chat=group, button="✅ Allow", seconds=LATE)
        assert await stage.presses(asked, "✅ Allow", chat=group, user_id=SECOND_OWNER) == "Allowed"
        await stage.sees("That was all.", chat=group, seconds=LATE)
        await stage.sees("✅ Allowed", chat=group, seconds=LATE)


# --- after the end ------------------------------------------------------------------------------------------------
async def test_a_stopped_request_is_resumed_and_its_files_can_be_discarded(stage: Stage):
    stage.will_plan(
        step("s1", "write_file", path="specs.csv", text="a\n", outputs=("specs.csv",)),
        step("s2", "python", code=LONG, after=("s1",)),
        title="Long work",
    )
    async with stage.up():
        stage.says("Do the long work")
        plan = await stage.sees("⏳ 2", button="⏹ Stop", seconds=LATE)
        await stage.presses(plan, "⏹ Stop")
        stopped = await stage.sees("⏹ Stopped; kept: specs.csv", button="▶ Resume", seconds=LATE)
        assert await stage.presses(stopped, "▶ Resume") == "Going on with it."
        again = await stage.sees("⏳ 2", button="⏹ Stop", seconds=LATE)
        assert "✅ 1" in again.text
        stage.says("stop")
        stopped = await stage.sees("⏹ Stopped; kept: specs.csv", button="🗑 Discard", seconds=LATE)
        await stage.presses(stopped, "🗑 Discard")
        which = await stage.sees("Files to remove: specs.csv", button="🗑 Remove them", seconds=LATE)
        assert await stage.presses(which, "🗑 Remove them") == "Removed: specs.csv"
        await stage.sees("Removed: specs.csv", seconds=LATE)
    assert not (stage.workspace() / "specs.csv").exists()


async def test_what_failed_is_retried_and_done_with_another_model(stage: Stage):
    stage.model.models.append({"id": "other-model"})
    for _ in range(4):
        stage.will("plan", Answer(status=503))
    async with stage.up():
        stage.says("What is it?")
        failed = await stage.sees("⚠️", button="Use another model", seconds=LATE)
        assert "ref E-" in failed.text
        await stage.presses(failed, "🔄 Retry")
        first = failed.id
        (failed,) = await stage.until(lambda: [m for m in _all(stage) if m.id > first and "⚠️" in m.text], LATE)
        await stage.presses(failed, "Use another model")
        which = await stage.sees("Which model?", button="other-model", seconds=LATE)
        stage.will("plan", "answer: It is a bird.")
        await stage.presses(which, "other-model")
        await stage.sees("It is a bird.", seconds=LATE)
    assert stage.model.requests[-1]["model"] == "other-model"


async def test_an_answer_comes_with_an_album_and_a_document_and_says_more(stage: Stage):
    names = ("0.png", "1.png", "2.png", "table.csv")
    stage.will_plan(step("s1", "python", code=PICTURE, outputs=names), title="Pictures")
    stage.will("answer", "Here they are.", "Much more about them.")
    stage.will_plan(step("s1", "now"), title="More")
    async with stage.up():
        stage.says("Draw three dots")
        answer = await stage.sees("Here they are.", button="➕ More detail", seconds=LATE)
        files = await stage.until(
            lambda: f if len(f := [m for m in stage.telegram.bot_messages(OWNER) if m.files]) == 4 else None, LATE
        )
        assert [m.photo for m in files] == [True, True, True, False]
        assert len(stage.telegram.called("sendMediaGroup", OWNER)) == 1
        assert await stage.presses(answer, "➕ More detail") == "Going on with it."
        await stage.sees("Much more about them.", seconds=LATE)


# --- standing screens ---------------------------------------------------------------------------------------------
async def test_files_plan_status_plugins_and_more(stage: Stage):
    stage.will_plan(step("s1", "write_file", path="a.txt", text="x"), title="Work")
    stage.will("answer", "It is written.")
    async with stage.up():
        for command, words in (
            ("/plan", "There is no plan yet."),
            ("/files", "There are no files here yet."),
            ("/more", "There are no more commands"),
        ):
            stage.says(command)
            await stage.sees(words, seconds=LATE)
        stage.says("Write a file")
        await stage.sees("It is written.", seconds=LATE)
        stage.says("/plan")
        shown = await stage.sees("🗺 Work (completed)", seconds=LATE)
        assert "1. write_file" in shown.text
        stage.says("/files")
        await stage.sees("`a.txt`", seconds=LATE)
        stage.says("/status")
        status = await stage.sees("Open requests here: 0", seconds=LATE)
        assert "Model: fake-model" in status.text
        stage.says("/plugins")
        plugins = await stage.sees("🧩 effects: send_mail 🔐", seconds=LATE)
        assert "🧩 files: " in plugins.text or "▶" in "".join(plugins.labels)


async def test_plugins_names_what_is_broken_and_only_owners_see_it(stage: Stage):
    (stage.config.folder / "plugins" / "broken.py").write_text("def f(:\n")
    stage.telegram.add_group(-100)
    async with stage.up() as app:
        from agent.domain.people import Person, Role

        await app.store.put_person(Person("telegram", "99", "Friend", Role.MEMBER))
        stage.says("/plugins")
        shown = await stage.sees("⚠️ broken: could not be loaded", seconds=LATE)
        assert shown.text.startswith("⚠️ broken")
        stage.says("/plugins", chat=99)
        await stage.sees("Only an owner may decide this.", chat=99, seconds=LATE)
        assert "effects" not in "".join(stage.texts(99))


async def test_memory_is_one_message_edited_with_its_file_exported(stage: Stage):
    stage.will_plan(step("s1", "remember", text="I like tea"), title="Remember")
    stage.will("answer", "Remembered.")
    async with stage.up():
        stage.says("Remember that I like tea")
        await stage.sees("Remembered.", seconds=LATE)
        stage.says("/memory")
        listed = await stage.sees("1. I like tea", button="✏️ 1", seconds=LATE)
        await stage.presses(listed, "📄 As a file")
        (file,) = await stage.until(lambda: [m for m in stage.telegram.bot_messages(OWNER) if m.files], LATE)
        assert b"I like tea" in file.files[0][1]
        await stage.presses(listed, "✏️ 1")
        await stage.sees("What should it say instead?", seconds=LATE)
        stage.says("I like coffee")
        changed = await stage.sees("1. I like coffee", seconds=LATE)
        assert changed.id == listed.id
        await stage.presses(changed, "🗑 Forget all")
        sure = await stage.sees("Forget everything?", button="🗑 Yes, all of it", seconds=LATE)
        assert await stage.presses(sure, "🗑 Yes, all of it") == "Forgotten."
        gone = await stage.sees("I remember nothing yet.", seconds=LATE)
        assert gone.id == listed.id


async def test_a_schedule_is_confirmed_listed_paused_and_deleted(stage: Stage):
    async with stage.up() as app:
        stage.says("every Friday at 9 tell me the news")
        asked = await stage.sees("Shall I?", button="Yes", seconds=LATE)
        assert await stage.presses(asked, "Yes") == "Set"
        stage.says("/schedules")
        listed = await stage.sees("1. every Friday at 9:00", seconds=LATE)
        pause = next(label for label in listed.labels if "⏸" in label)
        await stage.presses(listed, pause)
        paused = await stage.sees("paused", seconds=LATE)
        assert paused.id == listed.id
        await stage.presses(paused, next(label for label in paused.labels if "🗑" in label))
        await stage.until(lambda: all("every Friday" not in m.text or not m.buttons for m in _all(stage)), LATE)
        assert await app.store.triggers() == []


def _all(stage: Stage) -> list:
    return stage.telegram.bot_messages(OWNER)


async def test_settings_are_one_message_in_the_language_that_is_chosen(stage: Stage):
    async with stage.up():
        stage.says("/settings")
        shown = await stage.sees("Language of buttons", button="✓ English", seconds=LATE)
        assert await stage.presses(shown, "Deutsch") == "Deutsch"
        german = await stage.sees("Sprache", button="✓ Deutsch", seconds=LATE)
        assert german.id == shown.id


# --- places -------------------------------------------------------------------------------------------------------
async def test_a_topic_of_a_private_chat_is_a_conversation_of_its_own(stage: Stage):
    stage.telegram.chat(OWNER).topics |= {7, 8}
    stage.will_plan(step("s1", "write_file", path="plan.txt", text="x"), title="Write", when="note it")
    stage.will("answer", "Noted in seven.", when="note it")
    async with stage.up():
        stage.says("note it", thread=7)
        await stage.sees("Noted in seven.", thread=7, seconds=LATE)
        stage.says("/files", thread=8)
        await stage.sees("There are no files here yet.", thread=8, seconds=LATE)
        stage.says("/files", thread=7)
        await stage.sees("plan.txt", thread=7, seconds=LATE)
    assert {m.thread for m in _all(stage)} == {7, 8}


async def test_without_a_model_the_bot_still_answers_what_it_can(
    telegram: FakeTelegram, model: FakeOpenAI, tmp_path: Path
):
    stage = replace(Stage(telegram, model, settings(tmp_path, telegram, None)))
    async with stage.up():
        stage.says("what is 2 * 21?")
        await stage.sees("42", seconds=LATE)
