"""A model whose every prompt is held to its context, and shortened once more when its server finds it too long."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Protocol

from loguru import logger

from agent.errors import PromptTooLong
from agent.llm.fitting import fit, tokens_of
from agent.llm.protocol import LLM
from agent.llm.wrapped import WrappedLLM

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from agent.llm.protocol import Finished, LLMRequest, Notice, TextDelta

ANSWER_ROOM = 4_000
SHARE_OF_ANSWER = 4
SURE = 0.92  # of what a count says: for most models it is an estimate, and a chat template adds to it
HARDER = 0.6
SILENT = frozenset({"memory"})  # of what is learned on the side nobody is told


class Streaming(LLM, Protocol):
    """A model whose streams can be closed."""

    def stream(self, request: LLMRequest) -> AsyncGenerator[TextDelta | Notice | Finished]:
        """Stream an answer; see LLM.stream."""


class FittedLLM(WrappedLLM):
    """Implements LLM over the model of a run. `shortened(what, window)` is told what a prompt had to do without."""

    _llm: Streaming

    def __init__(self, llm: Streaming, shortened: Callable[[str, int], None]) -> None:
        super().__init__(llm)
        self._shortened = shortened

    async def stream(self, request: LLMRequest) -> AsyncGenerator[TextDelta | Notice | Finished]:
        """Stream an answer; see LLM.stream."""
        fitted = self._fitted(request, self._room(request))
        try:
            async with contextlib.aclosing(self._llm.stream(fitted)) as items:
                async for item in items:
                    yield item
        except PromptTooLong as error:
            harder = self._harder(request, fitted, error)
        else:
            return
        async with contextlib.aclosing(self._llm.stream(harder)) as items:
            async for item in items:
                yield item

    async def complete(self, request: LLMRequest) -> Finished:
        """Return the whole answer; see LLM.complete."""
        fitted = self._fitted(request, self._room(request))
        try:
            return await self._llm.complete(fitted)
        except PromptTooLong as error:
            harder = self._harder(request, fitted, error)
        return await self._llm.complete(harder)

    def left_out(self, what: str) -> None:
        """Note what a prompt had to do without; see Frugal."""
        self._shortened(what, self.window)

    # --- how long it may be -------------------------------------------------------------------------------------
    def _room(self, request: LLMRequest) -> int:
        """Return how many tokens a prompt may have, so that its answer fits as well."""
        answer = min(request.max_tokens or ANSWER_ROOM, self.window // SHARE_OF_ANSWER)
        return int((self.window - answer) * SURE)

    def _fitted(self, request: LLMRequest, room: int) -> LLMRequest:
        found = fit(request, room, self._llm.count)
        for what in found.shortened if request.purpose not in SILENT else ():
            self._shortened(what, self.window)
        return found.request

    def _harder(self, request: LLMRequest, sent: LLMRequest, error: PromptTooLong) -> LLMRequest:
        """Return the request as it is tried once more; raise the error again where there is nothing left to cut.

        Where the server says how many tokens it has counted, that is the measure; else a good deal less is sent.
        """
        counted = tokens_of(sent, self._llm.count)
        room = self._room(request)
        told = room * min(1.0, counted / error.prompt) if error.prompt else min(room, counted) * HARDER
        harder = self._fitted(request, int(told))
        after = tokens_of(harder, self._llm.count)
        if after >= counted:
            raise error
        logger.info("{}: the prompt was too long; trying again with {} tokens instead of {}", self.name, after, counted)
        return harder
