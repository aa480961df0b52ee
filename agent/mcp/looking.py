"""Looks at a server once: it is started in an empty folder, says what it offers, and is ended."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from agent.domain.session import Profile, Session
from agent.mcp.accepted import FOLDER, READ_RESOURCE
from agent.mcp.servers import connection_to

if TYPE_CHECKING:
    from agent.config import AppConfig
    from agent.mcp.accepted import Listing
    from agent.mcp.connection import Connection
    from sandbox.boxes import Boxes

DAY = 86_400.0


async def look(config: AppConfig, boxes: Boxes, name: str) -> Listing:
    """Return what a server offers now. Raises ToolError when it can't be started or reached."""
    above = config.folder / FOLDER
    above.mkdir(mode=0o700, parents=True, exist_ok=True)
    _tidy(above)
    folder = Path(tempfile.mkdtemp(prefix=f"looking-{name}-", dir=above))
    session = Session(f"mcp:{folder.name}", folder, Profile())
    session.workspace.mkdir()
    try:
        connection = connection_to(config, boxes, name, session)
        try:
            await connection.ready()
            return await _without_empty(connection)
        finally:
            await connection.close()
    finally:
        await boxes.forget(session.id, session.workspace)
        shutil.rmtree(folder, ignore_errors=True)


def _tidy(above: Path) -> None:
    """Remove what a look that was killed has left behind, a day later."""
    for left in above.glob("looking-*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > DAY:
                shutil.rmtree(left, ignore_errors=True)


async def _without_empty(connection: Connection) -> Listing:
    """Leave `read_resource` out of a server that says it may have resources and has none."""
    if not connection.reads_resources or await connection.has_resources():
        return connection.listing
    rest = tuple(tool for tool in connection.listing.tools if tool.name != READ_RESOURCE)
    return replace(connection.listing, tools=rest)
