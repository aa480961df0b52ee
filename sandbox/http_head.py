"""The head of one HTTP/1.1 request as a proxy gets it: read within bounds, checked, and rewritten for the server."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

MOST_BYTES = 32_768
_METHOD = re.compile(r"[A-Z]{1,20}")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*)")
_ABSOLUTE = re.compile(r"http://([^/?#\s]+)([^#\s]*)", re.IGNORECASE)
# Between the client and us only; what the connection header names besides is left out too.
_OURS = frozenset({"connection", "keep-alive", "te", "trailer", "upgrade", "host"})
_REASONS = {400: "Bad request", 403: "Refused", 407: "Proxy authentication required", 502: "Bad gateway"}


class BadRequest(ValueError):
    """This is no request that the proxy takes; the message says why."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request: where it wants to go and what is sent there.

    `tunnel` is CONNECT. `forwarded` is the head for the server, `body_bytes` how many bytes follow it from the client
    (None: as many as come).
    """

    tunnel: bool
    authority: str
    credentials: str
    forwarded: bytes = b""
    body_bytes: int | None = None

    @property
    def default_port(self) -> int | None:
        """The port when the authority names none."""
        return None if self.tunnel else 80

    def host_and_port(self) -> tuple[str, int]:
        """Return what was asked for, as it may be shown; it need not make sense."""
        host, _, port = self.authority.rpartition(":")
        if not port.isdecimal() or not host:
            return self.authority[:300], self.default_port or 0
        return host[:300], int(port[:5])


async def read(reader: asyncio.StreamReader) -> Request:
    """Read a head. Raises BadRequest, or asyncio.IncompleteReadError when the client leaves."""
    from asyncio import LimitOverrunError

    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except LimitOverrunError:
        raise BadRequest(f"the head has more than {MOST_BYTES} bytes") from None
    return parse(raw)


def parse(raw: bytes) -> Request:
    """Read a head from its bytes. Raises BadRequest."""
    try:
        lines = raw.decode("ascii").removesuffix("\r\n\r\n").split("\r\n")
    except UnicodeDecodeError:
        raise BadRequest("the head is not plain ASCII") from None
    if any(character in line for line in lines for character in "\r\n\0"):
        raise BadRequest("a line of the head holds a control character")
    words = lines[0].split(" ")
    if len(words) != 3 or not _METHOD.fullmatch(words[0]) or words[2] not in {"HTTP/1.1", "HTTP/1.0"}:
        raise BadRequest("the first line is no request of HTTP/1.1")
    headers = [_header(line) for line in lines[1:]]
    credentials = [value for name, value in headers if name.lower() == "proxy-authorization"]
    if len(credentials) > 1:
        raise BadRequest("it names itself more than once")
    named = credentials[0] if credentials else ""
    if words[0] == "CONNECT":
        return Request(tunnel=True, authority=words[1], credentials=named)
    return _forward(words[0], words[1], headers, named)


def _header(line: str) -> tuple[str, str]:
    found = _HEADER.fullmatch(line)
    if not found:
        raise BadRequest("a header is none")
    return found[1], found[2].strip(" \t")


def _forward(method: str, target: str, headers: list[tuple[str, str]], credentials: str) -> Request:
    found = _ABSOLUTE.fullmatch(target)
    if not found or "@" in found[1]:
        raise BadRequest("only http:// addresses without a name or password are forwarded; use CONNECT for the rest")
    path = found[2] or "/"
    path = path if path.startswith("/") else f"/{path}"
    dropped = _OURS | {
        part.strip().lower() for name, value in headers if name.lower() == "connection" for part in value.split(",")
    }
    kept = [(n, v) for n, v in headers if n.lower() not in dropped and not n.lower().startswith("proxy-")]
    lines = [f"{method} {path} HTTP/1.1", f"Host: {found[1]}", *(f"{name}: {value}" for name, value in kept)]
    forwarded = "\r\n".join([*lines, "Connection: close", "", ""]).encode("ascii")
    return Request(
        tunnel=False,
        authority=found[1],
        credentials=credentials,
        forwarded=forwarded,
        body_bytes=_body(headers),
    )


def _body(headers: list[tuple[str, str]]) -> int | None:
    """Return how many bytes follow the head. Two ways to say it at once would let one request hide in another."""
    lengths = {value for name, value in headers if name.lower() == "content-length"}
    if any(name.lower() == "transfer-encoding" for name, _ in headers):
        if lengths:
            raise BadRequest("it gives its length in two ways")
        return None
    if not lengths:
        return 0
    if len(lengths) > 1 or not (length := lengths.pop()).isdecimal() or len(length) > 15:
        raise BadRequest("its length is no number")
    return int(length)


def answer(status: int, reason: str) -> bytes:
    """Return a whole answer of the proxy's own. Clients show the first line, so the reason stands there."""
    said = "".join(c if c.isascii() and c.isprintable() else "?" for c in reason)
    first = f"HTTP/1.1 {status} {_REASONS.get(status, 'Refused')}: {said}"
    ask = 'Proxy-Authenticate: Basic realm="sandbox"\r\n' if status == 407 else ""
    body = f"{said}\n"
    return (
        f"{first}\r\n{ask}Content-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
    ).encode("ascii")
