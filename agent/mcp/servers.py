"""The servers that this process speaks with: one for each session and name, begun with the first call.

A server that idles is ended, one that has ended is begun anew with the next call, and never are there two of one name
in one session. A call that broke off in the middle is repeated once where that can do no harm; else the step says that
nobody knows what became of it. Each call goes by what is configured and accepted when it is made.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from loguru import logger

from agent.domain.execution import ExecutorResponse, ResponseStatus
from agent.domain.provenance import Provenance
from agent.errors import ConfigError, ToolError
from agent.mcp.accepted import accepted, difference, identity, note
from agent.mcp.current import Current
from agent.mcp.fault import Fault
from agent.mcp.files import Changes, save
from agent.mcp.labels import reach_of
from agent.mcp.plugins import SOURCE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from agent.config import AppConfig
    from agent.config.mcp import McpServer
    from agent.domain.artifacts import Artifact
    from agent.domain.session import Session
    from agent.mcp.accepted import Listing
    from agent.mcp.connection import Connection
    from agent.mcp.results import Returned
    from agent.mcp.streams import Streams
    from plugins.api import ToolSpec
    from sandbox.api import Progress
    from sandbox.boxes import Boxes

Key = tuple[str, str]
LOOK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One call: `args` are validated, `seconds` is how long it may take, `report` is told its progress."""

    session: Session
    spec: ToolSpec
    args: dict[str, Any]
    step_id: str
    seconds: float
    report: Callable[[Progress], None]


@dataclass(slots=True)
class _Look:
    """What a session's workspace was like last, and which servers inside may have written into it since.

    `labels` are those of what they write, by the server's name.
    """

    changes: Changes
    labels: dict[str, Provenance] = field(default_factory=dict)


class Servers:
    """All conversations of this process. Close it in the end; then no server of any session is left."""

    def __init__(self, config: AppConfig, boxes: Boxes) -> None:
        self._current = Current(config)
        self._boxes = boxes
        self._live: dict[Key, Connection] = {}
        self._opening: dict[Key, asyncio.Lock] = {}
        self._ender: asyncio.Task[None] | None = None
        self._looks: dict[str, _Look] = {}
        self._accepted: dict[str, Listing] = self._all_accepted()

    @property
    def _config(self) -> AppConfig:
        return self._current.config

    async def call(self, source: str, asked: Asked) -> ExecutorResponse:
        """Call a tool of the server `source` (`mcp:NAME`); whatever goes wrong is a response."""
        name = source.removeprefix(SOURCE)
        try:
            config = self._usable(name, asked.spec)
        except ToolError as error:
            return ExecutorResponse(asked.step_id, ResponseStatus.ERROR, error=error.message, hint=error.hint)
        settings = config.mcp[name]
        changes = await Changes.begin(asked.session) if settings.local else None
        try:
            async with asyncio.timeout(asked.seconds):
                returned = await self._call(config, name, asked)
        except TimeoutError:
            await self._give_up((name, asked.session.id))
            said = f"{asked.spec.full_name} did not answer within {asked.seconds:g} s."
            response = ExecutorResponse(asked.step_id, ResponseStatus.TIMEOUT, error=said)
            return await self._with_files((name, settings), response, asked.session, {}, changes)
        except ToolError as error:
            response = ExecutorResponse(asked.step_id, ResponseStatus.ERROR, error=error.message, hint=error.hint)
            return await self._with_files((name, settings), response, asked.session, {}, changes)
        response = _response(asked.step_id, returned)
        return await self._with_files((name, settings), response, asked.session, returned.files, changes)

    def watches(self, session: Session) -> bool:
        """Say whether a server inside may have written into a session's files since it was looked at."""
        return session.id in self._looks

    async def late(self, session: Session, known: Collection[str]) -> tuple[Artifact, ...]:
        """Return what servers of a session have written since their last call, or since `seen`, with their label.

        `known` are the files that have a label already: a new one among them is somebody else's. A file that was
        changed counts as theirs in any case.
        """
        look = self._looks.get(session.id)
        if look is None or any(one.claims for key, one in self._live.items() if key[1] == session.id):
            return ()
        found = await look.changes.since(deliver=False)
        await self.seen(session)
        label = Provenance.union(look.labels.values())
        return tuple(replace(file, provenance=label) for file in found if not file.created or file.path not in known)

    async def seen(self, session: Session) -> None:
        """Take what lies in the workspace now for what others have put there."""
        look = self._looks.get(session.id)
        if look is not None and not any(key[1] == session.id for key in self._live):
            del self._looks[session.id]
        elif look is not None:
            look.changes = await Changes.begin(session)

    async def _with_files(
        self,
        server: tuple[str, McpServer],
        response: ExecutorResponse,
        session: Session,
        files: Mapping[str, bytes],
        changes: Changes | None,
    ) -> ExecutorResponse:
        """Return the response with the files of an answer, and with those that a server inside has written."""
        saved = await asyncio.to_thread(save, session, files)
        if changes is None:
            return replace(response, files=saved)
        made = await changes.since(deliver=response.success)
        look = self._looks.setdefault(session.id, _Look(changes))
        name, settings = server
        private = bool(settings.shown_secrets)
        look.labels[name] = Provenance.of(f"{name} (MCP)", trusted=False, private=private)
        look.changes = await Changes.begin(session)
        known = {file.path for file in saved}
        return replace(response, files=(*saved, *(file for file in made if file.path not in known)))

    async def close(self) -> None:
        """End all servers."""
        if self._ender is not None:
            self._ender.cancel()
            await asyncio.wait([self._ender])
        await asyncio.gather(*(self._drop(key) for key in list(self._live)))

    # --- one call ---------------------------------------------------------------------------------------------------
    async def _call(self, config: AppConfig, name: str, asked: Asked) -> Returned:
        """Call a tool; where the server ended meanwhile and nothing can have been done twice, once more."""
        from agent.mcp.connection import Ended

        try:
            return await self._once(config, name, asked)
        except Ended as ended:
            if ended.asked and asked.spec.effect == "effect":
                raise _unknown(ended, asked.spec) from None
        try:
            return await self._once(config, name, asked)
        except Ended as ended:
            raise (_unknown(ended, asked.spec) if ended.asked and asked.spec.effect == "effect" else ended) from None

    async def _once(self, config: AppConfig, name: str, asked: Asked) -> Returned:
        connection = await self._connection(config, name, asked.session)
        try:
            await self._check(name, connection, asked.spec)
            stem = f"{name}-{asked.step_id}"
            return await connection.call(asked.spec.function_name, asked.args, stem=stem, report=asked.report)
        finally:
            connection.release()

    async def _check(self, name: str, connection: Connection, spec: ToolSpec) -> None:
        """Raise ToolError for a tool that is not as the owner has accepted it, and remember what the server says."""
        if connection.outdated:
            await connection.look_again()
            await asyncio.to_thread(note, self._config.folder, name, connection.listing)
        known = self._accepted.get(name)
        before = known.tool(spec.function_name) if known is not None else None
        now = connection.listing.tool(spec.function_name)
        if before is None or now is None or before.digest != now.digest:
            gone = f"The tool {spec.full_name} is no longer offered."
            changed = f"The tool {spec.full_name} has changed since you accepted it, and is held back."
            hint = f"`dirigent mcp accept {name}` shows what is different; nothing was called."
            raise ToolError(gone if now is None else changed, hint=hint)

    # --- what is configured and accepted ----------------------------------------------------------------------------
    def _usable(self, name: str, spec: ToolSpec) -> AppConfig:
        """Return the configuration as it is now. Raises ToolError for a server that may not be used, or no more."""
        if self._current.changed():
            self._accepted = self._all_accepted()
        settings = self._config.mcp.get(name)
        if settings is None or not settings.enabled:
            raise ToolError(f"The MCP server {name} is no longer in use.", hint="`dirigent mcp` lists those that are.")
        if why := self._current.late.get(name):
            raise ToolError(f"The MCP server {name} can't be used yet: {why}.")
        if name not in self._accepted:
            said = f"The MCP server {name} is another one than you have accepted."
            raise ToolError(said, hint=f"`dirigent mcp accept {name}` shows what it offers; nothing was called.")
        if any(getattr(spec, one) != value for one, value in reach_of(settings).items()):
            said = f"The MCP server {name} was changed since this step was decided on; nothing was called."
            raise ToolError(said, hint="Ask again.")
        return self._config

    def _all_accepted(self) -> dict[str, Listing]:
        """Return what is accepted of each server that is still the same."""
        found = {}
        for name, settings in self._config.mcp.items():
            try:
                listing = accepted(self._config.folder, name)
            except ConfigError as error:
                logger.warning("{}", error)
                continue
            if listing is not None and listing.runs == identity(settings):
                found[name] = listing
        return found

    # --- which servers there are ------------------------------------------------------------------------------------
    async def _connection(self, config: AppConfig, name: str, session: Session) -> Connection:
        """Return the connection of a session, claimed so that it is not ended as idle: release it after the call."""
        key = (name, session.id)
        async with self._opening.setdefault(key, asyncio.Lock()):
            found = self._live.get(key)
            if found is not None and not found.over:
                if self._is_current(config, found):
                    found.claim()
                    return found
                if found.claims:
                    raise ToolError(f"The MCP server {name} was changed, and the old one still works on a call.")
            await self._drop(key)
            opened = self._live[key] = connection_to(config, self._boxes, name, session)
            opened.claim()
            try:
                await opened.ready()
            except BaseException:
                await self._drop(key)
                raise
        await asyncio.to_thread(note, self._config.folder, name, opened.listing)
        if self._ender is None or self._ender.done():
            self._ender = asyncio.create_task(self._end_idle(), name="mcp idle")
        return opened

    def _is_current(self, config: AppConfig, found: Connection) -> bool:
        """Say whether a server is the one that is configured, and was not begun before others of it were accepted."""
        known, listing = self._accepted.get(found.name), found.listing
        older = known is not None and listing.at < known.at and bool(difference(known, listing))
        return found.runs == identity(config.mcp[found.name]) and not older

    async def _give_up(self, key: Key) -> None:
        """End a server that may hang for good, unless others wait for it too: then the last of them does."""
        async with self._opening.setdefault(key, asyncio.Lock()):
            found = self._live.get(key)
            if found is not None and not found.claims:
                await self._drop(key)

    async def _drop(self, key: Key) -> None:
        found = self._live.pop(key, None)
        if found is not None:
            await found.close()

    async def _end_idle(self) -> None:
        while self._live:
            await asyncio.sleep(min(LOOK_SECONDS, *(self._idle_seconds(name) for name, _ in self._live)))
            now = time.monotonic()
            for key, one in list(self._live.items()):
                if one.over or now - one.used > self._idle_seconds(key[0]):
                    logger.debug("the MCP server {} of {} idles and is ended", *key)
                    await self._give_up(key)

    def _idle_seconds(self, name: str) -> float:
        settings = self._config.mcp.get(name)
        return settings.idle_seconds if settings is not None else 0.0


def connection_to(config: AppConfig, boxes: Boxes, name: str, session: Session) -> Connection:
    """Begin a conversation with a server; `ready()` waits for it. Raises ToolError when a secret is not set."""
    from agent.mcp.connection import Connection

    settings, fault = config.mcp[name], Fault()
    way = _way(config, settings, boxes, session, fault)
    return Connection(name, way, fault, runs=identity(settings), seconds=settings.start_seconds)


def _way(
    config: AppConfig, settings: McpServer, boxes: Boxes, session: Session, fault: Fault
) -> AbstractAsyncContextManager[Streams]:
    secrets = _secrets(config, settings)
    if settings.local:
        from agent.mcp.inside import inside, job_of

        return inside(boxes, session, job_of(config, settings, secrets), fault)
    from agent.mcp.outside import outside

    return outside(settings, secrets, fault)


def _secrets(config: AppConfig, settings: McpServer) -> Mapping[str, str]:
    """Return the secrets that a server gets. Raises ToolError naming one that is not set."""
    for name in settings.shown_secrets:
        if name not in config.secrets:
            raise ToolError(f"The secret {name} is not set.", hint=f'Add it under [secrets] as {name} = "…".')
    return {name: config.secrets[name].get_secret_value() for name in settings.shown_secrets}


def _unknown(ended: ToolError, spec: ToolSpec) -> ToolError:
    said = f"It was in the middle of {spec.full_name}, and nobody knows whether that was done."
    return ToolError(f"{ended.message} {said}", hint="Look before you have it done again.")


def _response(step_id: str, returned: Returned) -> ExecutorResponse:
    if returned.failed:
        return ExecutorResponse(step_id, ResponseStatus.ERROR, error=returned.failed)
    text = f"{returned.text}\n{returned.missing}".strip() if returned.missing else returned.text
    status = ResponseStatus.PARTIAL if returned.missing else ResponseStatus.OK
    return ExecutorResponse(step_id, status, output=returned.value, text=text)
