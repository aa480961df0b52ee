"""Files of sessions for whoever may have them: never what lies outside of the workspace, never shown in the browser."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.responses import StreamingResponse

from agent.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import BinaryIO

    from agent.domain.session import Session
    from agent.web.rooms import Rooms

CHUNK = 1 << 18
MOST_LISTED = 2_000


@dataclass(frozen=True, slots=True)
class Found:
    """A file of a session's workspace: its relative path, its size in bytes, when it changed (seconds since 1970)."""

    path: str
    size: int
    changed_at: float


async def listed(session: Session) -> list[Found]:
    """Return the files of a session, by name; the first two thousand."""

    def look() -> list[Found]:
        from sandbox.workspace import Workspace

        with Workspace(session.workspace) as workspace:
            files = workspace.snapshot().files
        return [Found(path, one.size, one.mtime_ns / 1e9) for path, one in sorted(files.items())[:MOST_LISTED]]

    return await asyncio.to_thread(look)


async def download(rooms: Rooms, session_id: str, path: str) -> StreamingResponse:
    """Return a file to be kept, not to be shown. Raises NotFound for whatever is no file of the session."""
    session = await rooms.orchestrator.sessions.open(session_id)
    await rooms.orchestrator.sessions.fetch(session)
    file, size = await asyncio.to_thread(_opened, session, path)
    file.close()  # an answer whose reader has gone is never begun, and would leave it open
    name = PurePosixPath(path).name
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in name)
    headers = {
        "Content-Length": str(size),
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingResponse(_chunks(session, path, size), media_type="application/octet-stream", headers=headers)


def _opened(session: Session, path: str) -> tuple[BinaryIO, int]:
    import os

    from sandbox.api import SandboxError
    from sandbox.workspace import Workspace

    try:
        with Workspace(session.workspace) as workspace:
            file = workspace.open_read(path)
    except (SandboxError, OSError):
        raise NotFound("There is no such file.", hint="The list has those that there are.") from None
    return file, os.fstat(file.fileno()).st_size


async def _chunks(session: Session, path: str, size: int) -> AsyncIterator[bytes]:
    """Yield as many bytes as were promised; a file that has shrunk meanwhile breaks the answer off."""
    file, _ = _opened(session, path)  # what a thread opens for a reader who leaves meanwhile is closed by nobody
    left = size
    with file:
        while left and (data := await asyncio.to_thread(file.read, min(CHUNK, left))):
            left -= len(data)
            yield data
