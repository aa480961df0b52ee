"""Sessions over the API: what is remembered, said and kept there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import StreamingResponse

from agent.errors import NotFound
from agent.memory.entries import Entry, clean
from agent.memory.memory import MAX_FACT_CHARS
from agent.web import files, orders, session_shapes, shapes
from agent.web.rest.runs import FILE
from agent.web.rest.taking import BODY, read, refusing, taking
from agent.web.words import Changed

if TYPE_CHECKING:
    from agent.domain.session import Session
    from agent.web.rooms import Rooms


def add(made: APIRouter, rooms: Rooms, *, trusted: bool) -> None:
    """Add the routes; what is to be remembered is the owner's own word when the caller is `trusted`."""
    _looked_at(made, rooms)
    _memory(made, rooms, trusted=trusted)


async def row_of(rooms: Rooms, session_id: str) -> dict[str, Any]:
    """Return a session's row in the journal. Raises NotFound."""
    found = next((one for one in await rooms.store.sessions() if one["id"] == session_id), None)
    if found is None:
        raise NotFound("There is no such session.", hint="The list has all of them.")
    return found


async def session_called(rooms: Rooms, session_id: str) -> Session:
    """Return a session that is known. Raises NotFound."""
    await row_of(rooms, session_id)
    return await rooms.orchestrator.sessions.open(session_id)


def _looked_at(made: APIRouter, rooms: Rooms) -> None:
    @made.get("/sessions")
    async def sessions() -> list[session_shapes.SessionShort]:
        """All sessions."""
        return [session_shapes.SessionShort.of(row) for row in await rooms.store.sessions()]

    @made.get("/sessions/{session_id}", responses=refusing(404))
    async def session(session_id: str) -> session_shapes.SessionShape:
        """A session: its profile, and what was asked and came of it."""
        row = await row_of(rooms, session_id)
        opened = await rooms.orchestrator.sessions.open(session_id)
        return session_shapes.SessionShape.whole(row, opened, await rooms.orchestrator.sessions.file_of(opened))

    @made.get("/sessions/{session_id}/files", responses=refusing(404))
    async def listed(session_id: str) -> list[session_shapes.FileShape]:
        """The files of a session's workspace."""
        opened = await session_called(rooms, session_id)
        await rooms.orchestrator.sessions.fetch(opened)
        found = await files.listed(opened)
        return [session_shapes.FileShape(path=one.path, size=one.size, changed_at=one.changed_at) for one in found]

    @made.get("/sessions/{session_id}/files/{path:path}", response_class=StreamingResponse, responses=FILE)
    async def file(session_id: str, path: str) -> StreamingResponse:
        """A file of a session's workspace."""
        await row_of(rooms, session_id)
        return await files.download(rooms, session_id, path)


def _memory(made: APIRouter, rooms: Rooms, *, trusted: bool) -> None:
    @made.get("/sessions/{session_id}/memory", responses=refusing(404))
    async def memory(session_id: str) -> list[session_shapes.MemoryShape]:
        """What a session remembers."""
        found = await rooms.memory(await session_called(rooms, session_id)).entries()
        return [session_shapes.MemoryShape.of(entry) for entry in found]

    @made.post(
        "/sessions/{session_id}/memory",
        status_code=201,
        openapi_extra=taking(orders.Fact),
        responses={**BODY, **refusing(404, 409)},
    )
    async def remember(session_id: str, request: Request) -> session_shapes.MemoryShape:
        """Remember a fact. Unless web.token_decides, it is marked as not said by the owner."""
        fact = await read(request, orders.Fact)
        kept = rooms.memory(await session_called(rooms, session_id))
        source = {} if trusted else {"source": "api", "trusted": False}
        entry = await kept.remember(fact.text, fact.tag, **source)  # type: ignore[arg-type]
        if entry is None:
            raise Changed("That is remembered already, or is empty.")
        return session_shapes.MemoryShape.of(entry)

    @made.post(
        "/sessions/{session_id}/memory/forget", openapi_extra=taking(orders.Line), responses={**BODY, **refusing(404)}
    )
    async def forget(session_id: str, request: Request) -> shapes.Said:
        """Forget the fact with exactly this line."""
        line = (await read(request, orders.Line)).line
        await forget_line(rooms, await session_called(rooms, session_id), line)
        return shapes.Said(said="Forgotten.")


async def forget_line(rooms: Rooms, session: Session, line: str) -> None:
    """Forget the entry with exactly this line. Raises NotFound."""
    memory = rooms.memory(session)
    entries = await memory.entries()
    left = [entry for entry in entries if entry.line() != line]
    if len(left) == len(entries):
        raise NotFound("That is not remembered any more.")
    await memory.write(left)


async def change_line(rooms: Rooms, session: Session, line: str, text: str) -> None:
    """Put a person's own words in the place of an entry. Raises NotFound."""
    memory = rooms.memory(session)
    entries = await memory.entries()
    old = next((entry for entry in entries if entry.line() == line), None)
    words = clean(text)[:MAX_FACT_CHARS]
    if old is None or not words:
        raise NotFound("That is not remembered any more." if words else "There is nothing to remember in that.")
    fresh = Entry(words, old.tag, datetime.now(UTC).date().isoformat())
    await memory.write([fresh if entry is old else entry for entry in entries])
