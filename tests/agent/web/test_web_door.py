"""The HTTP door over real sockets: who may call, how much may come in, and what is answered."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx
import pytest

from agent.config import Web
from agent.errors import ConfigError, JournalFailed, NotFound
from agent.web.app import web_app
from agent.web.guard import MOST_BYTES
from agent.web.hooks import Allowance
from agent.web.server import WebServer, listen


class Desk:
    """Stands in for the rooms behind the door, and notes what came."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Mapping[str, str], bytes]] = []
        self.answers: list[str] = []
        self.well = True
        self.updates: list[bytes] = []
        self.held = asyncio.Event()
        self.held.set()

    async def receive(self, trigger: str, headers: Mapping[str, str], body: bytes) -> str:
        if trigger == "none":
            raise NotFound("There is no trigger 'none'.")
        if trigger == "broken":
            raise ConfigError("The secret of 'broken' is gone.")
        if trigger == "busy":
            raise JournalFailed("Another process has kept the journal /home/ada/journal.db locked.")
        if trigger == "worn":
            raise OSError(errno.EMFILE, "Too many open files")
        self.calls.append((trigger, headers, body))
        await self.held.wait()
        return self.answers.pop(0) if self.answers else "accepted"

    async def is_well(self) -> bool:
        if not self.well:
            raise OSError("disk")
        return True

    async def on_telegram(self, headers: Mapping[str, str], body: bytes) -> int:
        self.updates.append(body)
        return 200 if headers.get("x-telegram-bot-api-secret-token") == "s" else 401


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


@asynccontextmanager
async def serving(desk: Desk, **settings) -> AsyncIterator[WebServer]:
    web = Web(**{"port": free_port(), **settings})
    server = listen(web_app(web, receive=desk.receive, is_well=desk.is_well, on_telegram=desk.on_telegram), web)
    task = asyncio.create_task(server.run())
    try:
        yield server
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
async def client(desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        serving(desk, hosts=("box",), public_url="https://bot.example.org/x") as server,
        httpx.AsyncClient(base_url=server.address, trust_env=False, timeout=60) as made,
    ):
        yield made


async def test_what_came_of_a_webhook_is_its_status(client: httpx.AsyncClient, desk: Desk):
    desk.answers = ["accepted", "duplicate", "refused"]
    answers = [await client.post("/hooks/t1", content=b"{}", headers={"X-Mark": "1"}) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [202, 200, 401]
    assert answers[2].json() == {"error": "The signature, its time or the secret does not fit."}
    trigger, headers, body = desk.calls[0]
    assert (trigger, headers["x-mark"], body) == ("t1", "1", b"{}")


async def test_a_webhook_that_is_none_or_broken_is_told(client: httpx.AsyncClient):
    assert (await client.post("/hooks/none")).status_code == 404
    broken = await client.post("/hooks/broken")
    assert (broken.status_code, broken.json()) == (400, {"error": "The secret of 'broken' is gone."})
    assert (await client.get("/hooks/t1")).status_code == 405
    assert (await client.get("/docs")).status_code == 404
    assert (await client.get("/openapi.json")).status_code == 404


@pytest.mark.parametrize("trigger", ["busy", "worn"])
async def test_a_caller_is_asked_to_come_again_when_the_machine_is_in_the_way(client: httpx.AsyncClient, trigger: str):
    answer = await client.post(f"/hooks/{trigger}")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    assert answer.json() == {"error": "Not now; call again."}


async def test_a_body_of_a_mebibyte_is_taken_and_one_byte_more_is_not(client: httpx.AsyncClient, desk: Desk):
    assert (await client.post("/hooks/t1", content=b"x" * MOST_BYTES)).status_code == 202
    assert (await client.post("/hooks/t1", content=b"x" * (MOST_BYTES + 1))).status_code == 413
    assert [len(body) for _, _, body in desk.calls] == [MOST_BYTES]


async def test_a_body_that_does_not_say_its_size_is_counted(client: httpx.AsyncClient, desk: Desk):
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(MOST_BYTES // 65_536 + 1):
            yield b"x" * 65_536

    assert (await client.post("/hooks/t1", content=pieces())).status_code == 413
    assert desk.calls == []


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:99", "box:1", "bot.example.org", "127.0.0.1", "[::1]:80", "BOX."]
)
async def test_its_own_names_and_addresses_are_accepted(client: httpx.AsyncClient, host):
    assert (await client.get("/health", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "", "[", "127.0.0.1.evil.example", "bot.example.org@evil.example:1x"],
)
async def test_another_name_for_this_machine_is_refused(client: httpx.AsyncClient, desk: Desk, host):
    answer = await client.post("/hooks/t1", headers={"Host": host})

    assert answer.status_code in {400, 421}
    assert desk.calls == []


async def test_health_says_when_the_journal_fails(client: httpx.AsyncClient, desk: Desk):
    well = await client.get("/health")
    assert (well.status_code, well.json()) == (200, {"status": "ok"})
    assert well.headers["x-frame-options"] == "DENY"
    assert "server" not in well.headers
    desk.well = False
    failing = await client.get("/health")
    assert (failing.status_code, failing.json()) == (503, {"status": "failing"})


async def test_telegrams_updates_are_handed_to_the_channel(client: httpx.AsyncClient, desk: Desk):
    good = await client.post("/telegram/abc/def", content=b"1", headers={"X-Telegram-Bot-Api-Secret-Token": "s"})
    bad = await client.post("/telegram", content=b"2")
    large = await client.post("/telegram", content=b"x" * (MOST_BYTES + 1))

    assert (good.status_code, bad.status_code, large.status_code) == (200, 401, 413)
    assert desk.updates == [b"1", b"2"]


async def test_a_flood_is_refused_and_forged_calls_use_up_nothing(desk: Desk):
    async with (
        serving(desk, per_minute=2) as server,
        httpx.AsyncClient(base_url=server.address, trust_env=False) as client,
    ):
        desk.answers = ["refused"] * 5 + ["accepted", "accepted"]
        answers = [(await client.post("/hooks/t1")).status_code for _ in range(8)]

        assert answers == [401] * 5 + [202, 202, 429]
        assert (await client.post("/hooks/t2")).status_code == 202
        assert (await client.post("/hooks/t1")).headers["retry-after"] == "30"


def test_an_allowance_comes_back_with_time():
    now = [0.0]
    allowance = Allowance(60, lambda: now[0])

    assert [allowance.take("a") for _ in range(61)] == [True] * 60 + [False]
    now[0] += 2
    assert [allowance.take("a") for _ in range(3)] == [True, True, False]


async def test_a_port_that_is_taken_is_named(desk: Desk):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"Port {port} on 127.0.0.1 is taken") as error:
            async with serving(desk, port=port):
                pass
        assert f"DIRIGENT_WEB__PORT={port + 1}" in error.value.hint


async def test_an_address_that_is_not_of_this_machine_is_named(desk: Desk):
    with pytest.raises(ConfigError, match=r"web\.host '192\.0\.2\.1' is no address of this machine"):
        async with serving(desk, host="192.0.2.1"):
            pass


async def test_what_is_being_answered_at_the_end_is_finished(desk: Desk):
    desk.held.clear()
    async with httpx.AsyncClient(trust_env=False) as client:
        async with serving(desk) as server:
            asked = asyncio.create_task(client.post(f"{server.address}/hooks/t1"))
            while not desk.calls:
                await asyncio.sleep(0)
            asyncio.get_running_loop().call_later(0.05, desk.held.set)
        assert (await asked).status_code == 202
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{server.address}/health")


async def silent(server: WebServer, said: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(said)
    await writer.drain()
    return reader, writer


async def test_more_silent_connections_than_there_may_be_keep_nobody_out(desk: Desk, monkeypatch):
    monkeypatch.setattr("agent.web.server.MOST_OPEN", 8)
    async with serving(desk) as server, httpx.AsyncClient(trust_env=False, timeout=60) as client:
        opened = [await silent(server, b"GET / HT" * (n % 2)) for n in range(40)]
        assert (await client.get(f"{server.address}/health")).status_code == 200
        async with asyncio.timeout(60):
            for reader, _ in opened[:30]:
                assert await reader.read() == b""
        for _, writer in opened:
            writer.close()


async def test_who_drips_a_request_or_says_nothing_is_let_go(desk: Desk, monkeypatch):
    monkeypatch.setattr("agent.web.server.HEAD_SECONDS", 0.3)
    async with serving(desk) as server, asyncio.timeout(60):
        reader, writer = await silent(server)
        assert await reader.read() == b""
        writer.close()
        reader, writer = await silent(server, b"GET /health HTTP/1.1\r\n")
        ended = asyncio.create_task(reader.read())
        while not ended.done():  # a byte at a time does not begin the time anew
            writer.write(b"x")
            await asyncio.wait({ended}, timeout=0.05)
        with contextlib.suppress(ConnectionError):  # what was still dripping meets a closed door
            assert b"200" not in await ended
        writer.close()


async def test_an_answer_that_takes_its_time_is_waited_for(desk: Desk, monkeypatch):
    monkeypatch.setattr("agent.web.server.HEAD_SECONDS", 0.1)
    desk.held.clear()
    async with serving(desk) as server, httpx.AsyncClient(trust_env=False, timeout=60) as client:
        asked = asyncio.create_task(client.post(f"{server.address}/hooks/t1"))
        while not desk.calls:
            await asyncio.sleep(0)
        reader, writer = await silent(server)
        assert await reader.read() == b""  # the time is over for another one that came later
        writer.close()
        desk.held.set()
        assert (await asked).status_code == 202
