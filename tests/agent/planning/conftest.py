"""A catalogue of small tools and a model that says what it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

import pytest

from agent.catalogue import Catalogue
from agent.domain.ledger import Usage
from agent.llm.protocol import Finished, LLMRequest, Notice, TextDelta
from plugins.api import File, Output, command, tool
from plugins.loader import from_functions


@tool(
    effect="read",
    network=["example.org"],
    examples=["search the web for {query}", "search for {query}"],
    produces=["text"],
)
def search_web(query: str, limit: int = 5) -> list[str]:
    """Search the web."""
    return [query] * limit


@tool(effect="read", network=["example.org"], examples=["fetch {url}", "open {url}"], produces=["text"])
def fetch(url: str) -> str:
    """Fetch a page as readable text."""
    return url


@tool(
    produces=[".png"],
    examples=[
        "chart {y} by {x} from {file}",
        "plot {y} by {x}",
        "draw a chart of {y} by {x} from {file}",
        "chart {file}",
    ],
)
def chart(
    file: Annotated[str, File(".csv", ".xlsx")],
    y: str = "",
    x: str = "",
    kind: Literal["auto", "line", "bar"] = "auto",
) -> Output:
    """Draw a chart of a table."""
    return Output()


@tool(examples=["what is the best {by}", "tell me the best {by}", "which {by} has the most {y}"], produces=["text"])
def best(file: Annotated[str, File(".csv", ".xlsx")], by: str, y: str = "") -> Output:
    """Find the best or worst group of a table."""
    return Output()


@tool(examples=["summarise {file}", "write a report about {file}"], produces=[".pdf"])
def report(file: Annotated[str, File()]) -> Output:
    """Write a report about a file as a PDF."""
    return Output()


@tool(effect="effect", network=["example.org"], examples=["send {file} to {to}", "mail {file} to {to}"])
def send_mail(to: str, file: Annotated[str, File(".pdf", ".png")] = "") -> str:
    """Send a file by mail."""
    return to


@command("roll", effect="pure", examples=["roll a die", "roll {times} dice", "roll a die with {sides} sides"])
def roll(sides: int = 6, times: int = 1) -> list[int]:
    """Roll dice and return what came up."""
    return [sides] * times


TOOLS = (search_web, fetch, chart, best, report, send_mail, roll)


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return Catalogue([from_functions("demo", TOOLS)])


@dataclass
class Script:
    """A model: each call says the next answer, in pieces. An exception in an answer is raised there."""

    answers: list[str | list[str | Exception]]
    reason: str = "stop"
    piece: int = 7
    name: str = "script"
    window: int = 128_000
    requests: list[LLMRequest] = field(default_factory=list)
    closed: int = 0

    async def stream(self, request: LLMRequest) -> AsyncIterator[TextDelta | Notice | Finished]:
        self.requests.append(request)
        answer = self.answers.pop(0)
        try:
            for part in [answer] if isinstance(answer, str) else answer:
                if isinstance(part, Exception):
                    raise part
                for at in range(0, len(part), self.piece):
                    yield TextDelta(part[at : at + self.piece])
            yield Finished(self.reason, Usage("plan", self.name, 10, 5))
        finally:
            self.closed += 1

    def count(self, text: str) -> int:
        return len(text.encode()) * 10 // 35

    async def complete(self, request: LLMRequest) -> Finished:
        raise NotImplementedError

    async def close(self) -> None:
        return


@pytest.fixture(scope="session")
def model() -> type[Script]:
    """Make a scripted model: `model(["first answer", "second answer"])`."""
    return Script
