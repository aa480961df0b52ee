"""The network of a sidecar that has none: the agent makes the connections and hands them over, open.

A job's proxy in the sidecar asks the agent, with a word made up for it; the agent decides by its own rules, looks the
name up, connects, and passes the connected socket through a second Unix socket beside the first. So nothing in the
sidecar's container can reach anything that the agent has not connected it to.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import secrets
import socket
import struct
from typing import TYPE_CHECKING

from sandbox import addresses, proxy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from sandbox.places import Place

HAND_OVER_S = 10.0
ANSWER_S = 60.0
MOST_LINES = 64
_WORD_BYTES = 200
_DESCRIPTOR = struct.calcsize("i")


def beside(path: Path) -> Path:
    """Return the path of the second socket, by that of the first."""
    return path.with_name(f"{path.name}.net")


# -- the agent's side ------------------------------------------------------------------------------------------------


async def connect(host: str, port: int, rules: proxy.Rules) -> socket.socket:
    """Return a connection to a host that may be reached. Raises proxy.Refused."""
    place = proxy.admitted(f"[{host}]" if ":" in host else host, port, rules)
    made, _ = await proxy.reach(place, rules)
    return made


async def hand_over(path: Path, word: str, made: socket.socket) -> None:
    """Pass a connection to the sidecar at `path`, which knows by the word whose it is. Raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK) as line:
        await asyncio.get_running_loop().sock_connect(line, str(beside(path)))
        socket.send_fds(line, [word.encode()], [made.fileno()])


def _address(said: object) -> addresses.Address | None:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(str(said))
    return None


# -- the sidecar's side ----------------------------------------------------------------------------------------------


class Exchange:
    """Takes in what agents hand over, and gives each connection to whoever waits for it."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[str, asyncio.Future[socket.socket]] = {}
        self._lines: dict[socket.socket, asyncio.TimerHandle] = {}
        self._loop.add_reader(listener, self._accept)

    async def dial(self, place: Place, tell: Callable[..., None]) -> socket.socket:
        """Have the agent connect to a place; `tell` sends it a message. Raises proxy.Refused."""
        word = secrets.token_urlsafe(24)
        found: asyncio.Future[socket.socket] = self._loop.create_future()
        self._waiting[word] = found
        try:
            tell(dial=word, host=place.host, port=place.port)
            async with asyncio.timeout(ANSWER_S):
                return await found
        except TimeoutError:
            raise proxy.Refused(502, f"{place} was not reached in time") from None
        except asyncio.CancelledError:
            if not found.cancelled() and found.exception() is None:  # it has come all the same
                found.result().close()
            raise
        finally:
            del self._waiting[word]

    def refuse(self, said: dict[str, Any]) -> None:
        """Hear from the agent that a connection is not to be had."""
        found = self._waiting.get(str(said.get("dial")))
        if found is not None and not found.done():
            status = 403 if said.get("status") == 403 else 502
            found.set_exception(proxy.Refused(status, str(said.get("reason"))[:300], _address(said.get("address"))))

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            line, _ = self._listener.accept()
            if len(self._lines) >= MOST_LINES:
                line.close()
                return
            line.setblocking(False)
            self._lines[line] = self._loop.call_later(HAND_OVER_S, self._drop, line)
            self._loop.add_reader(line, self._receive, line)

    def _receive(self, line: socket.socket) -> None:
        made = None
        try:
            word, ancillary, _, _ = line.recvmsg(_WORD_BYTES, socket.CMSG_SPACE(_DESCRIPTOR), socket.MSG_CMSG_CLOEXEC)
            for _, kind, data in ancillary:
                if kind == socket.SCM_RIGHTS:
                    made = socket.socket(fileno=struct.unpack("i", data[:_DESCRIPTOR])[0])
        except OSError:
            word = b""
        self._drop(line)
        if made is None:
            return
        found = self._waiting.get(word.decode(errors="replace"))
        if found is None or found.done():
            made.close()
        else:
            made.setblocking(False)
            found.set_result(made)

    def _drop(self, line: socket.socket) -> None:
        self._loop.remove_reader(line)
        self._lines.pop(line).cancel()
        line.close()

    def close(self) -> None:
        """Take in nothing more."""
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for line in list(self._lines):
            self._drop(line)
