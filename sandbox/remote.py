"""The agent's side of a sidecar: a session's box that lives in another container (rung B)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loguru import logger

from sandbox import dialling, network, wire
from sandbox.api import Connection, Job, JobResult, Policy, Progress, Rung, SandboxError, SandboxGone, Written
from sandbox.proxy import Refused
from sandbox.relay import Line
from sandbox.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.proxy import Rules
    from sandbox.talking import Conversation

HELLO_S = 10.0
RETURN_S, AGAIN_S = 30.0, 0.2  # how long one that was there is waited for, and how often it is looked for
MOST_DIALLING = 256
OURS = frozenset({"sidecar", "unsafe", "on_connection", "dialler"})  # of a policy, what no sidecar is told
_REMEDY = "Start it with: python -m sandbox.sidecar --socket {path} --root FOLDER (the folder with the sessions)."


def sent_policy(policy: Policy) -> dict[str, Any]:
    """Return what a sidecar is told of the owner's settings: all but what is ours alone."""
    told = {field.name: getattr(policy, field.name) for field in fields(Policy) if field.name not in OURS}
    return told | {name: [str(path) for path in told[name]] for name in ("plugin_folders", "read_only")}


class _Request:
    def __init__(
        self,
        on_progress: Callable[[Progress], None] | None,
        on_output: Callable[[Written], None] | None,
        line: Line | None,
        rules: Rules | None,
    ) -> None:
        self.done: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.on_progress = on_progress
        self.on_output = on_output
        self.line = line
        self.rules = rules


class Sidecar:
    """A connection to a sidecar, made when it is needed and made again when it broke.

    One that was there is waited for: its container is started again after an update or a death.

    `on_connection` is told of what jobs reach from there.
    """

    def __init__(self, path: Path, on_connection: Callable[[Connection], None] | None = None) -> None:
        self._path = path
        self._on_connection = on_connection
        self._lock = asyncio.Lock()
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._requests: dict[int, _Request] = {}
        self._numbers = itertools.count(1)
        self._rung = Rung("B", "")
        self._dialling: set[asyncio.Task[None]] = set()
        self._awaited_until = 0.0

    async def rung(self) -> Rung:
        """Return the protection in force there. Raises SandboxError when nobody answers."""
        await self._connected()
        return self._rung

    async def ask(
        self,
        on_progress: Callable[[Progress], None] | None = None,
        on_output: Callable[[Written], None] | None = None,
        talk: Conversation | None = None,
        rules: Rules | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """Ask and wait for the answer. Cancelling ends the job there. Raises SandboxError.

        `rules` say what the job may be connected to.
        """
        number, writer = next(self._numbers), await self._connected()

        def tell(**said: Any) -> None:
            writer.write(wire.message(id=number, **said))

        line = Line(talk, tell) if talk is not None else None
        request = _Request(on_progress, on_output, line, rules)
        self._requests[number] = request
        try:
            tell(**fields)
            await writer.drain()
            answer = await asyncio.shield(request.done)
        except asyncio.CancelledError:
            await self._cancel(writer, number, request)
            raise
        except ConnectionError:
            raise self._gone() from None
        finally:
            self._requests.pop(number, None)
            if line is not None:
                line.close()
        if "refusal" in answer:
            raise SandboxError(str(answer["refusal"]), remedy=str(answer.get("remedy", "")))
        return answer

    async def _cancel(self, writer: asyncio.StreamWriter, number: int, request: _Request) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(wire.message(id=number, op="cancel"))
            await asyncio.wait({request.done}, timeout=2)
        if request.done.done() and not request.done.cancelled():
            request.done.exception()

    def _gone(self) -> SandboxGone:
        return SandboxGone("The sandbox's sidecar is gone.", remedy=_REMEDY.format(path=self._path))

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._reading is not None and not self._reading.done()

    async def _connected(self) -> asyncio.StreamWriter:
        async with self._lock:
            if self._writer is not None and self.connected:
                return self._writer
            await self._let_go()
            reader, self._writer, hello = await self._found()
            try:
                self._greet(hello)
            except SandboxError:
                await self._let_go()
                raise
            self._reading = asyncio.get_running_loop().create_task(self._read(reader))
            return self._writer

    async def _found(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, dict[str, Any]]:
        """Connect, and return both ways and what it said first. Raises SandboxError when nobody answers."""
        while True:
            try:
                async with asyncio.timeout(HELLO_S):
                    if (found := await self._greeted()) is not None:  # else it is just ending
                        return found
            except (OSError, TimeoutError):
                pass
            if asyncio.get_running_loop().time() > self._awaited_until:
                remedy = _REMEDY.format(path=self._path)
                raise SandboxError(f"No sidecar answers at {self._path}.", remedy=remedy)
            await asyncio.sleep(AGAIN_S)

    async def _greeted(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, dict[str, Any]] | None:
        reader, writer = await asyncio.open_unix_connection(self._path, limit=1 << 20)
        hello = None
        try:
            hello = await wire.read(reader)
        finally:
            if hello is None:
                writer.transport.abort()
        return None if hello is None else (reader, writer, hello)

    def _greet(self, hello: dict[str, Any] | None) -> None:
        rung = (hello or {}).get("rung")
        if not hello or hello.get("hello") != wire.VERSION or not isinstance(rung, dict):
            remedy = "Build and start the sidecar anew from the version that the agent has."
            raise SandboxError(f"What answers at {self._path} is no sidecar of this version.", remedy=remedy)
        self._rung = Rung("B", f"a sidecar, within it {rung.get('stance', 'unknown')}", str(rung.get("remedy", "")))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while (said := await wire.read(reader)) is not None:
                self._hear(said)
        except SandboxError as error:
            logger.warning("sidecar: {}", error.message)
        finally:
            self._awaited_until = asyncio.get_running_loop().time() + RETURN_S
            for request in self._requests.values():
                if not request.done.done():
                    request.done.set_exception(self._gone())

    def _hear(self, said: dict[str, Any]) -> None:
        if "connection" in said:
            if self._on_connection is not None:
                self._on_connection(wire.connection(said["connection"]))
            return
        request = self._requests.get(said.get("id", 0))
        if request is None or request.done.done():
            return
        match said:
            case {"progress": [str(text), int() | float() | None as done, int() | float() | None as total]}:
                if request.on_progress is not None:
                    request.on_progress(Progress(text, done, total))
            case {"written": ["stdout" | "stderr" as stream, str(text)]}:
                if request.on_output is not None:
                    request.on_output(Written(stream, text))
            case {"dial": str(word), "host": str(host), "port": int(port)}:
                self._dial(said["id"], request.rules, word, host, port)
            case _ if request.line is None or not request.line.hear(said):
                request.done.set_result(said)

    def _dial(self, number: int, rules: Rules | None, word: str, host: str, port: int) -> None:
        """Make a connection for a job there, if the job may have it."""
        if rules is None or len(self._dialling) >= MOST_DIALLING:
            self._refuse(number, word, 502, "no more connections can be made now")
            return
        task = asyncio.get_running_loop().create_task(self._connect(number, rules, word, host, port))
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)

    async def _connect(self, number: int, rules: Rules, word: str, host: str, port: int) -> None:
        try:
            with await dialling.connect(host, port, rules) as made:
                await dialling.hand_over(self._path, word, made)
        except Refused as error:
            self._refuse(number, word, error.status, error.reason, str(error.address or ""))
        except OSError as error:
            self._refuse(number, word, 502, f"the connection cannot be handed over ({type(error).__name__})")

    def _refuse(self, number: int, word: str, status: int, reason: str, address: str = "") -> None:
        if self._writer is not None:
            why = {"status": status, "reason": reason, "address": address}
            self._writer.write(wire.message(id=number, op="refuse", dial=word, **why))

    async def _let_go(self) -> None:
        for task in self._dialling:
            task.cancel()
        await asyncio.gather(*self._dialling, return_exceptions=True)
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
            self._reading = None
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = None

    async def close(self) -> None:
        """Close the connection; the sidecar then ends what it still runs for us."""
        await self._let_go()


class RemoteBox(Session):
    """A session's box in a sidecar. Without a connection to share it has its own, to the one that the policy names."""

    def __init__(self, session_id: str, workspace: Path, policy: Policy, sidecar: Sidecar | None = None) -> None:
        assert sidecar is not None or policy.sidecar is not None
        self.rung = Rung("B", "a sidecar")
        self._sidecar = sidecar or Sidecar(policy.sidecar or Path(), policy.on_connection)
        self._own = None if sidecar else self._sidecar
        self._about: dict[str, Any] = {
            "session": session_id,
            "workspace": str(workspace.absolute()),
            "policy": sent_policy(policy),
        }
        self._workspace = workspace
        self._session_id, self._policy = session_id, policy

    async def run(
        self,
        job: Job,
        on_progress: Callable[[Progress], None] | None = None,
        on_output: Callable[[Written], None] | None = None,
        talk: Conversation | None = None,
    ) -> JobResult:
        """Run a job to its end. Raises SandboxError when the sidecar refuses it or is gone."""
        self._workspace.mkdir(parents=True, exist_ok=True)
        asked = {"op": "run", "job": wire.packed(job), "follow": on_output is not None, "talks": talk is not None}
        leave = network.grant(self._session_id, job, self._policy) or network.nobody(self._session_id, self._policy)
        answer = await self._sidecar.ask(on_progress, on_output, talk, leave.rules, **asked, **self._about)
        found = wire.result(answer.get("result"))
        return replace(found, rung="B")

    async def warm(self, *, data: bool = False) -> None:
        """Start the box before the first job needs it."""
        self._workspace.mkdir(parents=True, exist_ok=True)
        await self._sidecar.ask(op="warm", data=data, **self._about)

    async def close(self) -> None:
        """End the box there, as far as somebody is still there."""
        if self._sidecar.connected:  # else it has ended with the connection
            with contextlib.suppress(SandboxError, TimeoutError):
                async with asyncio.timeout(HELLO_S):
                    await self._sidecar.ask(op="close", **self._about)
        if self._own is not None:
            await self._own.close()
