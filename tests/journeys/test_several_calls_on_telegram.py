"""Several calls at once on Telegram, over the wire: in pages with a file, one by one, one changed, across a restart."""

from __future__ import annotations

import pytest

from agent.execution import gathering
from agent.testing import step
from agent.testing.telegram_world import Shown
from tests.journeys.conftest import OWNER, Stage

LATE = 120.0


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine rows take their time; what is ready is awaited all the same."""
    monkeypatch.setattr(gathering, "TOGETHER_SECONDS", 60.0)


def ask(stage: Stage, n: int, text: str = "hi") -> None:
    mails = [{"to": f"p{at}@example.org", "subject": "Hi", "text": text} for at in range(n)]
    stage.will_plan(*(step(f"s{at}", "send_mail", **mail) for at, mail in enumerate(mails)), title="Mails")
    stage.will("answer", "They are sent.")
    stage.says("write to all")


def mails(stage: Stage) -> list[str]:
    log = stage.workspace() / "outbox.log"
    return sorted(log.read_text().splitlines()) if log.exists() else []


async def asked(stage: Stage, text: str, button: str) -> Shown:
    return await stage.sees(text, button=button, seconds=LATE)


async def test_many_calls_come_in_pages_with_a_file_and_are_allowed_at_once(stage: Stage):
    ask(stage, 20, "word " * 300)
    async with stage.up():
        first = await asked(stage, "20 calls wait for your word  (1/3)", "✅ Allow all")
        assert "Shortened … the whole is in request.txt." in first.text
        assert await stage.presses(first, "▶ 2/3") == "Page 2."
        second = await asked(stage, "20 calls wait for your word  (2/3)", "◀ 1/3")
        assert second.id == first.id
        assert "to: p8@example.org" in second.text
        assert await stage.presses(second, "✅ Allow all") == "20 calls allowed."
        await stage.sees("They are sent.", seconds=LATE)
        decided = await stage.sees("20. effects.send_mail — ✅ Allowed", seconds=LATE)
        assert (decided.id, decided.labels) == (first.id, [])
    assert len(mails(stage)) == 20


async def test_one_is_changed_another_denied_across_a_restart(stage: Stage):
    ask(stage, 3)
    async with stage.up():
        shown = await asked(stage, "3 calls wait for your word", "🔎 One by one")
        assert await stage.presses(shown, "🔎 One by one") == "One by one."
        one = await asked(stage, "(1 of 3)", "✏️ Edit")
        assert await stage.presses(one, "✏️ Edit") == "Which argument?"
        names = await asked(stage, "Which argument?", "✏️ subject")
        await stage.presses(names, "✏️ subject")
        await stage.sees("What should “subject” be instead?", button="↩ Back", seconds=LATE)
    async with stage.up():
        stage.says("Hello")
        await stage.sees("subject: Hello", seconds=LATE)
        changed = await asked(stage, "you have changed subject", "✅ Allow")
        assert await stage.presses(changed, "✅ Allow") == "Allowed"
        second = await asked(stage, "(2 of 3)", "❌ Deny")
        assert await stage.presses(second, "❌ Deny") == "Denied"
        third = await asked(stage, "(3 of 3)", "✅ Allow")
        assert await stage.presses(third, "✅ Allow") == "Allowed"
        await stage.sees("They are sent.", seconds=LATE)
        assert (await stage.presses(shown, "🔎 One by one")) is not None
        assert stage.texts(OWNER).count("They are sent.") == 1
    assert mails(stage) == ["p0@example.org|Hello|hi", "p2@example.org|Hi|hi"]
