"""The one client of the web tools: guarded, bounded in size and time, without cookies, proxies or memory."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpcore
import httpx

from plugins.api import ToolFailure
from plugins.web.guard import Allowed, check_url, checked

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

MAX_BYTES = 20_000_000
MAX_REDIRECTS = 5
SECONDS = 50.0
SILENCE = 20.0
REDIRECTS = {301, 302, 303, 307, 308}
HEADERS = {
    "User-Agent": "Mozilla/5.0 (compatible; Dirigent)",
    "Accept": "text/html,application/xhtml+xml,text/*;q=0.9,*/*;q=0.8",
    "Accept-Encoding": "gzip, deflate",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server sent: the final address, the media type in lower case, and the decoded body.

    `cut` says that the body was longer than asked for.
    """

    url: str
    kind: str
    charset: str
    body: bytes
    disposition: str = ""
    cut: bool = False


async def get(url: str, allowed: Allowed, *, limit: int = MAX_BYTES, cut: bool = False, **request: Any) -> Answer:
    """Get an address, following redirects, each checked anew.

    `request` may hold `method`, `headers` and `json`; they go to the first host only. A body above `limit` bytes is
    refused, or cut. Raises ToolFailure with words for whatever goes wrong; nothing of it is retried.
    """
    try:
        async with asyncio.timeout(SECONDS), _client(allowed) as client:
            return await _follow(client, check_url(url, allowed), allowed, limit=limit, cut=cut, request=request)
    except TimeoutError as problem:
        raise ToolFailure(f"{url} did not answer completely within {SECONDS:g} seconds.") from problem
    except (httpx.HTTPError, httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as problem:
        raise ToolFailure(f"{url} could not be read: {_in_words(problem)}") from problem


def _client(allowed: Allowed) -> httpx.AsyncClient:
    timeout = httpx.Timeout(SILENCE)
    return httpx.AsyncClient(transport=GuardedTransport(allowed), headers=HEADERS, timeout=timeout, trust_env=False)


async def _follow(
    client: httpx.AsyncClient,
    url: httpx.URL,
    allowed: Allowed,
    *,
    limit: int,
    cut: bool,
    request: Mapping[str, Any],
) -> Answer:
    first = url
    options: dict[str, Any] = dict(request)
    for _ in range(MAX_REDIRECTS + 1):
        asked = client.build_request(options.pop("method", "GET"), url, **options)
        response = await client.send(asked, stream=True)
        try:
            location = response.headers.get("location")
            if response.status_code in REDIRECTS and location:
                # Keys and bodies were meant for the first host.
                url, options = check_url(url.join(location), allowed), {}
                continue
            return await _answer(response, url, limit=limit, cut=cut)
        except httpx.InvalidURL as problem:
            raise ToolFailure(f"{url} leads on to something that is not a web address.") from problem
        finally:
            await response.aclose()
    raise ToolFailure(f"{first} leads on more than {MAX_REDIRECTS} times, which never ends.")


async def _answer(response: httpx.Response, url: httpx.URL, *, limit: int, cut: bool) -> Answer:
    if response.status_code >= 400:
        raise ToolFailure(f"{url} answered {_status(response)}.", hint=_remedy(response.status_code))
    announced = response.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit and not cut:
        raise _too_large(url, limit)
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    body, whole = bytearray(), True
    async for part in _decoded(response.aiter_raw(), coding, limit):
        body += part
        if len(body) > limit:
            if not cut:
                raise _too_large(url, limit)
            whole = False
            break
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    charset = response.charset_encoding or ""
    disposition = response.headers.get("content-disposition", "")
    return Answer(str(url), kind, charset, bytes(body[:limit]), disposition, cut=not whole)


async def _decoded(raw: AsyncIterable[bytes], coding: str, limit: int) -> AsyncIterator[bytes]:
    """Undo the transfer's compression piece by piece, so that a bomb ends at the limit and not in memory."""
    if coding in {"identity", ""}:
        async for part in raw:
            yield part
        return
    if coding not in {"gzip", "x-gzip", "deflate"}:
        raise ToolFailure(f"The server sent its answer as {coding!r}, which was not asked for.")
    inflater = None
    async for part in raw:
        if inflater is None:
            # `deflate` comes with and without its header; the first byte tells.
            bits = 47 if coding != "deflate" or part[:1] == b"\x78" else -15
            inflater = zlib.decompressobj(bits)
        waiting = part
        while waiting:
            try:
                yield inflater.decompress(waiting, limit + 1)
            except zlib.error as problem:
                raise ToolFailure(f"The server's answer is damaged: {problem}") from problem
            waiting = inflater.unconsumed_tail


class GuardedTransport(httpx.AsyncBaseTransport):
    """Carries requests over connections whose addresses were checked as they were opened."""

    def __init__(self, allowed: Allowed) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=_tls(),
            max_connections=4,
            network_backend=GuardedBackend(allowed),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        asked = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        answer = await self._pool.handle_async_request(asked)
        return httpx.Response(
            status_code=answer.status,
            headers=answer.headers,
            stream=_Body(answer.stream),
            extensions=answer.extensions,
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Resolves a name once, checks what came, and connects to that. TLS still checks the certificate of the name."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # the protocol's own
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = checked(host, port, await resolve(host, port), self._allowed)
        problem: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failed:
                problem = failed
        raise problem

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host, without zones. Raises ToolFailure when there is none."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as problem:
        raise ToolFailure(f"There is no host {host!r}, or its name can't be looked up now.") from problem
    return list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))


@functools.cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()


def _status(response: httpx.Response) -> str:
    return f"{response.status_code} {response.reason_phrase}".strip()


def _remedy(status: int) -> str:
    if status in {401, 403}:
        return "It wants a login, or refuses programs."
    if status in {404, 410}:
        return "The page is not there; check the address."
    return "Try again later." if status == 429 or status >= 500 else ""


def _too_large(url: httpx.URL, limit: int) -> ToolFailure:
    return ToolFailure(f"{url} is larger than {limit // 1_000_000} MB, which is the most that is downloaded.")


def _in_words(problem: Exception) -> str:
    if isinstance(problem, (httpcore.TimeoutException, httpx.TimeoutException)):
        return f"it was silent for {SILENCE:g} seconds."
    if "CERTIFICATE" in str(problem).upper():
        return f"its certificate is not right ({problem})."
    return f"{problem or type(problem).__name__}"
