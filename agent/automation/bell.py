"""A bell between the processes of one home: who changes triggers rings it, and who sleeps wakes up at once.

A datagram socket for each listener, in a folder of the home. It carries nothing: what has changed is in the journal.
Where the journal is in PostgreSQL, processes on other machines listen too: `agent.store.server_bell`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from loguru import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Rings(Protocol):
    """A bell, of whatever kind."""

    def listening(self, rung: Callable[[], None]) -> contextlib.AbstractContextManager[None]:
        """Call `rung` on the loop whenever another process rings, for as long as this lasts."""

    def ring(self) -> int:
        """Wake the others; return how many there are, where that is known."""


class Bell:
    """Rings in every process that listens in `folder`. Without sockets there, others notice a little later."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own = folder / f"{os.getpid()}-{id(self)}"

    @contextlib.contextmanager
    def listening(self, rung: Callable[[], None]) -> Iterator[None]:
        """Call `rung` on the loop whenever somebody rings, for as long as this lasts."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
            try:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                heard.setblocking(False)
                heard.bind(str(self._own))
            except OSError as error:
                logger.info("Changes by other processes are noticed late: {} ({})", error, self._own)
                yield
                return
            loop = asyncio.get_running_loop()
            loop.add_reader(heard, self._hear, heard, rung)
            try:
                yield
            finally:
                loop.remove_reader(heard)
                self._own.unlink(missing_ok=True)

    @staticmethod
    def _hear(heard: socket.socket, rung: Callable[[], None]) -> None:
        with contextlib.suppress(BlockingIOError):
            while heard.recv(16):
                pass
        rung()

    def ring(self) -> int:
        """Wake the others; return how many there are. Bells of processes that died are put away."""
        reached = 0
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as said:
            said.setblocking(False)
            for place in self._folder.glob("*-*"):
                if place != self._own:
                    reached += _rings(said, place)
        return reached


def _rings(said: socket.socket, place: Path) -> bool:
    try:
        said.sendto(b"!", str(place))
    except ConnectionRefusedError:
        place.unlink(missing_ok=True)
        return False
    except BlockingIOError:  # it has more to hear already
        return True
    except OSError:
        return False
    return True


async def until(changed: asyncio.Event, seconds: float) -> None:
    """Return after some seconds, or when something has changed."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await changed.wait()
