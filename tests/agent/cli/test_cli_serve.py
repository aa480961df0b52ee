"""`dirigent serve` as a process, in front of a Telegram server on this machine."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from agent.testing.telegram_server import FakeTelegram


async def start() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "agent", "serve", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


@pytest.fixture
async def telegram(home: Path, monkeypatch: pytest.MonkeyPatch):
    async with FakeTelegram() as server:
        monkeypatch.setenv("DIRIGENT_TELEGRAM_BASE_URL", server.base_url)
        monkeypatch.setenv("DIRIGENT_TELEGRAM_TOKEN", server.token)
        monkeypatch.setenv("DIRIGENT_MODEL", "offline")
        yield server


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_in_good_order(telegram: FakeTelegram, number: signal.Signals):
    process = await start()
    assert process.stdout is not None
    async with asyncio.timeout(60):
        while b"Serving" not in (line := await process.stdout.readline()):
            assert line, "it ended before it served"
        process.send_signal(number)
        _, err = await process.communicate()
    assert process.returncode == 0
    assert b"Traceback" not in err


async def test_a_refused_token_ends_it_with_the_way_on(telegram: FakeTelegram, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DIRIGENT_TELEGRAM_TOKEN", "123456789:AAEhBOweik6ad9r_QXMENQjcrGbqCr4K-bc")
    process = await start()
    async with asyncio.timeout(60):
        _, err = await process.communicate()
    assert process.returncode == 1
    assert b"does not accept the bot's token" in err
    assert b"AAEhBOweik6" not in err
