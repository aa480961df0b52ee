"""Who is at the desk: exactly one of the processes that share a database does what only one may do.

The database's own lock, held on a connection of its own, says who. When its process dies, or says nothing for a while,
the server ends the connection, and with it the lock: the next one takes it over.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

from loguru import logger
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from agent.store.dialect import engine_of, url_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from sqlalchemy import Connection

ASK_SECONDS = 1.0
SILENT_SECONDS = 15  # of the one at the desk, after which the server gives it to another
LEAVE_SECONDS = 5.0
_NUMBER = 5340871218  # the queue of runs uses the numbers before
_TAKE = text(f"SELECT pg_try_advisory_lock({_NUMBER})")
_ALIVE = text("SELECT 1")
_IMPATIENT = text(  # servers before 14 do without
    "SELECT set_config(name, :silent, false) FROM pg_settings "
    "WHERE name IN ('idle_session_timeout', 'tcp_user_timeout')"
)


class Desk:
    """A place for one of all the processes at the same database. `url` is the journal's address."""

    def __init__(self, url: str) -> None:
        self._url = url_of(url).update_query_dict({"application_name": "dirigent_desk"})
        self._ended = threading.Event()

    @contextlib.asynccontextmanager
    async def taken(self) -> AsyncIterator[asyncio.Event]:
        """Wait until the desk is free, and keep it while the block runs; the event is set should it be lost.

        While the database can't be reached nobody is known to have it, and whoever had it goes on.
        """
        loop = asyncio.get_running_loop()
        got, lost = asyncio.Event(), asyncio.Event()

        def tell(event: asyncio.Event) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(event.set)

        self._ended.clear()
        ends = (lambda: tell(got), lambda: tell(lost))
        thread = threading.Thread(target=self._live, args=ends, name="desk", daemon=True)
        thread.start()
        try:
            await got.wait()
            yield lost
        finally:
            self._ended.set()
            await asyncio.to_thread(thread.join, LEAVE_SECONDS)

    # --- in the thread ------------------------------------------------------------------------------------------
    def _live(self, got: Callable[[], None], lost: Callable[[], None]) -> None:
        had = False
        while not self._ended.is_set():
            try:
                with self._connected() as connection:
                    for mine in self._asked(connection):
                        if mine:
                            had = True
                            got()
                        elif had:  # the connection was lost meanwhile, and somebody else was quicker
                            lost()
                            return
            except DBAPIError as error:
                logger.warning("Who is at the desk can't be asked: {}", error.orig)
            self._ended.wait(ASK_SECONDS)

    def _asked(self, connection: Connection) -> Iterator[bool]:
        """Yield again and again whether this process has the desk."""
        connection.execute(_IMPATIENT, {"silent": f"{SILENT_SECONDS}s"})
        mine = False
        while not self._ended.is_set():
            if mine:
                connection.execute(_ALIVE)
            else:
                mine = bool(connection.execute(_TAKE).scalar_one())
            yield mine
            self._ended.wait(ASK_SECONDS)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Connection]:
        engine = engine_of(self._url)
        try:
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.info["begin"] = "BEGIN"  # nothing is written: it has to wait for nobody's turn
                yield connection
        finally:
            engine.dispose()
