"""A worker's own page of metrics: real sockets, and nothing else behind them."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from agent.cli.door import open_metrics
from agent.errors import ConfigError
from agent.testing import Bot
from agent.testing.postgres import PostgresServer, binaries


async def test_a_worker_answers_with_its_metrics_and_its_health_and_nothing_else(tmp_path, unused_tcp_port):
    async with Bot(tmp_path / "home", builtin=True) as bot:
        works = [asyncio.create_task(one.run()) for one in open_metrics(bot.app, "A", unused_tcp_port)]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{unused_tcp_port}") as client:
            page = await client.get("/metrics")
            assert page.status_code == 200
            assert "dirigent_model_calls_total" in page.text
            assert "dirigent_outbox_messages" not in page.text
            assert (await client.get("/health")).status_code == 200
            for path in ("/api/runs", "/admin", "/hooks/x"):
                assert (await client.get(path)).status_code == 404
            asked = await client.get("/metrics", headers={"x-forwarded-for": "203.0.113.7"})
            assert asked.status_code == 403
        for task in works:
            task.cancel()
        await asyncio.gather(*works, return_exceptions=True)


async def test_health_fails_when_a_worker_is_no_longer_seen_at_work(tmp_path, unused_tcp_port):
    if binaries() is None:
        pytest.skip("there is no PostgreSQL on this machine")
    with PostgresServer.start() as server:
        settings = {"engine": "workers", "store": server.new_database()}
        async with Bot(tmp_path / "home", builtin=True, **settings) as bot:
            works = [asyncio.create_task(one.run()) for one in open_metrics(bot.app, "A", unused_tcp_port)]
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{unused_tcp_port}", timeout=60) as client:
                assert (await client.get("/health")).status_code == 200
                await bot.app.engine.stop()
                assert (await client.get("/health")).status_code == 503
            for task in works:
                task.cancel()
            await asyncio.gather(*works, return_exceptions=True)


async def test_a_port_that_is_taken_is_named(tmp_path, unused_tcp_port):
    async with Bot(tmp_path / "home", builtin=True) as bot:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", unused_tcp_port)
        with pytest.raises(ConfigError, match=str(unused_tcp_port)):
            open_metrics(bot.app, "A", unused_tcp_port)
        server.close()
        await server.wait_closed()
