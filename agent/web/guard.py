"""Stands before every route: whose name the caller used, how much may come in and how long that may take."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from loguru import logger
from starlette.responses import PlainTextResponse

from agent.errors import correlation_id
from agent.web.problems import problem

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from agent.config import Web

LOOPBACK = frozenset({"localhost"})
MOST_BYTES = 1_048_576
MOST_THROWN_AWAY = 8 * MOST_BYTES
READ_SECONDS = 15.0
MOST_AT_ONCE = 32
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)


class TooLarge(Exception):
    """A body has more bytes than may come in."""


class TooSlow(Exception):
    """A body did not come in time."""


def hosts_of(web: Web, *addresses: str) -> frozenset[str]:
    """Return the names under which the server may be called, beside addresses: also those of further URLs."""
    public = (urlsplit(url).hostname or "" for url in (web.public_url or "", *addresses))
    return LOOPBACK | {name.lower() for name in (web.host, *public, *web.hosts) if name}


class Guard:
    """Refuses a Host that is not ours: a page in somebody's browser can give any name this machine's address.

    An address in place of a name is fine, since nobody else can own it. At most 32 requests are worked on at once.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts
        self._at_once = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        answer = self._refusal(scope)
        begun = False

        async def send_guarded(message: Message) -> None:
            nonlocal begun
            begun = True
            if message["type"] == "http.response.start":
                said = {name.lower() for name, _ in message.get("headers", ())}
                more = [header for header in HEADERS if header[0] not in said]
                message["headers"] = [*message.get("headers", ()), *more]
            await send(message)

        if answer is not None:
            await answer(scope, receive, send_guarded)
            return
        self._at_once += 1
        try:
            await self._app(scope, receive, send_guarded)
        except Exception as error:
            if begun:
                raise
            await _broken(scope, error)(scope, receive, send_guarded)
        finally:
            self._at_once -= 1

    def _refusal(self, scope: Scope) -> Response | None:
        named = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(named) != 1 or not self._is_ours(named[0]):
            said = "This server does not go by that name; web.hosts and web.public_url say which ones it has."
            return PlainTextResponse(said, 421)
        if self._at_once >= MOST_AT_ONCE:
            return PlainTextResponse("Too many requests at once.", 429, headers={"Retry-After": "1"})
        if "\0" in scope["path"]:  # a letter that no database takes in a question
            return problem(404, "Nothing here has a NUL in its name.")
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name.rstrip(".") in self._hosts or _is_address(name)


def _broken(scope: Scope, error: Exception) -> JSONResponse:
    """Return the answer to what nobody has foreseen: the log has all of it under the number that is told."""
    number = correlation_id()
    logger.bind(corr=number).opt(exception=error).error("{} {} failed", scope["method"], scope["path"])
    return problem(500, f"Something went wrong here (reference {number}).", "The log says what.")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def body_of(request: Request, most: int = MOST_BYTES) -> bytes:
    """Return a request's body. Raises TooLarge before more than that is held, TooSlow when it does not come."""
    said = request.headers.get("content-length", "0")
    large = not said.isdecimal() or int(said) > most
    held = bytearray()
    thrown_away = 0
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for chunk in request.stream():
                large = large or len(held) + len(chunk) > most
                # A sender that is cut off while it still sends never reads the answer: some of the rest is thrown away.
                thrown_away += len(chunk) * large
                if thrown_away > MOST_THROWN_AWAY:
                    break
                held += b"" if large else chunk
    except TimeoutError:
        raise TooSlow from None
    if large:
        raise TooLarge
    return bytes(held)
