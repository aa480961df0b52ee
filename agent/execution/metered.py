"""A model whose every call is checked against a run's budget before and booked to its ledger after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.llm.protocol import Finished

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent.llm.protocol import LLM, LLMRequest, Notice, TextDelta
    from agent.policy.budget import Budget


class MeteredLLM:
    """Implements LLM for one run; raises LimitReached instead of making a call that is over a cap."""

    def __init__(self, llm: LLM, budget: Budget) -> None:
        self._llm = llm
        self._budget = budget
        self.name = llm.name
        self.window = llm.window

    async def stream(self, request: LLMRequest) -> AsyncIterator[TextDelta | Notice | Finished]:
        """Stream an answer; see LLM.stream."""
        self._check(request)
        async for item in self._llm.stream(request):
            if isinstance(item, Finished):
                await self._budget.book(item.usage)
            yield item

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

    def _check(self, request: LLMRequest) -> None:
        self._budget.check(sum(self._llm.count(message.content) for message in request.messages))
