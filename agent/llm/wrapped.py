"""A model around another one: what it knows of itself is what the one inside knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.llm.protocol import Priced, Seeing

if TYPE_CHECKING:
    from agent.llm.protocol import LLM


class WrappedLLM:
    """Implements LLM but for its calls, which those who derive from it make."""

    def __init__(self, llm: LLM) -> None:
        self._llm = llm
        self.name = llm.name

    @property
    def window(self) -> int:
        """The context in tokens, as far as it is known now: it may turn out to be smaller than it was thought to be."""
        return self._llm.window

    def count(self, text: str) -> int:
        """Count tokens; see LLM.count."""
        return self._llm.count(text)

    async def close(self) -> None:
        """Leave the shared model open: it is not a run's to close."""

    def price(self, prompt_tokens: int, completion_tokens: int, model: str | None = None) -> float | None:
        """Return what a call costs; see Priced."""
        return self._llm.price(prompt_tokens, completion_tokens, model) if isinstance(self._llm, Priced) else None

    def sees(self, model: str | None = None) -> bool:
        """Return whether the model may look at pictures; see Seeing."""
        return isinstance(self._llm, Seeing) and self._llm.sees(model)
