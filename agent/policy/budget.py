"""What may be spent: the caps of one run, checked before each model call and booked after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.errors import LimitReached

if TYPE_CHECKING:
    from agent.config import Limits
    from agent.domain.ledger import Usage
    from agent.domain.run import Run
    from agent.store.protocol import Store


class Budget:
    """The spending of one run. `tokens` and `money` (US dollars) are what it has used so far."""

    def __init__(self, store: Store, run: Run, limits: Limits) -> None:
        self._store = store
        self._run = run
        self._limits = limits
        self.tokens = 0
        self.money = 0.0

    async def load(self) -> None:
        """Take over what the run has used before (it may have been interrupted)."""
        spent = await self._store.spent(run_id=self._run.id)
        self.tokens = int(spent["prompt_tokens"] + spent["completion_tokens"])
        self.money = spent["money"]

    def check(self, prompt_tokens: int) -> None:
        """Raise LimitReached when a call with this prompt is over a cap."""
        after = self.tokens + prompt_tokens
        if self._limits.tokens and after > self._limits.tokens:
            raise LimitReached("tokens of one run", value=self._limits.tokens, used=after, setting="limits.tokens")
        if self._limits.money and self.money >= self._limits.money:
            used = self.money
            raise LimitReached("US dollars of one run", value=self._limits.money, used=used, setting="limits.money")

    async def book(self, usage: Usage) -> None:
        """Add a finished call to the ledger."""
        self.tokens += usage.prompt_tokens + usage.completion_tokens
        self.money += usage.money or 0.0
        await self._store.spend(self._run.session_id, self._run.id, "", [usage])
