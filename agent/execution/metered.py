"""A model whose every call is checked against a run's budget before and booked to its ledger after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.domain.ledger import Usage
from agent.llm.protocol import Finished, TextDelta

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from agent.llm.protocol import LLM, LLMRequest, Notice
    from agent.policy.budget import Budget


class MeteredLLM:
    """Implements LLM for one run; raises LimitReached instead of making a call that is over a cap."""

    def __init__(self, llm: LLM, budget: Budget) -> None:
        self._llm = llm
        self._budget = budget
        self.name = llm.name
        self.window = llm.window

    async def stream(self, request: LLMRequest) -> AsyncGenerator[TextDelta | Notice | Finished]:
        """Stream an answer; see LLM.stream."""
        prompt = self._check(request)
        parts: list[str] = []
        finished = False
        try:
            async for item in self._llm.stream(request):
                if isinstance(item, Finished):
                    finished = True
                    await self._budget.book(item.usage)
                elif isinstance(item, TextDelta):
                    parts.append(item.text)
                yield item
        finally:
            if not finished:  # what was cut off or broke off has cost tokens too
                written = self._llm.count("".join(parts))
                await self._budget.book(Usage(request.purpose, self.name, prompt, written, estimated=True))

    async def complete(self, request: LLMRequest) -> Finished:
        """Return the whole answer; see LLM.complete."""
        self._check(request)
        finished = await self._llm.complete(request)
        await self._budget.book(finished.usage)
        return finished

    def count(self, text: str) -> int:
        """Count tokens; see LLM.count."""
        return self._llm.count(text)

    async def close(self) -> None:
        """Leave the shared model open: it is not this run's to close."""

    def _check(self, request: LLMRequest) -> int:
        prompt = sum(self._llm.count(message.content) for message in request.messages)
        self._budget.check(prompt)
        return prompt
