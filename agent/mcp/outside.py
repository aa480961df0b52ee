"""The way to a server at a URL: over connections whose addresses are checked as they are opened."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx2
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from sandbox.addresses import is_public

if TYPE_CHECKING:
    from agent.config.mcp import McpServer
    from agent.mcp.fault import Fault
    from agent.mcp.streams import Streams

MOST_BYTES = 64 << 20
CONNECT_SECONDS = 15.0
READ_SECONDS = 300.0
SSE_PATH = "/sse"
SESSION = "mcp-session-id"
LINK_LOCAL = "the addresses that clouds keep their own secrets at are never asked"


class Refused(httpx2.TransportError):
    """An address is not to be reached; the text says why and what would allow it."""


class CheckedTransport(httpx2.AsyncBaseTransport):
    """Resolves a name once, checks every address that it stands for, and connects to one of them.

    TLS still checks the certificate of the name. What a server sends in one answer is bounded. Nothing is taken from
    the environment: no proxy, no `.netrc`. What goes wrong is noted in `fault`.
    """

    def __init__(self, fault: Fault, *, private: bool) -> None:
        self._fault = fault
        self._private = private
        self._inner = httpx2.AsyncHTTPTransport(trust_env=False)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request to a checked address."""
        host = request.url.host
        address = await self._address(host, request.url.port or (443 if request.url.scheme == "https" else 80))
        checked = httpx2.Request(  # a new one: redirects are judged by the address that was asked for
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": host},
        )
        response = await self._inner.handle_async_request(checked)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Bounded(response.stream)
        if request.method == "POST":  # servers may well refuse the other ways in
            await self._note(response, known=SESSION in request.headers)
        return response

    async def _note(self, response: httpx2.Response, *, known: bool) -> None:
        """Remember a refusal. A server that was begun anew answers 404, or 400, to the name of its old session."""
        status = response.status_code
        self._fault.status = status if status >= 400 else 0
        if known and (status == 404 or (status == 400 and await _unread(response))):
            self._fault.forgotten = self._fault.silent = True

    async def aclose(self) -> None:
        """Close all connections."""
        await self._inner.aclose()

    async def _address(self, host: str, port: int) -> str:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise httpx2.ConnectError(f"there is no host {host!r}, or its name can't be looked up now") from None
        addresses = list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))
        for text in addresses:
            self._check(host, ipaddress.ip_address(text))
        return addresses[0]

    def _check(self, host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
        if address.is_link_local:
            raise Refused(f"{host} is {address}: {LINK_LOCAL}")
        if not self._private and not is_public(address):
            where = host if host == str(address) else f"{host} is {address}, which"
            raise Refused(f"{where} is not on the public internet; private = true (`add --private`) allows it")


async def _unread(response: httpx2.Response) -> bool:
    """Say whether a message was refused before anybody read it: such an answer names no message."""
    try:
        return json.loads(await response.aread()).get("id") is None
    except (ValueError, AttributeError):
        return True


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received = 0
        async for part in self._inner:
            received += len(part)
            if received > MOST_BYTES:
                raise httpx2.ReadError(f"it sent more than {MOST_BYTES >> 20} MB in one answer")
            yield part

    async def aclose(self) -> None:
        await self._inner.aclose()


def headers_of(settings: McpServer, secrets: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that carry secrets."""
    made = {header: secrets[name] for header, name in settings.headers.items()}
    return made | ({"Authorization": f"Bearer {secrets[settings.bearer]}"} if settings.bearer else {})


@asynccontextmanager
async def outside(settings: McpServer, secrets: Mapping[str, str], fault: Fault) -> AsyncIterator[Streams]:
    """Open the way to a server at a URL: streamable HTTP, or where the path ends in /sse the older event stream."""
    headers = headers_of(settings, secrets)

    def client(
        headers: dict[str, str] | None = headers,
        timeout: httpx2.Timeout | None = None,
        auth: httpx2.Auth | None = None,
    ) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            transport=CheckedTransport(fault, private=settings.private),
            headers=headers,
            timeout=timeout or httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            auth=auth,
            trust_env=False,
        )

    if settings.url.partition("?")[0].rstrip("/").endswith(SSE_PATH):
        older: Any = sse_client(settings.url, headers=headers, httpx_client_factory=client)
        async with older as streams:
            yield streams
        return
    async with client() as http, streamable_http_client(settings.url, http_client=http) as streams:
        yield streams
