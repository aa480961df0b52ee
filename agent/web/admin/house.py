"""What the pages work with: the rooms behind the API, and some more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent.catalogue import Catalogue
    from agent.config import AppConfig
    from agent.domain.event import Event
    from agent.domain.trigger import Trigger
    from agent.memory.memory import SessionMemory
    from agent.web.admin.entry import Entry
    from agent.web.api import Rooms


class Triggers(Protocol):
    """What the pages do with triggers and events."""

    async def create(self, trigger: Trigger) -> Trigger: ...
    async def enable(self, trigger_id: str) -> Trigger: ...
    async def disable(self, trigger_id: str) -> Trigger: ...
    async def delete(self, trigger_id: str) -> None: ...
    async def fire(self, trigger_id: str) -> Any: ...
    async def retry(self, event: Event) -> bool: ...
    async def drop(self, event: Event) -> bool: ...
    async def pause_project(self, name: str, *, paused: bool) -> bool: ...


@dataclass(frozen=True, slots=True)
class House:
    """`reload` has the triggers that pipelines declare set anew; `memory` opens a session's by its folder's path.

    `notes` are the lines to show once, by the visit that they are for.
    """

    rooms: Rooms
    entry: Entry
    config: AppConfig
    catalogue: Catalogue
    triggers: Triggers
    reload: Callable[[], Awaitable[Any]]
    memory: Callable[[str], SessionMemory]
    rung: str = ""
    notes: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def say(self, key: str, text: str, kind: str = "good") -> None:
        """Have a line shown on the next page of a visit; `kind` is good or bad."""
        self.notes.setdefault(key, []).append((kind, text))
        while len(self.notes) > 100:  # of visits that never looked again
            self.notes.pop(next(iter(self.notes)))

    def heard(self, key: str) -> list[tuple[str, str]]:
        """Return what is to be shown to a visit, and forget it."""
        return self.notes.pop(key, [])
