"""A bot's API on a real socket, and a client that has the token."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from agent.cli.door import rooms_of
from agent.config import Web
from agent.testing import Bot
from agent.web.app import web_app
from agent.web.server import listen

TOKEN = "t" * 32


@pytest.fixture
def settings() -> dict[str, Any]:
    """What a module's tests want of `web` beside the token."""
    return {}


@pytest.fixture
async def serve(bot: Bot, settings: dict[str, Any]) -> AsyncIterator[Callable[..., Awaitable[httpx.AsyncClient]]]:
    """Return a function that serves a bot with settings and gives a client with the token."""
    tasks, clients = [], []

    async def is_well() -> bool:
        return True

    async def served(**more: Any) -> httpx.AsyncClient:
        with socket.create_server(("127.0.0.1", 0)) as one:
            port = int(one.getsockname()[1])
        web, app = Web(port=port, token=TOKEN, **{**settings, **more}), bot.app
        server = listen(web_app(web, receive=app.automation.receive, is_well=is_well, rooms=rooms_of(app)), web)
        tasks.append(asyncio.create_task(server.run()))
        headers = {"Authorization": f"Bearer {TOKEN}"}
        clients.append(httpx.AsyncClient(base_url=server.address, headers=headers, trust_env=False, timeout=60))
        return clients[-1]

    yield served
    for client in clients:
        await client.aclose()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
