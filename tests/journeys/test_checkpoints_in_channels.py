"""Checkpoints as people meet them: on Telegram over real sockets, and in the terminal as a process."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from agent.testing.openai_script import Playbook, Rule
from agent.testing.openai_server import FakeOpenAI
from tests.journeys.conftest import OWNER, PURPOSES, Stage

FILM = """name: film
steps:
  - {id: scene, use: llm, args: {prompt: Write a scene.}, outputs: [scene.txt]}
  - {id: keep, use: write_file, args: {path: final.txt, text: "{{ steps.scene.output }}"}, approval: "Shall I keep it?"}
outputs: {kept: "{{ steps.scene.output }}"}
"""


def put(home: Path) -> None:
    (home / "pipelines").mkdir(parents=True)
    (home / "pipelines" / "film.yaml").write_text(FILM)


async def test_a_scene_is_revised_and_approved_on_telegram(stage: Stage):
    put(stage.config.folder)
    stage.will("step", "A red door opens.", when="red")
    stage.will("step", "A door opens.")
    async with stage.up():
        stage.says("/run film")
        asked = await stage.sees("Shall I keep it?", button="✏️ Revise")
        assert asked.labels == ["✅ Approve", "✏️ Revise", "❌ Reject"]
        assert "scene: A door opens." in asked.text
        assert await stage.presses(asked, "✏️ Revise") == "What should be different?"
        question = await stage.sees("What should be different?", button="↩ Back")
        stage.says("Make the door red")
        again = await stage.sees("A red door opens.", button="✅ Approve")
        await stage.sees("Make the door red")
        assert await stage.presses(asked, "❌ Reject") == "Too late: this has been settled already."
        assert await stage.presses(again, "✅ Approve") == "Approved"
        await stage.sees("A red door opens.")
        await stage.until((stage.workspace() / "final.txt").is_file)

    assert (stage.workspace() / "final.txt").read_text() == "A red door opens."
    sent = [call.method for call in stage.telegram.calls].count("sendDocument")
    assert sent >= 2  # the scene was shown as a file before each decision
    assert question.id != asked.id
    assert stage.refused() == []


async def test_a_restart_in_the_middle_of_a_revision_keeps_the_question(stage: Stage):
    put(stage.config.folder)
    stage.will("step", "A red door opens.", when="red")
    stage.will("step", "A door opens.")
    async with stage.up():
        stage.says("/run film")
        asked = await stage.sees("Shall I keep it?", button="✏️ Revise")
        await stage.presses(asked, "✏️ Revise")
        await stage.sees("What should be different?")
    async with stage.up():
        stage.says("red")
        again = await stage.sees("A red door opens.", button="❌ Reject")
        await stage.presses(again, "❌ Reject")
        await stage.sees("You rejected it.")

    assert not (stage.workspace() / "final.txt").exists()
    assert stage.texts(OWNER).count("What should be different: red") == 1


@pytest.mark.parametrize("form", ["plain", "json"])
async def test_a_scene_is_revised_and_approved_in_the_terminal(tmp_path: Path, form: str):
    put(tmp_path / "home")
    rules = [Rule(("A red door opens.",), purpose=PURPOSES["step"], when="red"), Rule(("A door opens.",))]
    async with FakeOpenAI(Playbook(rules=rules)) as model:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "agent", "chat", *(["--json"] if form == "json" else [])),
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(Path(__file__).parents[2]),
                "DIRIGENT_HOME": str(tmp_path / "home"),
                "DIRIGENT_MODEL": "fake-model",
                "OPENAI_BASE_URL": model.base_url,
            },
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(b"/run film\nr\nMake the door red\ny\n"), 200)
    text, aside = out.decode(), err.decode()

    assert process.returncode == 0, aside
    if form == "json":
        lines = [json.loads(line) for line in text.splitlines()]
        asked = [line for line in lines if line["type"] == "approval"]
        assert [line["keys"] for line in asked] == [{"y": "Approve", "r": "Revise", "n": "Reject"}] * 2
        assert asked[1]["details"]["scene"] == "A red door opens."
        assert lines[-1]["text"] == "A red door opens."
    else:
        assert "A red door opens." in text
        assert "    r  Revise" in aside
        assert "    b  ↩ Back" in aside
