"""A bell between all processes that keep their journal in one PostgreSQL database: LISTEN and NOTIFY.

They may be on different machines. It carries nothing: what has changed is in the journal. A thread waits at its own
connection; where that is lost, it is made anew, and rung once, since nobody knows what was missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import select
import threading
from typing import TYPE_CHECKING, Any

from loguru import logger
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from agent.store.dialect import engine_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection
    from sqlalchemy.engine import URL

TRIGGERS, OUTBOX = "dirigent_bell", "dirigent_outbox"  # a connection that listens is called so, and can be counted
AGAIN_SECONDS = 2.0
LEAVE_SECONDS = 2.0
_RING = text("SELECT pg_notify(:what, :who)")
_OTHERS = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = :name")


class ServerBell:
    """Rings in every process that listens at the same database for the same: changed triggers, or the outbox."""

    def __init__(self, url: URL, what: str = TRIGGERS) -> None:
        self._url = url
        self._what = what
        self._own = secrets.token_hex(8)
        self._asked = threading.Event()  # the thread is to ring
        self._wake = -1  # writing there wakes the thread
        self.listens = threading.Event()

    @contextlib.contextmanager
    def listening(self, rung: Callable[[], None]) -> Iterator[None]:
        """Call `rung` on the loop whenever somebody rings, for as long as this lasts."""
        loop = asyncio.get_running_loop()
        woken, self._wake = os.pipe()
        ended = threading.Event()

        def heard() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(rung)

        thread = threading.Thread(target=self._live, args=(woken, ended, heard), name="bell", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            self._wake, wake = -1, self._wake
            os.close(wake)
            thread.join(LEAVE_SECONDS)  # it may be waiting for a server that is gone, and leaves later then

    def ring(self) -> int:
        """Wake the others; return how many there are. Who listens hands it to its thread, and does not count."""
        if self._wake >= 0:
            self._asked.set()
            os.write(self._wake, b"!")
            return 0
        try:
            with self._connected("dirigent") as connection:
                self.tell(connection)
                return int(connection.execute(_OTHERS, {"name": self._what}).scalar_one())
        except DBAPIError as error:
            logger.warning("Other processes could not be woken: {}", error.orig)
            return 0

    def tell(self, connection: Connection) -> None:
        """Wake the others when the transaction under way is committed."""
        connection.execute(_RING, {"what": self._what, "who": self._own})

    @contextlib.contextmanager
    def _connected(self, name: str) -> Iterator[Connection]:
        engine = engine_of(self._url.update_query_dict({"application_name": name}))
        try:
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.info["begin"] = "BEGIN"  # nothing is written: it has to wait for nobody's turn
                yield connection
        finally:
            engine.dispose()

    # --- in the thread ------------------------------------------------------------------------------------------
    def _live(self, woken: int, ended: threading.Event, heard: Callable[[], None]) -> None:
        while not ended.is_set():
            try:
                with self._connected(self._what) as connection:
                    connection.exec_driver_sql(f"LISTEN {self._what}")
                    self.listens.set()
                    heard()
                    self._listen(connection, woken, ended, heard)
            except Exception as error:  # the driver's own errors, too
                logger.warning("Changes by other processes are noticed late: {}", getattr(error, "orig", error))
                select.select([woken], [], [], AGAIN_SECONDS)
            finally:
                self.listens.clear()
        os.close(woken)

    def _listen(self, connection: Connection, woken: int, ended: threading.Event, heard: Callable[[], None]) -> None:
        driver: Any = connection.connection.driver_connection
        while not ended.is_set():
            ready, _, _ = select.select([driver.fileno(), woken], [], [])
            if woken in ready:
                os.read(woken, 64)
            if self._asked.is_set():
                self._asked.clear()
                self.tell(connection)
            if [one for one in driver.notifies(timeout=0) if one.payload != self._own]:
                heard()
