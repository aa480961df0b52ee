"""What the API and the pages work with: the rooms behind them, each as narrow as it is used."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.catalogue import Catalogue
    from agent.config import AppConfig, Limits
    from agent.domain.chain import Chain, ChainHistory
    from agent.domain.event import Event
    from agent.domain.messages import Destination
    from agent.domain.session import Session
    from agent.domain.trigger import Fire, Trigger
    from agent.memory.memory import SessionMemory
    from agent.orchestrator import OrchestratorRunner
    from agent.pipelines import Pipelines
    from agent.store.protocol import Store


class Switch(Protocol):
    """Stops and starts what runs by itself."""

    async def halt(self) -> None: ...
    async def release(self) -> None: ...


class Automation(Protocol):
    """What runs by itself, and what happens."""

    @property
    def switch(self) -> Switch: ...
    async def status(self) -> dict[str, Any]: ...
    async def create(self, trigger: Trigger) -> Trigger: ...
    async def update(self, trigger_id: str, **changes: Any) -> Trigger: ...
    async def get(self, trigger_id: str) -> Trigger: ...
    async def enable(self, trigger_id: str) -> Trigger: ...
    async def disable(self, trigger_id: str) -> Trigger: ...
    async def delete(self, trigger_id: str) -> None: ...
    async def fire(self, trigger_id: str) -> Fire: ...
    async def publish(self, event: Event) -> bool: ...
    async def retry(self, event: Event) -> bool: ...
    async def drop(self, event: Event) -> bool: ...
    async def pause_project(self, name: str, *, paused: bool) -> bool: ...


class ChainBook(Protocol):
    """The chains and how they have gone."""

    async def create_chain(self, name: str, workflows: Sequence[str]) -> Chain: ...
    async def delete_chain(self, name: str) -> Chain: ...
    async def list(self) -> list[Chain]: ...
    async def history(self, name: str, limit: int = 20) -> ChainHistory: ...


@dataclass(frozen=True, slots=True)
class Rooms:
    """`destination` says where runs report that are opened here; `memory` opens what a session remembers.

    `logs` is the folder of the process's logs; `upcoming` returns the next times of a trigger, in seconds since 1970.
    `reload` has the triggers that pipelines declare set anew.
    """

    store: Store
    pipelines: Pipelines
    orchestrator: OrchestratorRunner
    automation: Automation
    chains: ChainBook
    destination: Callable[[], Awaitable[Destination]]
    catalogue: Catalogue
    memory: Callable[[Session], SessionMemory]
    limits: Limits
    logs: Path
    upcoming: Callable[[Trigger, int], list[float]]
    config: AppConfig
    reload: Callable[[], Awaitable[Any]]
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
