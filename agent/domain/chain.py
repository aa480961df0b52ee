"""Chains: pipelines that are carried out one after the other, up to the first failure."""

from __future__ import annotations

from dataclasses import dataclass

from agent.domain.run import Run


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain as it is stored. `workflows` are names of pipelines, in order. Times are seconds since 1970."""

    id: str
    name: str
    workflows: tuple[str, ...]
    session_id: str = ""
    created_at: float = 0.0


@dataclass(frozen=True, slots=True)
class ChainHistory:
    """How a chain has gone. `executions` are its newest runs, newest first; the counts are of all its ended runs."""

    executions: tuple[Run, ...] = ()
    succeeded: int = 0
    failed: int = 0

    @property
    def success_rate(self) -> float | None:
        """Share of the ended executions that succeeded, 0 to 1; None before the first has ended."""
        ended = self.succeeded + self.failed
        return self.succeeded / ended if ended else None

    @property
    def last_execution(self) -> Run | None:
        """The newest execution."""
        return self.executions[0] if self.executions else None
