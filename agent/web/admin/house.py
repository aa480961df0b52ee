"""What the pages work with: the rooms behind the API, and some more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.web.admin.live import Streams

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent.catalogue import Catalogue
    from agent.config import AppConfig
    from agent.web.admin.entry import Entry
    from agent.web.rooms import Rooms


@dataclass(frozen=True, slots=True)
class House:
    """`reload` has the triggers that pipelines declare set anew.

    `notes` are the lines to show once, by the visit that they are for.
    """

    rooms: Rooms
    entry: Entry
    config: AppConfig
    catalogue: Catalogue
    reload: Callable[[], Awaitable[Any]]
    rung: str = ""
    boxes: Callable[[], int] = int
    streams: Streams = field(default_factory=Streams)
    notes: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def say(self, key: str, text: str, kind: str = "good") -> None:
        """Have a line shown on the next page of a visit; `kind` is good or bad."""
        self.notes.setdefault(key, []).append((kind, text))
        while len(self.notes) > 100:  # of visits that never looked again
            self.notes.pop(next(iter(self.notes)))

    def heard(self, key: str) -> list[tuple[str, str]]:
        """Return what is to be shown to a visit, and forget it."""
        return self.notes.pop(key, [])
