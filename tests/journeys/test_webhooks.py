"""Webhooks from the wire to the run: signed, replayed, forged, stale, too large, at once, and across a kill."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from agent.app import build_app
from agent.automation.webhook import SIGNATURE_HEADER, TIMESTAMP_HEADER, sign
from agent.config import AppConfig, Web
from agent.domain.messages import Destination
from agent.domain.states import FINAL, Status
from agent.domain.trigger import Trigger, TriggerKind
from agent.testing import Bot
from agent.web.app import web_app
from agent.web.server import listen
from plugins.api import tool

PIPELINE = """\
name: order
inputs: {number: {type: integer}}
steps:
  - {id: s1, use: say, args: {text: 'order {{ inputs.number }}'}}
"""
PLUGIN = '''"""Say things."""
from plugins.api import tool

@tool
def say(text: str) -> str:
    """Return the text."""
    return text
'''
DEST = Destination("terminal", "main")


@tool
def say(text: str) -> str:
    """Return the text."""
    return text


@dataclass
class Caller:
    """Somebody who calls a webhook."""

    client: httpx.AsyncClient
    secret: str

    async def calls(self, body: bytes, *, at: float | None = None, secret: str = "", **headers: str) -> int:
        stamp = str(time.time() if at is None else at)
        signed = {TIMESTAMP_HEADER: stamp, SIGNATURE_HEADER: sign(secret or self.secret, body, stamp)}
        return (await self.client.post("/hooks/t1", content=body, headers={**signed, **headers})).status_code


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def a_trigger(dest: Destination) -> Trigger:
    target = {"pipeline": "order", "inputs": {"number": "{{ event.payload.number }}"}}
    return Trigger("t1", "orders", TriggerKind.WEBHOOK, target, dest.session_id, dest, {"type": "webhook.orders"})


def put_pipeline(home: Path) -> None:
    (home / "pipelines").mkdir(parents=True, exist_ok=True)
    (home / "pipelines" / "order.yaml").write_text(PIPELINE)


@pytest.fixture
async def bot(tmp_path: Path) -> AsyncIterator[Bot]:
    put_pipeline(tmp_path / "home")
    async with Bot(tmp_path / "home", [say], offline=True) as made:
        await made.app.automation.start()
        yield made


@pytest.fixture
async def caller(bot: Bot) -> AsyncIterator[Caller]:
    await bot.app.automation.create(a_trigger(bot.dest))
    assert bot.app.automation.hooks is not None
    secret = bot.app.automation.hooks.make_secret("t1")
    web = Web(port=free_port())

    async def is_well() -> bool:
        return True

    server = listen(web_app(web, receive=bot.app.automation.receive, is_well=is_well), web)
    task = asyncio.create_task(server.run())
    async with httpx.AsyncClient(base_url=server.address, trust_env=False, timeout=60) as client:
        yield Caller(client, secret)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def runs(bot: Bot, count: int) -> list[str]:
    """Wait until there are so many runs and all have ended; return their answers, oldest first."""
    async with asyncio.timeout(60):
        while True:
            bot.app.store.outbox_changed.clear()
            found = await bot.app.store.recent_runs(bot.dest.session_id, 50)
            if len(found) >= count and all(run.status in FINAL for run in found):
                return [run.answer for run in reversed(found)]
            try:
                async with asyncio.timeout(0.2):  # a run that has nothing to say changes nothing in the outbox
                    await bot.app.store.outbox_changed.wait()
            except TimeoutError:
                continue


async def test_a_signed_call_runs_its_pipeline(bot: Bot, caller: Caller):
    assert await caller.calls(b'{"number": 7}') == 202

    assert await runs(bot, 1) == ["order 7"]


async def test_a_replayed_call_runs_nothing_again(bot: Bot, caller: Caller):
    at = time.time()
    assert [await caller.calls(b'{"number": 7}', at=at) for _ in range(3)] == [202, 200, 200]
    assert await caller.calls(b'{"number": 8}', at=at) == 202

    assert sorted(await runs(bot, 2)) == ["order 7", "order 8"]


async def test_forged_stale_and_early_calls_are_refused(bot: Bot, caller: Caller):
    body = b'{"number": 7}'
    assert await caller.calls(body, secret="guessed") == 401
    assert await caller.calls(body, at=time.time() - 301) == 401
    assert await caller.calls(body, at=time.time() + 301) == 401
    assert await caller.calls(body, **{SIGNATURE_HEADER: "sha256="}) == 401
    assert await caller.calls(body, **{TIMESTAMP_HEADER: "nan"}) == 401
    assert (await caller.client.post("/hooks/t1", content=body)).status_code == 401
    assert (await caller.client.post("/hooks/other", content=body)).status_code == 404

    assert await caller.calls(body) == 202
    assert await runs(bot, 1) == ["order 7"]


async def test_what_is_forged_is_not_read(bot: Bot, caller: Caller):
    assert await caller.calls(b"\xff\xfe not text", secret="guessed") == 401
    assert await caller.calls(b"\xff\xfe not text") == 400


async def test_an_oversized_call_is_refused_before_its_signature_is_checked(bot: Bot, caller: Caller):
    assert await caller.calls(b"x" * 1_048_577) == 413
    assert await caller.calls(b'{"number": 1}') == 202
    assert await runs(bot, 1) == ["order 1"]


async def test_two_at_once_are_two_and_one_twice_at_once_is_one(bot: Bot, caller: Caller):
    at = time.time()
    calls = [
        caller.calls(b'{"number": 1}', at=at),
        caller.calls(b'{"number": 1}', at=at),
        caller.calls(b'{"number": 2}'),
    ]

    assert sorted(await asyncio.gather(*calls)) == [200, 202, 202]
    assert sorted(await runs(bot, 2)) == ["order 1", "order 2"]


async def test_a_paused_webhook_says_so(bot: Bot, caller: Caller):
    await bot.app.automation.disable("t1")
    assert await caller.calls(b"{}") == 400


# --- as a process -------------------------------------------------------------------------------------------------
async def serve(port: int) -> asyncio.subprocess.Process:
    """Start `dirigent serve` and return when it listens."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "agent", "serve",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "DIRIGENT_WEB__PORT": str(port), "DIRIGENT_MODEL": "offline"},
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(60):
        while b"Serving" not in (line := await process.stdout.readline()):
            assert line, (await process.communicate())[1].decode()
    return process


@pytest.fixture
async def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[AppConfig, str]:
    """A home with a plugin, a pipeline and a webhook; and the webhook's secret."""
    for name in [name for name in os.environ if name.startswith(("DIRIGENT_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    monkeypatch.setenv("DIRIGENT_HOME", str(home))
    put_pipeline(home)
    (home / "plugins").mkdir()
    (home / "plugins" / "saying.py").write_text(PLUGIN)
    config = AppConfig(home=home, model="offline")
    app = build_app(config)
    await app.store.open()
    await app.automation.create(a_trigger(DEST))
    assert app.automation.hooks is not None
    secret = app.automation.hooks.make_secret("t1")
    await app.stop()
    return config, secret


@pytest.mark.crash
async def test_what_was_accepted_runs_once_though_the_process_was_killed_right_after(installation):
    config, secret = installation
    port = free_port()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        caller = Caller(client, secret)
        first = await serve(port)
        at = time.time()
        assert await caller.calls(b'{"number": 7}', at=at) == 202
        first.kill()
        await first.communicate()

        second = await serve(port)
        assert await caller.calls(b'{"number": 7}', at=at) == 200
        app = build_app(config)
        await app.store.open()
        async with asyncio.timeout(60):
            while not (found := await app.store.recent_runs(DEST.session_id, 5)) or found[0].status not in FINAL:
                await asyncio.sleep(0.1)  # another process writes it
        second.send_signal(signal.SIGTERM)
        _, err = await second.communicate()
        found = await app.store.recent_runs(DEST.session_id, 5)
        await app.stop()

    assert [(run.answer, run.status) for run in found] == [("order 7", Status.COMPLETED)]
    assert second.returncode == 0, err.decode()


async def test_a_port_that_is_taken_ends_serve_with_the_way_on(installation):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "agent", "serve",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "DIRIGENT_WEB__PORT": str(port), "DIRIGENT_MODEL": "offline"},
        )  # fmt: skip
        async with asyncio.timeout(60):
            _, err = await process.communicate()

    assert process.returncode == 1
    assert f"Port {port} on 127.0.0.1 is taken by another program." in err.decode()
    assert b"Traceback" not in err
