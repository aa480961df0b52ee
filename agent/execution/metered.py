"""A model whose every call is set aside on a run's accounts before it and settled after it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from agent.domain.ledger import Usage
from agent.errors import ModelRefused, ModelUnavailable
from agent.llm.protocol import Finished, TextDelta
from agent.llm.wrapped import WrappedLLM
from agent.policy.budget import Need

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from agent.llm.protocol import LLM, LLMRequest, Notice
    from agent.policy.budget import Budget, Held

MESSAGE_TOKENS = 8  # what a chat template adds to each message, and more


class MeteredLLM(WrappedLLM):
    """Implements LLM for one run; raises OverBudget instead of making a call that could pass a cap.

    `answer_tokens` is the most that is set aside for an answer whose request names no length; `model` is the one that
    the run's chat has chosen, None for the configured one.
    """

    def __init__(self, llm: LLM, budget: Budget, answer_tokens: int, model: str | None = None) -> None:
        super().__init__(llm)
        self._model = model
        self._budget = budget
        self._answer_tokens = answer_tokens

    async def stream(self, request: LLMRequest) -> AsyncGenerator[TextDelta | Notice | Finished]:
        """Stream an answer; see LLM.stream."""
        held, request, prompt = await self._hold(request)
        parts: list[str] = []
        used: list[Usage] | None = None
        try:
            async for item in self._llm.stream(request):
                if isinstance(item, Finished):
                    used = [item.usage]
                    await self._budget.settle(held, used)
                elif isinstance(item, TextDelta):
                    parts.append(item.text)
                yield item
        except (ModelUnavailable, ModelRefused):
            if not parts and used is None:  # it was never answered
                used = []
                await self._budget.settle(held, used)
            raise
        finally:
            if used is None:  # what was cut off or broke off has cost tokens too
                await self._budget.settle(held, [self._cut_off(request, prompt, "".join(parts))])

    async def complete(self, request: LLMRequest) -> Finished:
        """Return the whole answer; see LLM.complete."""
        held, request, prompt = await self._hold(request)
        used = [self._cut_off(request, prompt, "")]
        try:
            finished = await self._llm.complete(request)
            used = [finished.usage]
        except (ModelUnavailable, ModelRefused):  # it was never answered
            used = []
            raise
        finally:
            await self._budget.settle(held, used)
        return finished

    def sees(self, model: str | None = None) -> bool:
        """Return whether the model may look at pictures; see Seeing."""
        return super().sees(model or self._model)

    async def _hold(self, request: LLMRequest) -> tuple[Held, LLMRequest, int]:
        """Set the call aside and return it as it may be made, with its prompt's tokens."""
        request = replace(request, model=request.model or self._model)
        prompt = self._tokens(request)
        most = min(request.max_tokens or self._answer_tokens, max(self.window - prompt, 1))
        held = await self._budget.hold(
            Need(lambda answer: self.price(prompt, answer, request.model) or 0.0, prompt, most)
        )
        return held, request if held.whole else replace(request, max_tokens=held.answer), prompt

    def _tokens(self, request: LLMRequest) -> int:
        texts = [message.content for message in request.messages]
        texts += [wanted.arguments for message in request.messages for wanted in message.tool_requests]
        extra = str(request.tools or "") + str(request.schema or "")
        words = sum(map(self._llm.count, texts)) + self._llm.count(extra) + MESSAGE_TOKENS * len(request.messages)
        return words + request.picture_tokens

    def _cut_off(self, request: LLMRequest, prompt: int, text: str) -> Usage:
        written = self._llm.count(text)
        money = self.price(prompt, written, request.model)
        return Usage(request.purpose, request.model or self.name, prompt, written, money, estimated=True)
