"""The library's queue as ours has to be: our order and limits, patience with the database, tables up to date."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from loguru import logger
from procrastinate import PsycopgConnector
from procrastinate.jobs import Job
from procrastinate.manager import JobManager
from procrastinate.retry import BaseRetryStrategy, RetryDecision
from procrastinate.schema import SchemaManager, migrations_path

from agent.engine import statements as sql
from agent.engine.owner import own_name
from agent.errors import may_pass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from procrastinate.jobs import Status
    from procrastinate.manager import NotificationCallback

AGAIN_SECONDS = 1.0  # until what the database refused is tried once more
TROUBLE_SECONDS = 5.0  # until a run that the machine's troubles ended is taken up again
IDLE_IN_TRANSACTION = 20_000  # milliseconds, of a process that was stopped in the middle
_SCHEME = re.compile(r"^postgres(?:ql)?(?:\+\w+)?://")

Sends = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Held:
    """A run that is at work here: its job, how often that was taken before, and what works on it."""

    job_id: int
    attempts: int
    task: asyncio.Task[Any]


class Jobs(JobManager):
    """The library's queue, with our order and limits; what the database refuses for a while does not end a worker."""

    def __init__(self, connector: PsycopgConnector, per_user: int, slots: int) -> None:
        super().__init__(connector)
        self._per_user = per_user
        self._slots = slots
        self.draining = False
        self.held: dict[int, Held] = {}
        self._strays: set[tuple[int, int]] = set()

    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> Job | None:  # noqa: ARG002  # we have one
        if self.draining:
            return None
        try:
            rows = await self.connector.execute_query_all_async(sql.FETCH, worker=worker_id, per_user=self._per_user)
        except Exception as error:
            logger.warning("The queue of runs can't be read: {}", why(error))
            return None
        return Job.from_row(rows[0]) if rows else None

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:  # noqa: ARG002, FBT001  # deleted, always
        await self._until_done(sql.FINISH, job=job.id, attempts=job.attempts)

    async def retry_job(self, job: Job, retry_at: datetime | None = None, *_: Any, **_others: Any) -> None:
        pause = 0.0 if retry_at is None else max(0.0, (retry_at - datetime.now(UTC)).total_seconds())
        await self._until_done(sql.PUT_BACK, job=job.id, attempts=job.attempts, seconds=pause)

    async def register_worker(self) -> int:
        worker_id = await super().register_worker()
        await self._beat(worker_id)
        return worker_id

    async def prune_stalled_workers(self, seconds_since_heartbeat: float) -> list[int]:  # noqa: ARG002
        """Forget nobody: whoever is gone is looked after with care, see DistributedEngine."""
        return []

    async def update_heartbeat(self, worker_id: int) -> None:
        """Say that this worker lives, stop what others have taken over, and give back what nobody here works on."""
        try:
            await self._beat(worker_id)
            held = {(one.job_id, one.attempts): one for one in self.held.values()}
            rows = await self.connector.execute_query_all_async(
                sql.HELD, jobs=[job for job, _ in held], worker=worker_id
            )
        except Exception as error:
            logger.warning("The worker could not say that it lives: {}", why(error))
            return
        ours = {(row["id"], row["attempts"]) for row in rows}
        for one in [one for taken, one in held.items() if taken not in ours]:
            logger.warning("A run was taken over by another worker; its work here ends")
            one.task.cancel()
        strays = {(row["id"], row["attempts"]) for row in rows if row["mine"]} - held.keys()
        for job, attempts in strays & self._strays:  # it was aborted before it began, or could not be ended
            await self._until_done(sql.PUT_BACK, job=job, attempts=attempts, seconds=0.0)
        self._strays = strays

    async def _beat(self, worker_id: int) -> None:
        await self.connector.execute_query_async(sql.BEAT, worker=worker_id, name=own_name(), slots=self._slots)

    async def listen_for_jobs(
        self, *, on_notification: NotificationCallback, queues: Iterable[str] | None = None
    ) -> None:
        while True:
            try:
                await super().listen_for_jobs(on_notification=on_notification, queues=queues)
            except Exception as error:
                logger.warning("New runs are noticed late: {}", why(error))
            await asyncio.sleep(AGAIN_SECONDS)

    async def _until_done(self, query: Any, **arguments: Any) -> None:
        await until_done(lambda: self.connector.execute_query_async(query, **arguments), "the queue can't be written")


class Back(BaseRetryStrategy):
    """A run that was cut off when its worker ended is put back at once, one that met the machine's troubles later."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:  # noqa: ARG002
        if isinstance(exception, asyncio.CancelledError):
            return RetryDecision(retry_in={"seconds": 0})
        return RetryDecision(retry_in={"seconds": int(TROUBLE_SECONDS)}) if may_pass(exception) else None


async def until_done(send: Sends, trouble: str) -> None:
    """Have the database do something, however long that takes."""
    while True:
        try:
            await send()
        except Exception as error:
            logger.warning("{}: {}", trouble, why(error))
        else:
            return
        await asyncio.sleep(AGAIN_SECONDS)


def why(error: BaseException) -> str:
    """Return what an error says; the library's say nothing, and were raised from one that does."""
    return str(error) or str(error.__cause__ or "") or repr(error)


def connector_of(url: str) -> PsycopgConnector:
    """Return connections to the queue in the database at `url`; nothing is opened yet."""
    options = f"-c search_path={sql.SCHEMA} -c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION}"
    return PsycopgConnector(
        conninfo=_SCHEME.sub("postgresql://", url),
        kwargs={"options": options, "application_name": "dirigent_queue"},
        min_size=1,
        max_size=4,
        timeout=10.0,
    )


async def prepare(connector: PsycopgConnector) -> None:
    """Make the queue's tables, or bring them up to date; by one process at a time."""
    async with connector.pool.connection() as connection:
        await connection.execute(sql.ALONE)
        await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {sql.SCHEMA}")
        await connection.execute(sql.VERSION_TABLE)
        found = await (await connection.execute(sql.VERSION)).fetchone()
        library, ours = found or ("", 0)
        migrations = sorted(path.name for path in migrations_path.glob("*.sql"))
        if not library:
            await connection.execute(SchemaManager.get_schema())
        for name in [name for name in migrations if library and name > library]:
            await connection.execute((migrations_path / name).read_bytes())
        if ours < sql.OURS:
            await connection.execute(sql.FUNCTIONS)
        if (migrations[-1] > library) or ours < sql.OURS:
            newest = {"library": max(library, migrations[-1]), "ours": max(ours, sql.OURS)}
            await connection.execute(sql.SET_VERSION, newest)
