"""`dirigent mcp serve`: another program's tools, over standard input and output."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.config import AppConfig


def serve(config: AppConfig) -> int:
    """Serve until the program closes its side. Nothing else goes to standard output."""
    asyncio.run(_serve(config))
    return 0


async def _serve(config: AppConfig) -> None:
    from agent.cli.chat import opened
    from agent.cli.door import rooms_of
    from agent.mcp.serving import serve_stdio
    from agent.web.programs import ProgramDesk

    async with opened(config) as (app, _):
        await serve_stdio(ProgramDesk(rooms_of(app)))
