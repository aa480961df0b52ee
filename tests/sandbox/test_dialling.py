"""A sidecar has no network: what its jobs may reach the agent connects them to, by the agent's own rules."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox import dialling, wire
from sandbox.api import Connection, Job, Limits, Policy
from sandbox.boxes import Boxes
from sandbox.places import Place, Places
from sandbox.proxy import Refused, Rules

REPOSITORY = Path(__file__).resolve().parents[2]
LONG = Limits(wall_s=60)


@pytest.fixture
async def server() -> AsyncIterator[int]:
    """A web server on this machine's loopback; gives its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as serving:
        yield serving.sockets[0].getsockname()[1]


@pytest.fixture
async def boxes(tmp_path: Path, server: int) -> AsyncIterator[Boxes]:
    """Boxes in a sidecar whose network namespace holds nothing, not even loopback."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("only root makes a network namespace for the whole sidecar (fine in CI)")
    (tmp_path / "sessions").mkdir()
    path = tmp_path / "s.sock"
    command = [sys.executable, "-m", "sandbox.sidecar", "--socket", str(path), "--root", str(tmp_path / "sessions")]
    process = subprocess.Popen(["unshare", "--net", *command], cwd=REPOSITORY)
    async with asyncio.timeout(60):
        while not path.exists():
            await asyncio.sleep(0.01)
    host = f"localhost:{server}"
    told: list[Connection] = []
    pool = Boxes(Policy(sidecar=path, private_hosts=(host,), tool_hosts=(host,), on_connection=told.append))
    pool.told = told  # type: ignore[attr-defined]
    yield pool
    await pool.close()
    process.terminate()
    assert process.wait(100) == 0
    assert not dialling.beside(path).exists()


def fetch(address: str) -> str:
    return (
        "import os, urllib.request as r\nos.environ['no_proxy'] = os.environ['NO_PROXY'] = ''\n"
        f"try: print(r.urlopen('http://{address}/').read().decode().strip())\n"
        "except OSError as error: print(error)"
    )


async def test_a_job_reaches_what_it_declared_and_nothing_else(boxes: Boxes, tmp_path: Path, server: int):
    folder, host = tmp_path / "sessions" / "w", f"localhost:{server}"
    found = await boxes.run("s", folder, Job("python", fetch(host), net=(host,), run="r", step="s1", limits=LONG))
    assert found.stdout.text == "hello\n", found.stderr.text
    [made] = found.connections
    assert (made.host, made.address, made.allowed, made.received > 40) == ("localhost", "127.0.0.1", True, True)
    assert [(c.host, c.run, c.step) for c in boxes.told] == [("localhost", "r", "s1")]  # type: ignore[attr-defined]
    other = await boxes.run("s", folder, Job("python", fetch(f"127.0.0.1:{server}"), net=(host,), limits=LONG))
    assert "not among the hosts" in other.warnings[0]
    without = await boxes.run("s", folder, Job("python", fetch(host), limits=LONG))
    assert "hello" not in without.stdout.text
    direct = f"import socket\nsocket.create_connection(('127.0.0.1', {server}), 2)"
    assert not (await boxes.run("s", folder, Job("python", direct, net=(host,), limits=LONG))).ok


async def test_many_connections_at_once_are_each_their_own(boxes: Boxes, tmp_path: Path, server: int):
    folder, host = tmp_path / "sessions" / "w", f"localhost:{server}"
    jobs = [Job("python", fetch(host), net=(host,), limits=LONG) for _ in range(6)]
    found = await asyncio.gather(*(boxes.run("s", folder, job) for job in jobs))
    assert [one.stdout.text for one in found] == ["hello\n"] * 6


async def test_where_nobody_answers_the_job_is_told(boxes: Boxes, tmp_path: Path, server: int):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        host = f"localhost:{closed.getsockname()[1]}"
        boxes._policy = replace(boxes._policy, private_hosts=(host,), tool_hosts=(host,))
        found = await boxes.run("t", tmp_path / "sessions" / "t", Job("python", fetch(host), net=(host,), limits=LONG))
    assert "does not answer" in found.warnings[0], found


def rules(*allowed: str, private: tuple[str, ...] = ()) -> Rules:
    return Rules(Places.parse(allowed), Places(), Places(), Places.parse(private))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "0.0.0.0", "169.254.169.254", "10.1.2.3"])
async def test_inner_addresses_are_not_connected_to_for_a_sidecar(host: str):
    with pytest.raises(Refused, match=r"not on the public internet|no single host"):
        await dialling.connect(host, 80, rules("*:*"))


@pytest.mark.parametrize("host", ["other.example", "127.1", "2130706433", "a b", ""])
async def test_what_is_not_allowed_or_no_host_is_not_connected_to(host: str):
    with pytest.raises(Refused):
        await dialling.connect(host, 80, rules("example.org", private=("*:*",)))


async def test_a_sidecar_gets_no_connection_that_its_job_may_not_have(tmp_path: Path, server: int):
    """One that was taken over asks for what it likes, for a job that declared another host, and for one without any."""
    refusals: list[dict[str, Any]] = []

    async def lying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(wire.message(hello=wire.VERSION, rung={"stance": "none"}))
        while (asked := await wire.read(reader)) is not None:
            if asked["op"] == "run":
                writer.write(wire.message(id=asked["id"], dial="w", host="127.0.0.1", port=server))
            elif asked["op"] == "refuse":
                refusals.append(asked)
                writer.write(wire.message(id=asked["id"], refusal="enough"))
        writer.close()

    path = tmp_path / "s.sock"
    async with await asyncio.start_unix_server(lying, path):
        boxes = Boxes(Policy(sidecar=path))
        for net in ((), ("example.org",)):
            with pytest.raises(Exception, match="enough"):
                await boxes.run("s", tmp_path / "w", Job("shell", "true", net=net))
        await boxes.close()
    assert [(said["status"], "not among the hosts" in said["reason"]) for said in refusals] == [(403, True)] * 2


@contextlib.contextmanager
def exchange_at(path: Path) -> Iterator[dialling.Exchange]:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    listener.bind(str(dialling.beside(path)))
    listener.listen()
    exchange = dialling.Exchange(listener)
    yield exchange
    exchange.close()


async def test_who_only_connects_takes_no_more_than_his_share(tmp_path: Path):
    with exchange_at(tmp_path / "s") as exchange, contextlib.ExitStack() as held:
        loop = asyncio.get_running_loop()
        for _ in range(dialling.MOST_LINES + 1):
            last = held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK))
            await loop.sock_connect(last, str(dialling.beside(tmp_path / "s")))
        async with asyncio.timeout(60):
            assert await loop.sock_recv(last, 1) == b""
        assert len(exchange._lines) == dialling.MOST_LINES


async def test_what_nobody_waits_for_is_closed(tmp_path: Path):
    path = tmp_path / "s"
    with exchange_at(path) as exchange:
        await nobody_takes(exchange, path)


async def nobody_takes(exchange: dialling.Exchange, path: Path) -> None:
    near, far = socket.socketpair()
    with near:
        await dialling.hand_over(path, "made up", far)
        far.close()
        near.setblocking(False)
        async with asyncio.timeout(60):
            assert await asyncio.get_running_loop().sock_recv(near, 1) == b""
    assert not exchange._lines


async def test_what_the_agent_does_not_answer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dialling, "ANSWER_S", 0.01)
    asked: list[dict[str, Any]] = []
    with exchange_at(tmp_path / "s") as exchange:
        with pytest.raises(Refused, match=r"example\.org:443 was not reached in time"):
            await exchange.dial(Place("example.org", 443), lambda **said: asked.append(said))
        exchange.refuse({"dial": asked[0]["dial"], "status": 403})  # which comes too late
        assert not exchange._waiting


async def test_who_connects_and_says_nothing_is_sent_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dialling, "HAND_OVER_S", 0.01)
    with exchange_at(tmp_path / "s") as exchange:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK) as line:
            loop = asyncio.get_running_loop()
            await loop.sock_connect(line, str(dialling.beside(tmp_path / "s")))
            async with asyncio.timeout(60):
                assert await loop.sock_recv(line, 1) == b""
        assert not exchange._lines
