"""Listens: uvicorn inside our own loop, with our own signals, ending in good order."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from agent.errors import ConfigError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from agent.config import Web

USUAL_PORT = 8385
GRACE_SECONDS = 5
IDLE_SECONDS = 10
BACKLOG = 128
MOST_OPEN = 200
HEAD_SECONDS = 10.0


class _Connection(H11Protocol):
    """A connection that is closed when it does not say in time what it wants; of too many the longest silent one goes.

    The server waits for ever otherwise, and each takes one of the files that the whole process may have open.
    """

    since = 0.0  # the loop's time when it last said something
    timer: asyncio.TimerHandle | None = None

    @property
    def is_idle(self) -> bool:
        """True while it has asked for nothing that is not answered."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._mind()
        if len(self.connections) > MOST_OPEN:
            others = [one for one in self.connections if isinstance(one, _Connection) and one.is_idle]
            min(others, key=lambda one: one.since).transport.close()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._mind()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def _mind(self) -> None:
        """Count the time until a request is there, however slowly it drips in."""
        self.since = self.loop.time()
        if not self.is_idle:
            self._stop_timer()
        elif self.timer is None:
            self.timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to whoever runs the loop."""
        yield


class WebServer:
    """A bound socket and what answers there. `port` is the one that it listens on."""

    def __init__(self, application: FastAPI, listening: socket.socket) -> None:
        self._socket = listening
        self.host, self.port = listening.getsockname()[:2]
        config = uvicorn.Config(
            application,
            http=_Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        self._server = _Server(config)

    @property
    def address(self) -> str:
        """Where it listens, as a URL."""
        return f"http://[{self.host}]:{self.port}" if ":" in str(self.host) else f"http://{self.host}:{self.port}"

    async def run(self) -> None:
        """Answer until cancelled; what is being answered then is finished, for at most five seconds."""
        serving = asyncio.create_task(self._server.serve(sockets=[self._socket]), name="web")
        try:
            await asyncio.shield(serving)
        finally:
            self._server.should_exit = True
            await asyncio.gather(serving, return_exceptions=True)
            self._socket.close()


def listen(application: FastAPI, web: Web) -> WebServer:
    """Bind the configured address. Raises ConfigError that names what to change when that is impossible."""
    port = web.port or USUAL_PORT
    try:
        found = socket.getaddrinfo(web.host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        bound = socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        said, hint = _why_not(error, web.host, port)
        raise ConfigError(said, hint=hint) from None
    return WebServer(application, bound)


def _why_not(error: OSError, host: str, port: int) -> tuple[str, str]:
    if error.errno == errno.EADDRINUSE:
        said = f"Port {port} on {host} is taken by another program."
        return said, f"Set web.port to a free one, such as DIRIGENT_WEB__PORT={port + 1}."
    if error.errno == errno.EACCES:
        return f"Port {port} may not be used by this user.", "Set web.port to one above 1023."
    return f"web.host {host!r} is no address of this machine: {error.strerror}.", "Use 127.0.0.1, or one of its own."
