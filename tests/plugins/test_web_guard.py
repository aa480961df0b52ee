"""Which addresses the web tools reach, and that nothing leads around the check."""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from plugins.api import ToolFailure
from plugins.web import client
from plugins.web.client import GuardedBackend, get
from plugins.web.guard import Allowed, check_url, is_public

NOTHING = Allowed()
LOOPBACK = Allowed.parse("127.0.0.1")


class Site:
    """A server on loopback that answers with prepared bytes and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.pages: dict[str, bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]] = {}
        self.port = 0

    def page(self, path: str, body: bytes = b"", *, status: str = "200 OK", **headers: str) -> str:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.pages[path] = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        return self.url(path)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.asked.append(head)
            page = self.pages.get(head.split(b" ")[1].decode(), b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            if callable(page):
                await page(writer)
            else:
                writer.write(page)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


async def refusal(call: Awaitable[Any]) -> str:
    with pytest.raises(ToolFailure) as caught:
        await call
    return f"{caught.value.message} {caught.value.hint}"


# --- addresses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "100.100.100.200", "192.0.0.192", "168.63.129.16", "224.0.0.1", "255.255.255.255", "240.0.0.1", "198.18.0.1",
        "::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "::127.0.0.1", "2002:7f00:1::", "2002:a00:1::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1",
        "2001:0:7f00:1::", "2001:db8::1", "100::1",
    ],
)  # fmt: skip
def test_inner_addresses_are_not_public(address: str):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.216.34", "2606:2800:220:1::1", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_the_public_internet_is_public(address: str):
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://example.org/x", "must begin with http"),
        ("file:///etc/passwd", "must begin with http"),
        ("javascript:alert(1)", "must begin with http"),
        ("https://me:secret@example.org/", "holds a name or password"),
        ("http://2130706433/", "unusual form"),
        ("http://0x7f000001/", "unusual form"),
        ("http://0177.0.0.1/", "Invalid IPv4"),
        ("http://127.1/", "unusual form"),
        ("http://example.org:25/", "Port 25"),
        ("http:///x", "no host"),
        ("http://example.org:99999/", "no port 99999"),
        ("https://example.org/" + "x" * 9_000, "at most 8,000"),
    ],
)
def test_an_address_that_is_not_to_be_asked_is_refused(url: str, reason: str):
    with pytest.raises(ToolFailure) as caught:
        check_url(url, NOTHING)
    assert reason in f"{caught.value.message} {caught.value.hint}"
    assert "secret" not in str(caught.value)


def test_an_address_without_a_scheme_is_meant_as_https():
    assert str(check_url("example.org/a#part", NOTHING)) == "https://example.org/a"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "LOCALHOST"]
)
async def test_nothing_on_this_machine_is_reached(site: Site, host: str):
    site.page("/", b"inside")
    said = await refusal(get(site.url("/", host), NOTHING))
    assert "not on the public internet" in said
    assert "allow_private" in said
    assert site.asked == []


async def test_what_the_owner_allows_is_reached(site: Site):
    site.page("/", b"inside", Content_Type="text/plain; charset=utf-8")
    for allowed, host in ((LOOPBACK, "127.0.0.1"), (Allowed.parse("localhost"), "localhost"), (LOOPBACK, "localhost")):
        answer = await get(site.url("/", host), allowed)
        assert (answer.body, answer.kind, answer.charset) == (b"inside", "text/plain", "utf-8")
    assert "not on the public" in await refusal(get(site.url("/"), Allowed.parse(f"127.0.0.1:{site.port + 1}")))
    assert (await get(site.url("/"), Allowed.parse(f"127.0.0.1:{site.port}"))).body == b"inside"


def test_a_wrong_entry_of_the_owners_list_is_named():
    with pytest.raises(ToolFailure, match=r"allow_private holds 'http://nas'"):
        Allowed.parse("10.0.0.0/8, http://nas")


# --- the name server ------------------------------------------------------------------------------------------------


async def test_a_name_is_resolved_once_and_the_checked_address_is_connected_to(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    site.page("/", b"hello")
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])

    async def rebinding(host: str, port: int) -> list[str]:
        return next(answers)

    monkeypatch.setattr(client, "resolve", rebinding)
    assert (await get(site.url("/", "rebind.test"), LOOPBACK)).body == b"hello"
    assert next(answers) == ["10.0.0.1"]
    assert f"host: rebind.test:{site.port}".encode() in site.asked[0].lower()


async def test_a_public_name_with_one_inner_address_is_refused_as_a_whole(site: Site, monkeypatch: pytest.MonkeyPatch):
    async def mixed(host: str, port: int) -> list[str]:
        return ["93.184.216.34", "127.0.0.1"]

    monkeypatch.setattr(client, "resolve", mixed)
    assert "two-faced.test is 127.0.0.1" in await refusal(get(site.url("/", "two-faced.test"), NOTHING))
    assert site.asked == []


async def test_the_next_address_is_tried_when_one_does_not_answer(monkeypatch: pytest.MonkeyPatch, site: Site):
    async def two(host: str, port: int) -> list[str]:
        return ["::1", "127.0.0.1"]

    site.page("/", b"second")
    monkeypatch.setattr(client, "resolve", two)
    assert (await get(site.url("/", "two.test"), Allowed.parse("127.0.0.1 ::1"))).body == b"second"


async def test_tls_names_the_host_and_not_the_pinned_address(monkeypatch: pytest.MonkeyPatch):
    hello = asyncio.get_running_loop().create_future()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello.set_result(await reader.read(4_096))
        writer.close()

    async def local(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    monkeypatch.setattr(client, "resolve", local)
    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert "could not be read" in await refusal(get(f"https://named.test:{port}/", LOOPBACK))
    assert b"named.test" in await hello


async def test_an_unknown_name_is_said(monkeypatch: pytest.MonkeyPatch):
    assert "There is no host 'no-such-host.invalid'" in await refusal(get("https://no-such-host.invalid/", NOTHING))


async def test_a_local_socket_file_is_never_connected_to():
    with pytest.raises(NotImplementedError):
        await GuardedBackend(LOOPBACK).connect_unix_socket("/run/x.sock")


# --- redirects ------------------------------------------------------------------------------------------------------


async def test_redirects_are_followed_and_the_last_address_is_told(site: Site):
    site.page("/a", status="302 Found", Location="b?x=1")
    site.page("/b?x=1", status="308 Permanent Redirect", Location=site.url("/c"))
    site.page("/c", b"there")
    answer = await get(site.url("/a"), LOOPBACK)
    assert (answer.body, answer.url) == (b"there", site.url("/c"))


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://localhost:1/", "localhost is "),
        ("http://169.254.169.254/latest/meta-data/", "169.254.169.254 is not on the public internet"),
        ("file:///etc/passwd", "must begin with http"),
        ("http://user:pw@127.0.0.1/", "name or password"),
        ("http://0x7f.1/", "unusual form"),
    ],
)
async def test_each_redirect_is_checked_anew(site: Site, location: str, reason: str):
    site.page("/a", status="302 Found", Location=location)
    said = await refusal(get(site.url("/a"), Allowed.parse(f"127.0.0.1:{site.port}")))
    assert reason in said


async def test_redirects_end(site: Site):
    site.page("/a", status="302 Found", Location="/a")
    assert "leads on more than 5 times" in await refusal(get(site.url("/a"), LOOPBACK))
    assert len(site.asked) == 6


async def test_keys_are_not_carried_to_where_a_redirect_leads(site: Site):
    site.page("/a", status="307 Temporary Redirect", Location="/b")
    site.page("/b", b"x")
    await get(site.url("/a"), LOOPBACK, method="POST", headers={"X-Key": "canary"}, json={"q": "canary"})
    assert b"canary" in site.asked[0]
    assert b"canary" not in site.asked[1]
    assert site.asked[1].startswith(b"GET /b ")


# --- size and time --------------------------------------------------------------------------------------------------


async def test_what_is_too_large_is_refused_or_cut(site: Site):
    site.page("/big", b"x" * 5_000)
    assert "is larger than" in await refusal(get(site.url("/big"), LOOPBACK, limit=1_000))
    answer = await get(site.url("/big"), LOOPBACK, limit=1_000, cut=True)
    assert (len(answer.body), answer.cut) == (1_000, True)


async def test_an_endless_answer_without_a_length_ends_at_the_limit(site: Site):
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()

    site.pages["/endless"] = endless
    assert "is larger than" in await refusal(get(site.url("/endless"), LOOPBACK, limit=1_000_000))


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_compressed_answers_are_read(site: Site, coding: str):
    body = gzip.compress(b"hello") if coding == "gzip" else zlib.compress(b"hello")
    site.page("/", body, Content_Encoding=coding)
    assert (await get(site.url("/"), LOOPBACK)).body == b"hello"
    raw = zlib.compressobj(wbits=-15)
    site.page("/raw", raw.compress(b"hello") + raw.flush(), Content_Encoding="deflate")
    assert (await get(site.url("/raw"), LOOPBACK)).body == b"hello"


async def test_a_decompression_bomb_ends_at_the_limit(site: Site):
    site.page("/bomb", gzip.compress(bytes(50_000_000)), Content_Encoding="gzip")
    assert "is larger than 1 MB" in await refusal(get(site.url("/bomb"), LOOPBACK, limit=1_000_000))


async def test_damaged_and_unasked_codings_are_refused(site: Site):
    site.page("/bad", b"not gzip at all", Content_Encoding="gzip")
    site.page("/br", b"x", Content_Encoding="br")
    assert "is damaged" in await refusal(get(site.url("/bad"), LOOPBACK))
    assert "'br', which was not asked for" in await refusal(get(site.url("/br"), LOOPBACK))


async def test_a_server_that_never_finishes_is_left(site: Site, monkeypatch: pytest.MonkeyPatch):
    gone = asyncio.Event()

    async def slow(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await writer.drain()
        await gone.wait()

    monkeypatch.setattr(client, "SECONDS", 2)
    site.pages["/slow"] = slow
    assert "did not answer completely within 2 seconds" in await refusal(get(site.url("/slow"), LOOPBACK))
    gone.set()


@pytest.mark.parametrize(
    ("status", "hint"),
    [("404 Not Found", "check the address"), ("403 Forbidden", "refuses programs"), ("503 Busy", "Try again later")],
)
async def test_an_error_of_the_server_is_said_with_the_way_on(site: Site, status: str, hint: str):
    site.page("/x", status=status)
    said = await refusal(get(site.url("/x"), LOOPBACK))
    assert f"answered {status}" in said
    assert hint in said


async def test_rubbish_instead_of_http_is_said(site: Site):
    site.pages["/x"] = b"SSH-2.0-OpenSSH\r\n\r\n"
    assert "could not be read" in await refusal(get(site.url("/x"), LOOPBACK))
