"""Rung B: the sandbox in a container of its own, next to the agent's: `python -m sandbox.sidecar --socket PATH`.

The container has no secrets, no network, no capabilities and a read-only root; `compose.yaml` and `Dockerfile` beside
this file make it so. What it shares with the agent are the folder with the sessions and the socket; what a job may
reach the agent connects it to (`sandbox.dialling`). Inside it each session still has a box of its own, with the best
walls that the container allows; where it allows none, `--contained` makes the container the only wall, which then does
not keep one session from another.

An agent's boxes live as long as its connection: when that ends, however it ends, all of them end.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import contextvars
import os
import signal
import socket
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loguru import logger

from sandbox import wire
from sandbox.api import Connection, JobResult, Policy, Progress, Rung, SandboxError, Written
from sandbox.boxes import Boxes
from sandbox.canaries import probe
from sandbox.dialling import Exchange, beside
from sandbox.relay import RELAYED, Relay
from sandbox.remote import OURS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sandbox.places import Place

MOST_JOBS = 256
_request: contextvars.ContextVar[int] = contextvars.ContextVar("request")
_OWN = {*OURS, "plugin_folders", "read_only"}  # not taken over as they were sent


class Sidecar:
    """Serves agents on a Unix socket. `root` is the folder in which every workspace must lie."""

    def __init__(self, root: Path, rung: Rung) -> None:
        self._root = root.resolve()
        self._rung = rung
        self._agents: set[asyncio.Task[None]] = set()
        self.exchange: Exchange | None = None

    async def serve(self, path: Path, until: asyncio.Event) -> None:
        """Listen until the event is set, then end every box."""
        self.exchange = Exchange(_listening(beside(path), socket.SOCK_SEQPACKET))
        server = await asyncio.start_unix_server(self._accept, sock=_listening(path), limit=1 << 20)
        logger.info("sidecar: rung {} at {}", self._rung.name, path)
        try:
            await until.wait()
        finally:
            server.close()
            for task in self._agents:
                task.cancel()
            await asyncio.gather(*self._agents, return_exceptions=True)
            self.exchange.close()
            for place in (path, beside(path)):
                await asyncio.to_thread(place.unlink, missing_ok=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(_Agent(self, reader, writer).serve())
        self._agents.add(task)
        task.add_done_callback(self._agents.discard)

    def hello(self) -> bytes:
        """Say which protection is in force here."""
        return wire.message(hello=wire.VERSION, rung=asdict(self._rung))

    def place(self, asked: dict[str, Any]) -> tuple[str, Path]:
        """Return the session and the workspace that are meant. Raises SandboxError for one that lies elsewhere."""
        workspace = Path(str(asked.get("workspace")))
        real = workspace.resolve()  # from here on no link stands in the path
        if not real.is_relative_to(self._root) or real == self._root:
            raise SandboxError(
                f"The workspace {workspace} is not below {self._root}, which the sidecar shares with the agent.",
                remedy="Mount the agent's home at the same path in both containers, and start the sidecar with --root.",
            )
        return str(asked.get("session")), real

    def policy(self, sent: Any) -> Policy:
        """Read what the agent's owner has set; what is missing or of another type keeps its default."""
        return replace(_policy(sent), unsafe=self._rung.name == "unsafe")


def _listening(path: Path, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """Return a socket that listens at `path`, for our user and group only; it appears there when it is ready."""
    waiting = path.with_name(f".{path.name}.{os.getpid()}")
    waiting.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK)
    listener.bind(str(waiting))
    waiting.chmod(0o660)
    listener.listen()
    waiting.replace(path)
    return listener


def _policy(sent: Any) -> Policy:
    policy = Policy()
    if not isinstance(sent, dict):
        return policy
    for name in {field.name for field in fields(Policy)} - _OWN:
        value = tuple(sent[name]) if isinstance(sent.get(name), list) else sent.get(name)
        if isinstance(value, type(getattr(policy, name))):
            policy = replace(policy, **{name: value})
    return replace(policy, plugin_folders=_paths(sent.get("plugin_folders")), read_only=_paths(sent.get("read_only")))


def _paths(sent: Any) -> tuple[Path, ...]:
    """Return those of the agent's paths that are shared with this container."""
    listed = [Path(path) for path in sent if isinstance(path, str)] if isinstance(sent, list) else []
    return tuple(path for path in listed if path.is_absolute() and path.exists())


class _Agent:
    """One connection: runs what it asks for, at once as far as it asks at once; what it leaves behind is cancelled."""

    def __init__(self, sidecar: Sidecar, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._sidecar = sidecar
        self._reader = reader
        self._writer = writer
        self._jobs: dict[int, asyncio.Task[None]] = {}
        self._relays: dict[int, Relay] = {}
        self._pools: dict[Policy, Boxes] = {}

    async def serve(self) -> None:
        self._writer.write(self._sidecar.hello())
        try:
            while (asked := await wire.read(self._reader)) is not None:
                self._take(asked)
        except SandboxError as error:
            logger.warning("sidecar: {}", error.message)
        finally:
            self._writer.transport.abort()  # first: a job that is ended here has no result, and the agent must see that
            for task in self._jobs.values():
                task.cancel()
            await asyncio.gather(*self._jobs.values(), return_exceptions=True)
            await asyncio.gather(*(pool.close() for pool in self._pools.values()))

    def _pool(self, asked: dict[str, Any]) -> Boxes:
        """Return the boxes for what the agent's owner has set, which is the same for all of its sessions."""
        policy = self._sidecar.policy(asked.get("policy"))
        policy = replace(policy, on_connection=self._connected, dialler=self._dialler)
        if policy not in self._pools:
            self._pools[policy] = Boxes(policy)
        return self._pools[policy]

    def _dialler(self) -> Callable[[Place], Awaitable[socket.socket]]:
        """Return how the job of the current request gets connections: the agent makes them."""
        exchange, tell = self._sidecar.exchange, self._tell(_request.get())
        assert exchange is not None
        return lambda place: exchange.dial(place, tell)

    def _connected(self, connection: Connection) -> None:
        self._writer.write(wire.message(id=0, connection=asdict(connection)))

    def _take(self, asked: dict[str, Any]) -> None:
        number = asked.get("id")
        if not isinstance(number, int):
            raise wire.Broken("The agent sent a request without a number.")
        if asked.get("op") == "cancel":
            if (task := self._jobs.get(number)) is not None:
                task.cancel()
        elif asked.get("op") == "refuse":
            if self._sidecar.exchange is not None:
                self._sidecar.exchange.refuse(asked)
        elif asked.get("op") in RELAYED:
            if (relay := self._relays.get(number)) is not None:  # else it is over already
                relay.take(asked)
        elif len(self._jobs) >= MOST_JOBS:
            self._tell(number)(refusal=f"More than {MOST_JOBS} jobs at once.", remedy="Wait until some have ended.")
        elif number not in self._jobs:
            task = asyncio.get_running_loop().create_task(self._answer(number, asked))
            self._jobs[number] = task
            task.add_done_callback(lambda _: self._jobs.pop(number, None))

    async def _answer(self, number: int, asked: dict[str, Any]) -> None:
        try:
            said = await self._do(number, asked)
        except asyncio.CancelledError:
            said = {"done": True}
        except SandboxError as error:
            said = {"refusal": error.message, "remedy": error.remedy}
        except Exception as error:
            logger.exception("sidecar: a request failed")
            said = {"refusal": f"The sidecar failed: {type(error).__name__}.", "remedy": "Its log says more."}
        await self._send(id=number, **said)

    async def _do(self, number: int, asked: dict[str, Any]) -> dict[str, Any]:
        match asked.get("op"):
            case "run":
                return {"result": wire.packed(await self._run(number, asked))}
            case "warm":
                await self._pool(asked).warm(*self._sidecar.place(asked), data=bool(asked.get("data")))
            case "close":
                await self._pool(asked).forget(*self._sidecar.place(asked))
            case other:
                raise wire.Broken(f"The sidecar knows no request '{other}'.")
        return {"done": True}

    async def _run(self, number: int, asked: dict[str, Any]) -> JobResult:
        _request.set(number)
        job, place, pool = wire.job(asked.get("job")), self._sidecar.place(asked), self._pool(asked)
        tell = self._tell(number)

        def progress(step: Progress) -> None:
            tell(progress=[step.text, step.done, step.total])

        def written(piece: Written) -> None:
            tell(written=[piece.stream, piece.text])

        followed = written if asked.get("follow") else None
        if not asked.get("talks"):
            return await pool.run(*place, job, progress, followed)
        relay = self._relays[number] = Relay(tell)
        try:
            async with pool.talk(*place, job, followed) as talk:
                return await relay.between(talk)
        finally:
            del self._relays[number]

    def _tell(self, number: int) -> Callable[..., None]:
        """Return what sends a message of one request."""

        def tell(**said: Any) -> None:
            self._writer.write(wire.message(id=number, **said))

        return tell

    async def _send(self, **fields: Any) -> None:
        with contextlib.suppress(ConnectionError):
            self._writer.write(wire.message(**fields))
            await self._writer.drain()


async def _main(options: argparse.Namespace) -> None:
    rung = await probe()
    if not rung.safe:
        if not options.contained:
            raise SystemExit(
                f"Nothing safe here ({rung.stance}). {rung.remedy} Or --contained: the container is the wall."
            )
        rung = Rung("unsafe", "the sidecar's container alone", rung.remedy)
    until = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, until.set)
    await Sidecar(options.root, rung).serve(options.socket, until)


def main() -> None:
    """Read the command line and serve until a signal comes."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.sidecar", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--socket", type=Path, required=True, help="where to listen; the agent's sandbox.sidecar")
    parser.add_argument("--root", type=Path, required=True, help="the folder with the sessions, as the agent sees it")
    parser.add_argument("--contained", action="store_true", help="run even where only the container is a wall")
    asyncio.run(_main(parser.parse_args()))
