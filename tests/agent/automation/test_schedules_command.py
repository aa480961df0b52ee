"""`dirigent schedules` on the journal of an installation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.automation.bell import Bell
from agent.automation.scheduler import AutomationScheduler
from agent.cli import main
from agent.domain.messages import Destination
from agent.domain.trigger import Trigger, TriggerKind
from agent.store.sql import SqlStore

DEST = Destination("telegram", "4711")


@pytest.fixture
def command(tmp_path: Path, monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.setenv("DIRIGENT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DIRIGENT_MODEL", "offline")

    def run(*words: str) -> tuple[int, str, str]:
        code = main(["schedules", *words])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


@pytest.fixture
def journal(tmp_path: Path) -> Callable[[], SqlStore]:
    (tmp_path / "home").mkdir(exist_ok=True)
    return lambda: SqlStore(tmp_path / "home" / "journal.db")


def test_a_folder_is_watched_for_a_chat_then_paused_and_deleted(command, journal, tmp_path):
    import asyncio

    async def meet() -> None:
        store = journal()
        await store.open()
        await store.touch_session(DEST.session_id, tmp_path, DEST.to_json())
        await store.close()

    asyncio.run(meet())
    code, out, _ = command("watch", str(tmp_path), "--pattern", "*.pdf", "--do", "Sum up {file}", "--then", "move")
    assert (code, out.splitlines()[0].partition("  ")[2]) == (0, f"files *.pdf in {tmp_path}: Sum up {{file}}")
    (listed,) = json.loads(command("list", "--json")[1])
    assert (listed["session"], listed["spec"]["afterwards"]) == ("telegram:4711", "move")

    assert command("pause", listed["id"][:6])[:2] == (0, "It is paused.\n")
    assert "paused" in command()[1]
    assert command("resume", listed["id"])[:2] == (0, "It goes on: ready.\n")
    assert command("run", listed["id"])[:2] == (0, "It starts with the next `dirigent serve`.\n")
    assert command("delete", listed["id"])[0] == 0
    assert command()[1].startswith("Nothing runs by itself yet.")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("pause", "x"), "There is no schedule 'x'."),
        (("pause",), "needs an id"),
        (("list", "x"), "takes no id"),
        (("watch", "/"), "--do is missing"),
        (("watch", "/", "--do", "x"), "--chat is missing"),
        (("watch", "/", "--do", "x", "--chat", "telegram:1"), "There is no chat 'telegram:1'."),
    ],
)
def test_what_is_wrong_is_said(command, words, said):
    code, _, err = command(*words)
    assert code == 1
    assert said in err


async def test_a_fire_from_another_process_is_carried_out_by_the_one_at_work(tmp_path, bot, a_desk, clock, store):
    bells = tmp_path / "bells"
    working = AutomationScheduler(store, a_desk(), bell=Bell(bells))
    calling = AutomationScheduler(store, a_desk(), bell=Bell(bells))
    await working.create(
        Trigger("t1", "x", TriggerKind.MANUAL, {"request": "say hi"}, "test:1", Destination("test", "1"))
    )
    await working.start()
    desk = working.launcher.orchestrator
    while not bells.exists() or not list(bells.iterdir()):
        await store.triggers()  # a turn of the journal

    assert await calling.fire_elsewhere("t1") == 1
    await desk.news.wait()
    await working.stop()

    assert [run.request for run in desk.submitted] == ["say hi"]
    assert calling.launcher.orchestrator.submitted == []
