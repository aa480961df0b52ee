"""A local model with a context of 4,096 tokens, whose server refuses longer prompts: long work comes to its end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest

from agent.app import build_app
from agent.catalogue import Catalogue
from agent.config import Model
from agent.domain.messages import MessageKind
from agent.domain.states import Status
from agent.llm.openai_client import OpenAIModel
from agent.parts import make_engine
from agent.planning.notation import render
from agent.testing import Bot, step
from agent.testing.bot import PlainBoxes
from agent.testing.openai_script import Answer
from agent.testing.openai_server import FakeOpenAI
from plugins.api import tool
from plugins.loader import from_functions

WINDOW = 4_096
WORDS = "The quick brown fox jumps over the lazy dog and writes down what it has seen on the way. "
STEPS = 10


@tool
def read_page(number: int) -> str:
    """Return a long page.

    number: which one
    """
    return f"Page {number} begins. {WORDS * 40} Page {number} ends."


def played(request: dict[str, Any]) -> Answer:
    """Plan ten steps, read six pages in the task, write an answer."""
    system = str(request["messages"][0]["content"])
    if system.startswith("You are the planner"):
        pages = [step(f"s{n}", "read_page", number=n) for n in range(1, STEPS - 1)]
        task = step("t", task="Read pages one by one and compare them.", tools=("read_page",))
        names = [f"s{n}" for n in range(1, STEPS - 1)]
        last = step("w", llm="Compare.", **{name: f"{{{{ {name}.text }}}}" for name in names}, after=(*names, "t"))
        return Answer(render("Compare pages", [*pages, task, last]))
    if "with the given tools" in system:
        done = sum(message["role"] == "assistant" for message in request["messages"])
        text = json.dumps(request["messages"])
        known = 1 + max((n for n in range(100) if f"Page {n} begins" in text and n > 20), default=20)
        return (
            Answer(tool_calls=(("read_page", {"number": known}),)) if known < 29 and done < 9 else Answer("Compared.")
        )
    return Answer("All pages are about a fox.")


class Chat(Bot):
    """A bot whose model is behind a real server; `window` is what is thought to be its context."""

    def __init__(self, home: Path, server: FakeOpenAI, window: int) -> None:
        super().__init__(home, [read_page])
        self.server, self.window = server, window

    async def __aenter__(self) -> Self:
        model = OpenAIModel("fake-model", self.server.base_url, "key", Model(tries=1), window=self.window)
        catalogue = Catalogue([from_functions("test", [read_page])])
        boxes: Any = PlainBoxes([read_page])
        engine = make_engine(self.config, works=True)
        self.app = build_app(self.config, llm=model, catalogue=catalogue, boxes=boxes, engine=engine)
        return await super().__aenter__()


async def remark_of(chat: Chat) -> str:
    return str((await chat.shown(MessageKind.PLAN))[-1].payload.get("remark", ""))


async def test_ten_steps_with_long_results_fit_a_small_context_and_the_person_is_told_once(tmp_path: Path):
    server = FakeOpenAI(played, window=WINDOW, strict_window=True, flavour="ollama")
    async with server, Chat(tmp_path, server, WINDOW) as chat:
        answer = await chat.hears("Compare the pages.")
        remark = await remark_of(chat)
    assert answer.status == Status.COMPLETED
    assert set(chat.statuses.values()) == {"COMPLETED"}
    assert len(chat.statuses) == STEPS
    assert "All pages are about a fox." in answer.text
    assert remark.startswith("I had to shorten what I remember of this task: ")
    assert "older results of tools" in remark
    assert remark.endswith("The model takes 4096 tokens at once.")


async def test_the_person_is_told_in_their_language(tmp_path: Path):
    server = FakeOpenAI(played, window=WINDOW, strict_window=True, flavour="ollama")
    async with server, Chat(tmp_path, server, WINDOW) as chat:
        chat.dest = replace(chat.dest, language="de")
        await chat.hears("Vergleiche die Seiten.")
        remark = await remark_of(chat)
    assert remark.startswith("Ich musste kürzen, was ich von dieser Aufgabe im Kopf habe: ")
    assert "ältere Ergebnisse von Werkzeugen" in remark


@pytest.mark.parametrize("flavour", ["openai", "vllm", "llama.cpp", "ollama", "lm-studio"])
async def test_a_context_that_is_smaller_than_was_thought_is_learnt_from_the_refusal(tmp_path: Path, flavour: str):
    server = FakeOpenAI(played, window=WINDOW, strict_window=True, flavour=flavour)
    async with server, Chat(tmp_path, server, 128_000) as chat:
        answer = await chat.hears("Compare the pages.")
        remark = await remark_of(chat)
        window = chat.app.llm.window if chat.app.llm is not None else 0
    assert answer.status == Status.COMPLETED
    assert set(chat.statuses.values()) == {"COMPLETED"}
    assert "All pages are about a fox." in answer.text
    assert "I had to shorten" in remark
    assert window == WINDOW
