"""The one thread that owns the journal's connection. What arrives while it commits shares the next commit."""

from __future__ import annotations

import asyncio
import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from loguru import logger

from agent.errors import DirigentError
from agent.store.batch import Batches, Operation, Refused, rang

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

LAZY_SECONDS = 0.02

Queue = SimpleQueue[list[Operation] | None]
"""Operations that travel together; None ends the thread."""


class Writer:
    """Takes operations on the event loop, carries them out in a thread, in the order in which they were requested.

    `connect` is called in the thread and returns the open journal. `translate` turns a database's error into one for
    people. `ring` is called on the loop after a commit with operations that ring, and `tell` in the thread before it.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        *,
        translate: Callable[[Exception], Exception],
        ring: Callable[[], None],
        tell: Callable[[Connection], None] | None = None,
    ) -> None:
        self._connect = connect
        self._translate = translate
        self._ring = ring
        self._tell = tell
        self._queue: Queue = SimpleQueue()
        self._waiting: list[Operation] = []
        self._flush_at: asyncio.Handle | None = None
        self._lazily: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ended: asyncio.Future[None] | None = None
        self._batches: Batches | None = None

    @property
    def commits(self) -> int:
        """How many transactions have been committed that wrote something."""
        return self._batches.commits if self._batches else 0

    async def start(self) -> None:
        """Start the thread and return when the journal is open. Raises what `connect` raises, translated."""
        if self._thread is not None:
            return
        loop = self._loop = asyncio.get_running_loop()
        self._queue = SimpleQueue()
        opened: asyncio.Future[None] = loop.create_future()
        ended = self._ended = loop.create_future()
        self._thread = threading.Thread(
            target=self._live, args=(opened, ended, self._queue), name="journal", daemon=True
        )
        self._thread.start()
        try:
            await asyncio.shield(opened)
        except asyncio.CancelledError:
            self._queue.put(None)
            self._thread = None
            opened.add_done_callback(_look)
            raise
        except Exception:
            await self._end()
            raise

    async def stop(self) -> None:
        """Carry out what is waiting, then end the thread. Safe to call twice."""
        if self._thread is None:
            return
        self._flush()
        self._queue.put(None)
        await self._end()

    async def _end(self) -> None:
        thread, ended = self._thread, self._ended
        self._thread = None
        if thread is not None and ended is not None:
            await asyncio.shield(ended)
            thread.join()

    def submit(self, operation: Operation) -> None:
        """Hand over an operation; it travels with all others of this turn of the loop."""
        self._take(operation)
        if self._flush_at is None:
            assert self._loop is not None
            self._flush_at = self._loop.call_soon(self._flush)

    def submit_lazily(self, operation: Operation) -> None:
        """Hand over an operation that nobody waits for; it travels with the next one that somebody waits for."""
        self._take(operation)
        if self._flush_at is None and self._lazily is None:
            assert self._loop is not None
            self._lazily = self._loop.call_later(LAZY_SECONDS, self._flush)

    def _take(self, operation: Operation) -> None:
        if self._thread is None:
            raise DirigentError("The journal is not open.", hint="Call open() first, and nothing after close().")
        self._waiting.append(operation)

    def _flush(self) -> None:
        for handle in (self._flush_at, self._lazily):
            if handle is not None:
                handle.cancel()
        self._flush_at = self._lazily = None
        if self._waiting:
            self._queue.put(self._waiting)
            self._waiting = []

    # --- in the thread ------------------------------------------------------------------------------------------
    def _live(self, opened: asyncio.Future[None], ended: asyncio.Future[None], queue: Queue) -> None:
        try:
            connection = self._connect()
        except Exception as error:
            self._call(_settle, opened, Refused(self._translate(error)))
        else:
            self._batches = Batches(connection, self._tell)
            self._call(_settle, opened, None)
            self._work(self._batches, queue)
            _close(connection)
        finally:
            self._call(_settle, ended, None)

    def _work(self, batches: Batches, queue: Queue) -> None:
        ended = False
        while not ended:
            operations, ended = _next(queue)
            if operations:
                self._call(self._deliver, operations, self._outcomes(batches, operations))

    def _outcomes(self, batches: Batches, operations: Sequence[Operation]) -> list[Any]:
        try:
            outcomes = batches.carry_out(operations)
        except Exception as error:
            logger.error("The journal could not write {} operations: {}", len(operations), error)
            return [Refused(self._translate(error)) for _ in operations]
        return [
            Refused(self._translate(outcome.error)) if isinstance(outcome, Refused) else outcome for outcome in outcomes
        ]

    def _call(self, function: Callable[..., None], *args: Any) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:  # the loop has ended; what was committed is committed, and nobody listens any more
            logger.debug("The journal's loop ended before its last answers.")

    # --- on the loop again --------------------------------------------------------------------------------------
    def _deliver(self, operations: Sequence[Operation], outcomes: Sequence[Any]) -> None:
        rings = False
        for operation, outcome in zip(operations, outcomes, strict=True):
            rings |= rang(operation, outcome)
            if operation.future is not None:
                _settle(operation.future, outcome)
            elif isinstance(outcome, Refused):
                logger.warning("A write that nobody waited for was refused: {}", outcome.error)
        if rings:
            self._ring()


def _next(queue: Queue) -> tuple[list[Operation], bool]:
    """Wait for something to do and return all of it, and whether it is the last."""
    taken: list[Operation] = []
    part = queue.get()
    while part is not None:
        taken += part
        try:
            part = queue.get_nowait()
        except Empty:
            return taken, False
    return taken, True


def _settle(future: asyncio.Future[Any], outcome: Any) -> None:
    if future.done():
        return
    if isinstance(outcome, Refused):
        future.set_exception(outcome.error)
    else:
        future.set_result(outcome)


def _look(future: asyncio.Future[Any]) -> None:
    """Take note of an outcome that nobody waits for any more."""
    if not future.cancelled():
        future.exception()


def _close(connection: Connection) -> None:
    try:
        connection.close()
        connection.engine.dispose()
    except Exception as error:
        logger.warning("The journal's connection did not close: {}", error)
