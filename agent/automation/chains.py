"""Chains: pipelines that are carried out one after the other, up to the first failure, and how that has gone so far.

A chain is one run. What a pipeline needs as input is what an earlier one of the chain gives out under that name, and
else an input of the chain itself.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

from agent.domain.chain import Chain, ChainHistory
from agent.domain.run import Origin
from agent.domain.states import Status
from agent.errors import ConfigError, NameTaken, NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.domain.messages import Destination
    from agent.domain.run import Run
    from agent.orchestrator import OrchestratorRunner
    from agent.pipelines import Pipelines
    from agent.store.protocol import Store

MOST = 50
NAME_CHARS = 80
ID_BYTES = 4


class Chains:
    """The chains of an installation."""

    def __init__(self, store: Store, pipelines: Pipelines, orchestrator: OrchestratorRunner) -> None:
        self._store = store
        self._pipelines = pipelines
        self._orchestrator = orchestrator

    async def create_chain(self, name: str, workflows: Sequence[str], *, session_id: str = "") -> Chain:
        """Store a chain and return it. `workflows` are names of pipelines, in order; one may come more than once.

        Raises NameTaken, ConfigError for a name that cannot be, NotFound for a pipeline that is not there (naming the
        nearest), PipelineWrong for pipelines that do not fit together.
        """
        named = " ".join(name.split())
        if not named or len(named) > NAME_CHARS:
            raise ConfigError(f"A chain's name has 1 to {NAME_CHARS} characters.", hint=f"{name[:20]!r} does not.")
        if not 1 <= len(workflows) <= MOST:
            raise ConfigError(f"The chain {named!r} has {len(workflows)} pipelines.", hint=f"Give 1 to {MOST}.")
        if named in self._pipelines.places():
            raise NameTaken(f"There is a pipeline {named!r}.", hint="Give the chain another name.")
        for workflow in workflows:
            self._pipelines.file_of(workflow)
        chain = Chain("c" + secrets.token_hex(ID_BYTES), named, tuple(workflows), session_id)
        await asyncio.to_thread(self._pipelines.load_chain, chain)
        if not await self._store.create_chain(chain):
            raise NameTaken(f"There is a chain {named!r} already.", hint="Delete it first, or give another name.")
        return await self.get_chain(chain.id)

    async def get_chain(self, name: str) -> Chain:
        """Return the chain with this id or name. Raises NotFound, naming the nearest."""
        found = await self._store.get_chain(name)
        if found is not None:
            return found
        import difflib

        known = [chain.name for chain in await self._store.chains()]
        near = difflib.get_close_matches(name, known, n=1)
        there = f"There are {', '.join(known[:12])}." if known else "`dirigent chains create` makes one."
        raise NotFound(f"There is no chain '{name}'.", hint=f"Did you mean '{near[0]}'? {there}" if near else there)

    async def list(self) -> list[Chain]:
        """Return every chain, oldest first."""
        return await self._store.chains()

    async def delete_chain(self, name: str) -> Chain:
        """Delete a chain and return it; its runs stay, its triggers are told at their next fire. Raises NotFound."""
        chain = await self.get_chain(name)
        await self._store.delete_chain(chain.id)
        return chain

    async def run(
        self, name: str, dest: Destination, inputs: dict[str, Any] | None = None, *, user_id: str = ""
    ) -> Run:
        """Open a run of a chain, have it worked on, and return it. Raises NotFound, PlanError."""
        chain = await self.get_chain(name)
        session = await self._orchestrator.sessions.open(dest.session_id)
        await self._orchestrator.sessions.fetch(session)
        ready = await asyncio.to_thread(self._pipelines.load_chain, chain, session.profile)
        return await self._orchestrator.begin_run(
            session.id,
            f"Chain {chain.name}",
            dest,
            origin=Origin.COMMAND,
            user_id=user_id,
            title=chain.name,
            given=ready.given(inputs or {}, session.workspace),
            source=ready.source,
        )

    async def history(self, name: str, limit: int = 20) -> ChainHistory:
        """Return how a chain has gone, with its newest executions. Raises NotFound."""
        chain = await self.get_chain(name)
        source = f"chain:{chain.id}"
        counts = await self._store.outcomes(source)
        failed = counts.get(Status.FAILED, 0) + counts.get(Status.CANCELLED, 0)
        runs = await self._store.runs_of(source, limit)
        return ChainHistory(tuple(runs), counts.get(Status.COMPLETED, 0), failed)
