"""An open journal: hands functions of the connection to the writer and waits for what they return."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

from agent.store import schema
from agent.store.batch import Operation
from agent.store.dialect import BUSY_SECONDS, is_server, url_of
from agent.store.faults import translate
from agent.store.server_bell import OUTBOX, ServerBell
from agent.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import Connection

    from agent.store.transitions import Owner

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")


class Journal:
    """An open journal. `clock` gives seconds since 1970. It belongs to the event loop that called `open()`.

    `copies` is the folder that gets a copy of a server's journal before it is brought up to date.
    """

    def __init__(
        self, url_or_path: str | Path, *, clock: Callable[[], float] = time.time, copies: Path | None = None
    ) -> None:
        self.url = url_of(url_or_path)
        self.outbox_changed = asyncio.Event()
        self._clock = clock
        self._bell = ServerBell(self.url, OUTBOX) if is_server(self.url) else None
        self._listens = contextlib.ExitStack()
        self._writer = Writer(
            lambda: schema.open_journal(self.url, copies),
            translate=lambda error: translate(error, self.url),
            ring=self.outbox_changed.set,
            tell=None if self._bell is None else self._bell.tell,
        )

    @property
    def commits(self) -> int:
        """How many transactions have been committed that wrote something."""
        return self._writer.commits

    async def open(self) -> None:
        await self._writer.start()
        if self._bell is not None:
            await self._listen(self._bell)

    async def _listen(self, bell: ServerBell) -> None:
        """Notice what other processes post: it is sent by the one that has the channel."""
        listens = asyncio.Event()

        def rung() -> None:
            if listens.is_set():
                self.outbox_changed.set()
            listens.set()  # at first it rings to say so

        self._listens.close()
        self._listens.enter_context(bell.listening(rung))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(listens.wait(), BUSY_SECONDS)

    async def close(self) -> None:
        self._listens.close()
        await self._writer.stop()

    def _do(
        self,
        work: Callable[[Connection, *Arguments], Result],
        *args: *Arguments,
        writes: bool = True,
        rings: bool = False,
        owner: Owner | None = None,
    ) -> asyncio.Future[Result]:
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

        def carry_out(connection: Connection) -> Result:
            return work(connection, *args)

        self._writer.submit(Operation(carry_out, future=future, writes=writes, rings=rings, owner=owner))
        return future

    def _read(
        self,
        work: Callable[[Connection, *Arguments], Result],
        *args: *Arguments,
    ) -> asyncio.Future[Result]:
        return self._do(work, *args, writes=False)
