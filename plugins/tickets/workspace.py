"""The adapter for a folder of JSON tickets in the workspace: every access runs inside the sandbox."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from plugins.api import Context
from plugins.tickets.folder import change_one, note_one, read_folder, read_one
from plugins.tickets.records import Change, Note, Query, Ticket

PAGE = 50


class TicketFolder:
    """Tickets as files. After `fetch`, `problems` says which could not be read, `left` how many were too much."""

    name = "The ticket folder"

    def __init__(self, ctx: Context, folder: str) -> None:
        self._ctx = ctx
        self._folder = folder
        self.problems: list[str] = []
        self.left = 0

    async def fetch(self, query: Query, limit: int) -> AsyncIterator[list[Ticket]]:
        """Yield pages of what one look into the folder has found."""
        found = await self._ctx.inside(read_folder, folder=self._folder, query=query.as_text(), limit=limit)
        self.problems = list(found["problems"])
        self.left = int(found["left"])
        rows = found["tickets"]
        for start in range(0, len(rows), PAGE):
            yield [ticket_of(row) for row in rows[start : start + PAGE]]

    async def get(self, ticket_id: str) -> Ticket:
        """Return a ticket by id or `#number`."""
        return ticket_of(await self._ctx.inside(read_one, folder=self._folder, ticket_id=ticket_id))

    async def update(self, ticket_id: str, change: Change) -> Ticket:
        """Change the ticket's file."""
        wanted = {**change.named, "tags": list(change.tags)}
        row = await self._ctx.inside(change_one, folder=self._folder, ticket_id=ticket_id, change=wanted)
        return ticket_of(row)

    async def add_note(self, ticket_id: str, subject: str, body: str, *, internal: bool) -> bool:
        """Add a note to the ticket's file, unless it is there."""
        words = {"subject": subject, "body": body, "internal": internal}
        return bool(await self._ctx.inside(note_one, folder=self._folder, ticket_id=ticket_id, **words))

    async def aclose(self) -> None:
        """Nothing is held open."""


def ticket_of(row: Mapping[str, Any]) -> Ticket:
    """Return the record of a ticket's JSON."""
    notes = tuple(Note(**note) for note in row["notes"])
    return Ticket(**{**row, "tags": tuple(row["tags"]), "notes": notes})
