"""Every connection of a job, made or refused, is told to whoever audits: whose it was, where to, how much, why not."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sandbox import addresses, network, proxy
from sandbox.api import Connection, Job, Limits, Policy
from sandbox.boxes import Box
from sandbox.canaries import probe


@dataclass
class Door:
    """A proxy on a real socket, what it told, and a server behind it that answers and hangs up."""

    served: proxy.Proxy
    address: tuple[str, int]
    far: int
    told: list[Connection] = field(default_factory=list)

    def grant(self, *hosts: str, left: int = 1 << 20, private: tuple[str, ...] = ("127.0.0.1:*",)) -> proxy.Grant:
        allowed, inner = proxy.Places.parse(hosts), proxy.Places.parse(private)
        rules = proxy.Rules(allowed, proxy.Places(), proxy.Places(), inner)
        given = proxy.Grant("s-1", rules, left, self.told.append, run="r-12", step="fetch")
        self.served.admit(given)
        return given

    async def ask(self, given: proxy.Grant | None, host: str, body: bytes = b"") -> bytes:
        """Ask for a host as a program would; return all that came back."""
        reader, writer = await asyncio.open_connection(*self.address)
        named = base64.b64encode(f"job:{given.token if given else 'wrong'}".encode()).decode()
        head = f"POST http://{host}/ HTTP/1.1\r\nContent-Length: {len(body)}\r\nProxy-Authorization: Basic {named}\r\n"
        writer.write(f"{head}\r\n".encode() + body)
        try:
            return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    far = await asyncio.start_server(answer, "127.0.0.1", 0)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    made = Door(None, listener.getsockname(), far.sockets[0].getsockname()[1])
    nobody = network.nobody("s-1", Policy(on_connection=made.told.append))
    made.served = proxy.Proxy(listener, nobody)
    await made.served.start()
    async with far:
        yield made
        await made.served.close()


async def test_a_connection_is_told_with_its_job_its_address_and_its_bytes(door: Door):
    given = door.grant(f"127.0.0.1:{door.far}")

    assert (await door.ask(given, f"127.0.0.1:{door.far}", b"12345")).endswith(b"hello")
    await door.served.dismiss(given)

    [made] = door.told
    assert (made.session, made.run, made.step, made.host, made.port) == ("s-1", "r-12", "fetch", "127.0.0.1", door.far)
    assert (made.allowed, made.address, made.network, made.reason) == (True, "127.0.0.1", "loopback", "")
    assert made.sent > 5
    assert made.received == len(b"HTTP/1.1 200 OK\r\n\r\nhello")


async def test_a_refusal_is_told_with_the_class_of_the_address_that_was_the_reason(door: Door):
    given = door.grant("*:*", private=())

    for host in (f"127.0.0.1:{door.far}", "169.254.169.254", "10.1.2.3:8080", "224.0.0.1"):
        await door.ask(given, host)

    assert [(c.allowed, c.network, c.address) for c in door.told] == [
        (False, "loopback", "127.0.0.1"),
        (False, "link-local", "169.254.169.254"),
        (False, "private", "10.1.2.3"),
        (False, "special", "224.0.0.1"),
    ]
    assert all("not on the public internet" in c.reason or "no single host" in c.reason for c in door.told)


async def test_a_host_that_was_not_declared_is_told_before_any_name_is_looked_up(door: Door):
    given = door.grant("api.example.org")

    await door.ask(given, "secret-4711.attacker.example:443")

    [refused] = door.told
    assert (refused.host, refused.port, refused.address, refused.network) == (
        "secret-4711.attacker.example",
        443,
        "",
        "",
    )
    assert "not among the hosts" in refused.reason


async def test_what_a_job_without_leave_wants_is_told_too(door: Door):
    assert (await door.ask(None, "api.example.org")).startswith(b"HTTP/1.1 407")

    [refused] = door.told
    assert (refused.session, refused.host, refused.allowed, refused.run) == ("s-1", "api.example.org", False, "")


async def test_very_many_connections_of_a_job_are_summed_up_when_it_ends(door: Door, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(proxy, "MOST_TOLD", 3)
    given = door.grant(f"127.0.0.1:{door.far}")

    for _ in range(3):
        await door.ask(given, f"127.0.0.1:{door.far}")
    await door.ask(given, "other.example:1")
    await door.ask(given, f"127.0.0.1:{door.far}", b"x" * 10)
    assert len(door.told) == 3
    await door.served.dismiss(given)
    await door.served.dismiss(given)

    *each, rest = door.told
    assert [c.count for c in each] == [1, 1, 1]
    assert (rest.count, rest.host, rest.allowed, rest.run, rest.step) == (2, "", True, "r-12", "fetch")
    assert rest.sent == each[0].sent + 10 + 1  # "10" is longer than "0"


async def test_a_job_that_is_cancelled_has_its_open_connection_told(tmp_path: Path):
    """The result never comes; the line does."""
    told: list[Connection] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = f"127.0.0.1:{listener.getsockname()[1]}"
        code = (
            "import os, socket, base64, urllib.parse as p\nu = p.urlsplit(os.environ['HTTP_PROXY'])\n"
            "named = base64.b64encode(f'{u.username}:{u.password}'.encode()).decode()\n"
            "s = socket.create_connection((u.hostname, u.port))\n"
            f"s.sendall(f'CONNECT {place} HTTP/1.1\\r\\nProxy-Authorization: Basic {{named}}\\r\\n\\r\\n'.encode())\n"
            "s.recv(99)\ns.sendall(b'all of it')\nopen('sent', 'w').close()\ns.recv(1)"
        )
        policy = Policy(private_hosts=(place,), tool_hosts=(place,), on_connection=told.append)
        async with Box("s-1", tmp_path / "w", policy, await probe()) as box:
            job = Job("python", code, net=(place,), limits=Limits(wall_s=60), run="r-7", step="send")
            running = asyncio.create_task(box.run(job))
            far, _ = await asyncio.to_thread(listener.accept)
            with far:
                assert await asyncio.to_thread(far.recv, 99) == b"all of it"
                running.cancel()
                await asyncio.wait({running})
    [made] = told
    assert (made.run, made.step, made.allowed, made.sent, made.reason) == ("r-7", "send", True, 9, "the job ended")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("1.1.1.1", "public"),
        ("2606:4700::1111", "public"),
        ("192.168.1.1", "private"),
        ("100.64.0.1", "private"),
        ("fd00::1", "private"),
        ("::ffff:10.0.0.1", "private"),
        ("127.9.9.9", "loopback"),
        ("::1", "loopback"),
        ("0.0.0.0", "loopback"),
        ("169.254.169.254", "link-local"),
        ("fe80::1", "link-local"),
        ("64:ff9b::a9fe:a9fe", "link-local"),
        ("203.0.113.5", "special"),
        ("ff02::1", "special"),
        ("168.63.129.16", "special"),
    ],
)
def test_the_class_of_an_address(address: str, said: str):
    assert addresses.network_of(ipaddress.ip_address(address)) == said
