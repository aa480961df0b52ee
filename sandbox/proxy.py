"""The egress proxy: the only way from a box to the network, and it runs outside the box.

The init of a box listens within the box's own network namespace and hands the listening socket over, so that
connections arrive here without a relay. A job names itself with the token that only its own environment holds. What it
asks for is decided by the name and port that it asks for, and by the class of every address the name stands for; then
the connection goes to exactly the address that was looked at.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hmac
import ipaddress
import secrets
import socket
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from loguru import logger

from sandbox import addresses, http_head
from sandbox.api import Connection
from sandbox.http_head import BadRequest, Request
from sandbox.places import BadPlace, Place, Places

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

HEAD_S, CONNECT_S, IDLE_S = 10.0, 15.0, 120.0
MOST_AT_ONCE = 64
MOST_KEPT = 100
MOST_TOLD = 1000
CHUNK = 1 << 17
SPENT = "the job has sent and received all that it may"


class Refused(Exception):
    """This connection is not to be made; `reason` is one line for the person, `address` what it was refused for."""

    def __init__(self, status: int, reason: str, address: addresses.Address | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.address = address


@dataclass(frozen=True, slots=True)
class Rules:
    """What a job may reach: `allowed` by the owner for all, or `declared` by itself and in `of_declared`."""

    allowed: Places
    declared: Places
    of_declared: Places
    private: Places

    def allow(self, place: Place) -> bool:
        """Tell whether the place may be asked for."""
        return self.allowed.allow(place) or (self.declared.allow(place) and self.of_declared.allow(place))


@dataclass
class Grant:
    """One job's leave to use the network: its token, what it may reach, and how many bytes are left.

    `on_connection` is told of each connection; of those after the first MOST_TOLD it gets the sum when the job is over.
    `dial` makes connections where there is no network here (in a sidecar): it decides by rules of its own as well.
    """

    session: str
    rules: Rules
    left: int
    on_connection: Callable[[Connection], None] | None = None
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    made: list[Connection] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    run: str = ""
    step: str = ""
    told: int = 0
    rest: Connection | None = None
    dial: Callable[[Place], Awaitable[socket.socket]] | None = None

    def take(self, count: int) -> None:
        """Count bytes in either direction; raise Refused when there are no more to be had."""
        self.left -= count
        if self.left < 0:
            raise Refused(403, SPENT)

    def note(self, connection: Connection) -> None:
        """Keep a connection for the result, and tell whoever audits."""
        if len(self.made) < MOST_KEPT:
            self.made.append(connection)
        self.told += 1
        if self.told > MOST_TOLD:
            self.rest = _sum(self.rest, connection)
        else:
            self._tell(connection)

    def tell_the_rest(self) -> None:
        """Tell of those that were only counted. Doing so twice is harmless."""
        if self.rest is not None:
            self._tell(self.rest)
            self.rest = None

    def _tell(self, connection: Connection) -> None:
        logger.info(
            "network: {} {}:{} {} {} sent {} received {} in {:.1f} s",
            *(connection.session, connection.host, connection.port, connection.address or "-"),
            *(connection.reason or "allowed", connection.sent, connection.received, connection.seconds),
        )
        if self.on_connection is not None:
            self.on_connection(connection)


def _sum(so_far: Connection | None, one: Connection) -> Connection:
    before = so_far or Connection(one.session, "", 0, run=one.run, step=one.step, count=0)
    return replace(
        before,
        allowed=before.allowed or one.allowed,
        reason=f"more than {MOST_TOLD} connections; the rest in sum",
        sent=before.sent + one.sent,
        received=before.received + one.received,
        seconds=before.seconds + one.seconds,
        count=before.count + 1,
    )


@dataclass
class _Traffic:
    sent: int = 0
    received: int = 0


async def resolve(place: Place) -> list[addresses.Address]:
    """Return every address of a host. Raises Refused when there is none."""
    with contextlib.suppress(ValueError):
        return [ipaddress.ip_address(place.host)]
    try:
        async with asyncio.timeout(CONNECT_S):
            found = await asyncio.get_running_loop().getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError):
        raise Refused(502, f"{place.host} is not known to the name servers") from None
    return list(dict.fromkeys(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))


def check(place: Place, found: list[addresses.Address], private: Places) -> list[addresses.Address]:
    """Return the addresses that may be connected to. Raises Refused when one of them is not to be reached.

    A public name that also stands for an inner address is refused as a whole: nothing honest looks like that.
    """
    named = private.allow(place)
    for address in found:
        if not addresses.is_one_host(address):
            raise Refused(403, f"{place.host} is {address}, which is no single host", address)
        if not named and (not addresses.is_public(address) or addresses.is_ours(address)):
            raise Refused(403, f"{place.host} is {address}, which is not on the public internet", address)
    return found


def admitted(authority: str, port: int | None, rules: Rules) -> Place:
    """Return the place that is asked for, with this port if it names none. Raises Refused when it is not allowed."""
    try:
        place = Place.parse(authority, port)
    except BadPlace as error:
        raise Refused(403, str(error)) from None
    if not rules.allow(place):
        raise Refused(403, f"{place} is not among the hosts that may be reached")
    return place


async def reach(place: Place, rules: Rules) -> tuple[socket.socket, addresses.Address]:
    """Connect to a place, at the first of its addresses that answers; return that, too. Raises Refused."""
    problem: Exception | None = None
    for address in check(place, await resolve(place), rules.private):
        try:
            return await _connected(address, place.port), address
        except (OSError, TimeoutError) as error:
            problem = error
    raise Refused(502, f"{place} does not answer ({type(problem).__name__})")


async def _connected(address: addresses.Address, port: int) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        async with asyncio.timeout(CONNECT_S):
            await asyncio.get_running_loop().sock_connect(made, (str(address), port))
    except BaseException:
        made.close()
        raise
    return made


class Proxy:
    """Serves one listening socket: that of one box. `close` ends every connection.

    `nobody` allows nothing; it notes what those want who have no leave.
    """

    def __init__(self, listener: socket.socket, nobody: Grant) -> None:
        self._listener = listener
        self._nobody = nobody
        self._server: asyncio.Server | None = None
        self._grants: dict[str, Grant] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to accept connections."""
        self._server = await asyncio.start_server(self._accept, sock=self._listener, limit=http_head.MOST_BYTES)

    def admit(self, grant: Grant) -> None:
        """Let a job in."""
        self._grants[grant.token] = grant

    async def dismiss(self, grant: Grant) -> None:
        """End what the job has open and forget it."""
        self._grants.pop(grant.token, None)
        await _end(grant.tasks)
        grant.tell_the_rest()

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._server is not None:
            self._server.close()
        await _end(self._tasks)
        self._nobody.tell_the_rest()
        self._listener.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= MOST_AT_ONCE:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            try:
                async with asyncio.timeout(HEAD_S):
                    request = await http_head.read(reader)
                grant = self._grant(request)
                await _Exchange(grant, request, reader, writer).run()
            except BadRequest as error:
                await _answer(writer, 400, str(error))
            except Refused as error:
                await _answer(writer, error.status, error.reason)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            logger.debug("a connection from a box ended: {}", type(error).__name__)
        finally:
            writer.transport.abort()

    def _grant(self, request: Request) -> Grant:
        kind, _, packed = (request.credentials or "").partition(" ")
        try:
            token = base64.b64decode(packed.strip(), validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            token = ""
        if kind.lower() == "basic" and token:
            for known, grant in self._grants.items():
                if hmac.compare_digest(known.encode(), token.encode()):
                    return grant
        reason = "this job may not use the network"
        host, port = request.host_and_port()
        self._nobody.note(Connection(self._nobody.session, host, port, reason=reason))
        raise Refused(407, reason)


async def _end(tasks: set[asyncio.Task[None]]) -> None:
    ending = list(tasks)
    for task in ending:
        task.cancel()
    if ending:
        await asyncio.wait(ending)


async def _answer(writer: asyncio.StreamWriter, status: int, reason: str) -> None:
    writer.write(http_head.answer(status, reason))
    async with asyncio.timeout(HEAD_S):
        await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


class _Exchange:
    """One admitted connection: decide, connect, carry bytes, tell."""

    def __init__(
        self, grant: Grant, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._grant = grant
        self._request = request
        self._reader = reader
        self._writer = writer
        self._traffic = _Traffic()
        self._address: addresses.Address | None = None

    async def run(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._grant.tasks.add(task)
        began, reason, connected = time.monotonic(), "", False
        try:
            request, rules = self._request, self._grant.rules
            far_reader, far_writer = await self._connect(admitted(request.authority, request.default_port, rules))
            connected = True
            try:
                await self._carry(far_reader, far_writer)
            finally:
                far_writer.transport.abort()
        except Refused as error:
            reason = error.reason
            self._address = self._address or error.address
            if not connected:
                raise
        except asyncio.CancelledError:
            reason = "the job ended"
            raise
        except (OSError, TimeoutError) as error:
            reason = f"the connection broke ({type(error).__name__})"
        finally:
            self._grant.tasks.discard(task)
            self._tell(connected, reason, time.monotonic() - began)

    def _tell(self, connected: bool, reason: str, seconds: float) -> None:  # noqa: FBT001
        host, port = self._request.host_and_port()
        traffic, address, grant = self._traffic, self._address, self._grant
        grant.note(
            Connection(
                *(grant.session, host, port, str(address or ""), connected, reason),
                *(traffic.sent, traffic.received, round(seconds, 3), addresses.network_of(address) if address else ""),
                *(grant.run, grant.step),
            )
        )

    async def _connect(self, place: Place) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._grant.dial is not None:
            made = await self._grant.dial(place)
            self._address = ipaddress.ip_address(made.getpeername()[0])
        else:
            made, self._address = await reach(place, self._grant.rules)
        return await asyncio.open_connection(sock=made, limit=CHUNK)

    async def _carry(self, far_reader: asyncio.StreamReader, far_writer: asyncio.StreamWriter) -> None:
        request = self._request
        if request.tunnel:
            self._writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            self._grant.take(len(request.forwarded))
            self._traffic.sent += len(request.forwarded)
            far_writer.write(request.forwarded)
        async with asyncio.timeout(IDLE_S) as clock:
            out = asyncio.create_task(self._pump(self._reader, far_writer, clock, request.body_bytes, "sent"))
            back = asyncio.create_task(self._pump(far_reader, self._writer, clock, None, "received"))
            if not request.tunnel:  # an answer can end before the request has: nobody reads the rest of that
                back.add_done_callback(lambda _: out.cancel())
            try:
                await asyncio.wait({out, back}, return_when=asyncio.FIRST_EXCEPTION)
            finally:
                await _end({out, back})
            for task in (out, back):
                if not task.cancelled() and (error := task.exception()):
                    raise error

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        clock: asyncio.Timeout,
        most: int | None,
        what: str,
    ) -> None:
        loop = asyncio.get_running_loop()
        while most is None or most > 0:
            data = await reader.read(CHUNK if most is None else min(CHUNK, most))
            if not data:
                break
            self._grant.take(len(data))
            setattr(self._traffic, what, getattr(self._traffic, what) + len(data))
            most = None if most is None else most - len(data)
            writer.write(data)
            await writer.drain()
            clock.reschedule(loop.time() + IDLE_S)
        if most is None and writer.can_write_eof():
            writer.write_eof()
