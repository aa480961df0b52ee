"""`dirigent serve` where Telegram calls instead of being polled: through the HTTP door, to the answer in the chat."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import httpx

from agent.testing.telegram_server import FakeTelegram

OWNER = 11


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def update(text: str) -> dict:
    person = {"id": OWNER, "is_bot": False, "first_name": "Ada"}
    chat = {"id": OWNER, "type": "private", "first_name": "Ada"}
    return {
        "update_id": 7001,
        "message": {"message_id": 900, "date": 1_790_000_000, "chat": chat, "from": person, "text": text},
    }


async def test_telegrams_calls_reach_the_bot_and_forged_ones_do_not(home: Path):
    port = free_port()
    async with FakeTelegram() as telegram:
        telegram.chat(OWNER)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "agent", "serve",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={
                **os.environ,
                "DIRIGENT_MODEL": "offline",
                "DIRIGENT_OWNERS": str(OWNER),
                "DIRIGENT_TELEGRAM_BASE_URL": telegram.base_url,
                "DIRIGENT_TELEGRAM_TOKEN": telegram.token,
                "DIRIGENT_TELEGRAM__WEBHOOK_URL": "https://bot.example.org/telegram/here",
                "DIRIGENT_WEB__PORT": str(port),
            },
        )  # fmt: skip
        await telegram.wait_for(lambda: telegram.webhook, 60)
        url, secret = telegram.webhook
        address = f"http://127.0.0.1:{port}/telegram/here"
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            headers = {"Host": "bot.example.org", "X-Telegram-Bot-Api-Secret-Token": secret}
            forged = await client.post(
                address, json=update("/help"), headers={**headers, "X-Telegram-Bot-Api-Secret-Token": "x"}
            )
            taken = await client.post(address, json=update("/help"), headers=headers)
        await telegram.wait_for(
            lambda: [m for m in telegram.bot_messages(OWNER) if "Tell me what you need" in m.text], 30
        )
        process.send_signal(signal.SIGTERM)
        _, err = await process.communicate()

    assert url == "https://bot.example.org/telegram/here"
    assert (forged.status_code, taken.status_code) == (403, 200)
    assert process.returncode == 0, err.decode()
