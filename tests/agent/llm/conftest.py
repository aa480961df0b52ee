"""Models in front of the fake server, with short pauses between tries."""

from contextlib import asynccontextmanager

import pytest

from agent.config import Model
from agent.llm import failures
from agent.llm.openai_client import OpenAIModel
from agent.llm.protocol import ChatMessage, Finished, LLMRequest, Notice, TextDelta
from agent.testing.openai_server import FakeOpenAI


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(failures, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(failures, "LOADING_PAUSE", 0.01)


class Talk:
    """A fake server, a model in front of it, and what came of the last stream."""

    def __init__(self, server, model):
        self.server = server
        self.model = model
        self.deltas = []
        self.notices = []
        self.ends = []

    @property
    def text(self):
        return "".join(self.deltas)

    def request(self, text="Hello", **fields):
        return LLMRequest("answer", (ChatMessage("system", "Be brief."), ChatMessage("user", text)), **fields)

    async def stream(self, *, request=None, **fields):
        self.deltas, self.notices, self.ends = [], [], []
        async for item in self.model.stream(request or self.request(**fields)):
            match item:
                case TextDelta():
                    assert not self.ends
                    self.deltas.append(item.text)
                case Notice():
                    self.notices.append(item.text)
                case Finished():
                    self.ends.append(item)
        assert len(self.ends) == 1
        return self.ends[0]

    async def complete(self, **fields):
        return await self.model.complete(self.request(**fields))


@pytest.fixture
def talk():
    """`async with talk(answers…, server options, settings={…}, key=…, name=…) as t`."""

    @asynccontextmanager
    async def begin(*answers, settings=None, key="sk-secret-key", name="fake-model", **options):
        async with FakeOpenAI(list(answers), **options) as server:
            model = OpenAIModel(name, server.base_url, key, Model(**(settings or {})))
            try:
                yield Talk(server, model)
            finally:
                await model.close()

    return begin
