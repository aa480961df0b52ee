"""Runs on many workers, while the database is away."""

from __future__ import annotations

import asyncio

import pytest

from agent.engine.distributed import DistributedEngine
from agent.testing.postgres import PostgresServer, binaries

pytestmark = pytest.mark.skipif(binaries() is None, reason="there is no PostgreSQL on this machine")


async def test_a_worker_that_is_told_to_stop_while_the_database_is_away_ends():
    worked = asyncio.Event()

    async def work(_run_id: int) -> None:
        worked.set()

    with PostgresServer.start() as server:
        engine = DistributedEngine(server.new_database(), works=True, drain_seconds=0.0)
        await engine.start(work)
        engine.submit(1, session_id="a")
        await worked.wait()
        await engine.idle()
        engine._connector.pool.timeout = 0.5  # as long as each thing that it wants to say at the end waits
    async with asyncio.timeout(100):
        await engine.stop()
