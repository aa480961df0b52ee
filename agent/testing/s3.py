"""An S3 server of one's own, for tests: in a process on loopback that ends with the block; and a way that can be cut.

It lives in an environment of its own, since its libraries don't go with ours: `.ci/storage` makes it and prints the
interpreter, which S3_TEST_PYTHON then names.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Self

from agent.config.sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import Iterator

PYTHON = "S3_TEST_PYTHON"
WITHOUT = f"{PYTHON} names no interpreter with an S3 server; `.ci/storage` makes one"
SECONDS = 60.0


def interpreter() -> str:
    """Return the interpreter that has the server, "" when there is none."""
    return os.environ.get(PYTHON, "")


@dataclass(slots=True)
class S3Server:
    """A running server at `address`, which takes every key."""

    address: str
    _numbers: Iterator[int] = field(default_factory=count)

    @classmethod
    @contextlib.contextmanager
    def start(cls) -> Iterator[Self]:
        """Start one and end it with the block. Raises RuntimeError when it can't be started."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = [interpreter(), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        with tempfile.TemporaryFile() as log, subprocess.Popen(command, stdout=log, stderr=log) as server:  # noqa: S603
            try:
                _wait_for(port, server)
                yield cls(f"http://127.0.0.1:{port}")
            finally:
                server.kill()

    def new_bucket(self) -> Sessions:
        """Make a bucket and return the settings of a storage in it."""
        name = f"bucket-{next(self._numbers)}"
        request = urllib.request.Request(f"{self.address}/{name}", method="PUT")  # noqa: S310 - its own server
        urllib.request.urlopen(request, timeout=SECONDS).close()  # noqa: S310
        given = {"endpoint": self.address, "access_key": "key", "secret_key": "a secret of the storage"}
        return Sessions.model_validate({"storage": f"s3://{name}/dirigent", **given})


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)  # a process that starts tells nobody when it listens
    raise RuntimeError("The S3 server did not start.")


class Cut:
    """A way to a server that can be cut: `address` leads there while `open` is set; `after` bytes up it breaks off."""

    def __init__(self, server: str) -> None:
        host, _, port = server.removeprefix("http://").partition(":")
        self._server = (host, int(port))
        self.address = ""
        self.after: int | None = None
        self.refused = 0
        self.broke = asyncio.Event()
        self._open = True
        self._listener: asyncio.Server | None = None
        self._ways: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.address = f"http://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        assert self._listener is not None
        self._listener.close()

    def cut(self) -> None:
        """End all that is under way, and let nothing new through."""
        self._open = False
        for way in self._ways:
            way.transport.abort()

    def mend(self) -> None:
        """Let everything through again."""
        self._open, self.after = True, None
        self.broke.clear()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._open:
            self.refused += 1
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection(*self._server)
        self._ways |= {writer, back}
        try:
            await asyncio.gather(self._up(reader, back), self._down(there, writer))
        except OSError:
            pass
        finally:
            self._ways -= {writer, back}
            writer.transport.abort()
            back.transport.abort()

    async def _up(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(1 << 14):
            if self.after is not None:
                self.after -= len(data)
                if self.after < 0:
                    self.cut()
                    self.broke.set()
                    return
            target.write(data)
            await target.drain()
        target.write_eof()

    @staticmethod
    async def _down(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(1 << 16):
            target.write(data)
            await target.drain()
        target.close()
