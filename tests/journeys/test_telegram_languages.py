"""A person is spoken to in their language, from the first hello to the last button."""

from __future__ import annotations

from pathlib import Path

from agent.testing import step
from agent.testing.openai_server import FakeOpenAI
from agent.testing.telegram_server import FakeTelegram
from tests.journeys.conftest import OWNER, Stage, settings


async def test_a_german_story_has_german_buttons_notices_and_refusals(stage: Stage):
    stage.will_plan(
        step("q", ask="Welche Farbe?", options=("rot", "blau")),
        step("s1", "send_mail", to="ada@example.org", subject="Angebot", text="Liebe Ada", after=("q",)),
        title="Brief",
    )
    async with stage.up():
        stage.says("/help", language="de")
        await stage.sees("/stop — anhalten, was läuft")
        stage.says("Schreib an Ada", language="de")
        asked = await stage.sees("Tippe einfach eine Antwort, oder:", button="Überspringen")
        assert asked.labels == ["rot", "blau", "Entscheide du", "Überspringen"]
        await stage.sees("wartet auf dich", button="⏹ Anhalten")
        stage.says("rot", language="de")
        approval = await stage.sees("effects.send_mail", button="✅ Erlauben")
        assert "Grund: deine Nachricht" in approval.text
        assert await stage.presses(approval, "❌ Ablehnen", user_id=99) == "Only the owner of this bot can do that."
        stage.says("stop", language="de")
        await stage.sees("⏹ Angehalten.")
        await stage.sees("(angehalten)")
        assert await _pressed(stage, approval, "✅ Erlauben") == "Zu spät: Das ist schon entschieden."
    assert stage.refused() == []


async def _pressed(stage: Stage, message, label: str) -> str:
    """Press as a client whose language is German."""
    action = dict(button for row in message.buttons for button in row)[label]
    query = stage.telegram.forge_press(OWNER, message.id, action, language="de")
    await stage.until(lambda: stage.telegram.queries[query] is not None)
    return str(stage.telegram.queries[query])


async def test_the_first_hello_shows_what_works_and_its_buttons_lead_on(stage: Stage):
    stage.model.models.append({"id": "whisper-1"})
    async with stage.up():
        stage.says("/start")
        hello = await stage.sees("👋 I plan tasks", button="What can you do?")
        for words in ("Model: fake-model ✓", "Files ✓ · Voice ✓ · Sandbox: ", "privacy mode is on"):
            assert words in hello.text
        await stage.presses(hello, "What can you do?")
        await stage.sees("/stop — stop what is running")
        await stage.presses(hello, "Settings")
        settings = await stage.sees("Language of buttons", button="✓ English")
        assert await stage.presses(settings, "中文") == "中文"
        stage.says("/files")
        await stage.sees("这里还没有文件。")
    assert stage.refused() == []


async def test_without_a_model_german_is_answered_in_german(telegram: FakeTelegram, tmp_path: Path):
    stage = Stage(telegram, FakeOpenAI(), settings(tmp_path, telegram, None))
    async with stage.up():
        stage.says("Übersetze das ins Englische", language="de")
        said = await stage.sees("Übersetzen braucht ein Modell, und keines ist in Gebrauch.")
        assert "Das geht:" in said.text
        stage.says("/run nothing", language="de")
        await stage.sees("Es gibt keine Pipeline 'nothing'.")
    assert stage.refused() == []
