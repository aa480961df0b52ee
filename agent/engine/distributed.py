"""Runs on many workers: a queue in PostgreSQL, by Procrastinate, beside the journal.

Whoever submits a run, puts a job into the queue; any process that works takes the one whose turn it is. A worker says
again and again that it lives. One that does not, has its runs taken over: first their leases end, so that it can write
nothing more should it live on, then others take them. What processes have to tell one another goes through the database
as well, and may be missed; the journal has it all.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from loguru import logger
from procrastinate import App
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException, JobAborted
from procrastinate.job_context import AbortReason, JobContext
from procrastinate.jobs import DeleteJobCondition
from procrastinate.worker import Worker

from agent.engine import statements as sql
from agent.engine.jobs import AGAIN_SECONDS, Back, Held, Jobs, Sends, connector_of, prepare, until_done, why
from agent.engine.protocol import ALL, Load, WorkerSeen
from agent.errors import JournalFailed, may_pass

if TYPE_CHECKING:
    from agent.engine.protocol import Hears, Work

RUN, LATER = "dirigent.run", "dirigent.later"
BEAT_SECONDS = 3.0
DEAD_SECONDS = 12.0
LOOK_SECONDS = 1.0  # a run that comes while the queue is looked through may not be heard of
ALL_SECONDS = 20.0
CANCEL_SECONDS = 30.0
FLUSH_SECONDS = 10.0
POLL_SECONDS = 0.1
FIRST = -1e18


class DistributedEngine:
    """Implements Engine over PostgreSQL at `url`. It works on runs itself only when `works` says so.

    `dead_seconds` without a sign of life and a worker's runs are others'. When it stops, its runs may go on for
    `drain_seconds` before they are left to others. Use it on one event loop.
    """

    elsewhere = True

    def __init__(
        self,
        url: str,
        *,
        works: bool = False,
        runs_total: int = 16,
        runs_per_user: int = 4,
        ageing_seconds: float = 60.0,
        drain_seconds: float = 30.0,
        dead_seconds: float = DEAD_SECONDS,
    ) -> None:
        self._works = works
        self._total = runs_total
        self._ageing = ageing_seconds
        self._drain = drain_seconds
        self._dead = dead_seconds
        self._own = secrets.token_hex(8)
        logging.getLogger("procrastinate").setLevel(logging.WARNING)  # what it does all day is its own affair
        logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # a database that is away is told by us
        self._connector = connector_of(url)
        self._app = App(connector=self._connector)
        self._jobs = self._app.job_manager = Jobs(self._connector, runs_per_user, runs_total)
        self._app.task(name=RUN, pass_context=True, retry=Back())(self._carry_out)
        self._app.task(name=LATER, retry=Back())(self._now)
        self._work: Work | None = None
        self._hears: Hears | None = None
        self._abandoned: Work | None = None
        self._worker: Worker | None = None
        self._outgoing: asyncio.Queue[Sends] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._working: asyncio.Task[None] | None = None
        self._free = asyncio.Event()
        self._free.set()
        self._looked = self._patient_until = 0.0

    # --- the port -----------------------------------------------------------------------------------------------
    async def start(self, work: Work, *, hears: Hears | None = None, abandoned: Work | None = None) -> None:
        """Begin; see Engine.start. Raises JournalFailed when the database can't be reached."""
        self._work, self._hears, self._abandoned = work, hears, abandoned
        try:
            await self._connector.open_async()
            await prepare(self._connector)
        except Exception as error:
            raise JournalFailed(f"The queue of runs can't be opened: {why(error)}") from error
        works = (self._send_on(), self._listen(), self._keep_looking())
        self._tasks = [asyncio.create_task(one, name="queue") for one in works]
        if self._works:
            self._working = asyncio.create_task(self._keep_working(), name="worker")
            self._tasks.append(asyncio.create_task(self._keep_rescuing(), name="rescue"))

    def submit(
        self,
        run_id: int,
        *,
        session_id: str,
        user_id: str = "",
        priority: int = 5,
        line: str = "",
        since: float = 0.0,
        at: float = 0.0,
    ) -> None:
        """Queue a run; see Engine.submit."""
        since = since or time.time()
        key = since - priority * self._ageing
        job = {
            "run": run_id,
            "user": user_id,
            "key": key,
            "place": key if line else since,
            "line": line or f"session:{session_id}",
        }
        self._outgoing.put_nowait(lambda: self._defer_later(job, at) if at > time.time() else self._defer(job))

    async def cancel(self, run_id: int) -> bool:
        """Cancel a run, wherever it is worked on; see Engine.cancel."""
        await self._flush()
        held = await self._ask(sql.CANCEL, run=run_id)
        ends = time.monotonic() + CANCEL_SECONDS
        looked = time.monotonic()
        while await self._still_held(held) and time.monotonic() < ends:
            await asyncio.sleep(POLL_SECONDS)
            if time.monotonic() - looked > BEAT_SECONDS:
                await self._rescue()
                looked = time.monotonic()
        return bool(held)

    def tell(self, what: str, run_id: int = 0) -> None:
        """See Engine.tell."""
        said = json.dumps([self._own, what, run_id])
        self._outgoing.put_nowait(lambda: self._connector.execute_query_async(sql.TELL, channel=sql.CHANNEL, said=said))

    async def known(self) -> set[int]:
        """See Engine.known."""
        await self._flush()
        return {row["run"] for row in await self._ask(sql.KNOWN)}

    async def load(self) -> Load:
        """See Engine.load."""
        counted = await self._ask(sql.LOAD)
        workers = await self._ask(sql.WORKERS, seconds=self._dead)
        return Load(**counted[0], workers=tuple(WorkerSeen(**row) for row in workers))

    async def idle(self) -> None:
        """See Engine.idle."""
        while await self.known():  # noqa: ASYNC110  # other processes work, too
            await asyncio.sleep(POLL_SECONDS)

    async def stop(self) -> None:
        """Take up nothing more, let what is at work go on for a while, and end; see Engine.stop."""
        self._jobs.draining = True
        if self._working is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._free.wait(), max(self._drain, 0.0))
            self._working.cancel()
            await asyncio.wait([self._working])
        if self._tasks:
            with contextlib.suppress(JournalFailed):
                await self._flush()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._connector.close_async()

    async def _ask(self, query: Any, **arguments: Any) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = await self._connector.execute_query_all_async(query, **arguments)
        except ConnectorException as error:
            raise _away() from error
        return found

    def hurry(self) -> None:
        """See Engine.hurry."""
        self._free.set()

    # --- to the database, in order --------------------------------------------------------------------------------
    async def _send_on(self) -> None:
        """Send what was submitted and told, in order; while the database can't be reached it waits."""
        while True:
            send = await self._outgoing.get()
            await until_done(send, "a run can't be queued")
            self._outgoing.task_done()

    async def _flush(self) -> None:
        """Wait until all is sent. Raises JournalFailed when that takes too long: the database is away."""
        try:
            await asyncio.wait_for(self._outgoing.join(), FLUSH_SECONDS)
        except TimeoutError as error:
            raise _away() from error

    async def _defer(self, job: dict[str, Any]) -> None:
        wanted = self._app.configure_task(RUN, lock=job["line"], queueing_lock=f"run:{job['run']}", task_kwargs=job)
        with contextlib.suppress(AlreadyEnqueued):
            await wanted.defer_async()

    async def _defer_later(self, job: dict[str, Any], at: float) -> None:
        kwargs = {"run": job["run"], "user": "", "key": FIRST, "place": 0.0, "job": job}
        when = datetime.fromtimestamp(at, UTC)
        wanted = self._app.configure_task(
            LATER, queueing_lock=f"later:{job['run']}:{at:.1f}", schedule_at=when, task_kwargs=kwargs
        )
        with contextlib.suppress(AlreadyEnqueued):
            await wanted.defer_async()

    async def _now(self, job: dict[str, Any], **_: Any) -> None:
        """Submit what was to be submitted later: it is a job without a line, so that it holds up nobody meanwhile."""
        await until_done(lambda: self._defer(job), "a run that waited can't be queued")

    # --- hearing --------------------------------------------------------------------------------------------------
    async def _listen(self) -> None:
        async def heard(*, channel: str, payload: str) -> None:  # noqa: ARG001  # the library's call
            who, what, run_id = json.loads(payload)
            if who != self._own:
                self._hear(what, run_id)

        while True:
            try:
                await self._connector.listen_notify(on_notification=heard, channels=[sql.CHANNEL])
            except Exception as error:
                logger.warning("What other processes tell is not heard: {}", why(error))
            await asyncio.sleep(AGAIN_SECONDS)

    async def _keep_looking(self) -> None:
        """Have everything looked at now and then: nobody knows what was told while a connection was away."""
        while True:
            await asyncio.sleep(ALL_SECONDS)
            self._hear(ALL, 0)

    def _hear(self, what: str, run_id: int) -> None:
        if self._hears is None:
            return
        try:
            self._hears(what, run_id)
        except Exception:
            logger.exception("What another process told ({} {}) could not be taken in", what, run_id)

    # --- working --------------------------------------------------------------------------------------------------
    async def _keep_working(self) -> None:
        while not self._jobs.draining:  # a worker that cannot say goodbye to the database ends with an error, too
            self._worker = Worker(
                self._app,
                concurrency=self._total,
                fetch_job_polling_interval=LOOK_SECONDS,
                abort_job_polling_interval=BEAT_SECONDS,
                shutdown_graceful_timeout=0,
                delete_jobs=DeleteJobCondition.ALWAYS,
                install_signal_handlers=False,
                update_heartbeat_interval=BEAT_SECONDS,
                stalled_worker_timeout=self._dead,
            )
            try:
                await self._worker.run()  # type: ignore[no-untyped-call]
            except Exception as error:
                logger.warning("The worker could not go on, and begins anew: {}", why(error))
            await asyncio.sleep(AGAIN_SECONDS)

    async def _carry_out(self, context: JobContext, /, run: int, **_: Any) -> None:
        assert self._work is not None
        task, job = asyncio.current_task(), context.job
        assert task is not None
        assert job.id is not None
        before = self._jobs.held.get(run)
        if before is not None:  # taken from this very worker, which had been silent
            before.task.cancel()
            await asyncio.wait([before.task])
        held = self._jobs.held[run] = Held(job.id, job.attempts, task)
        self._free.clear()
        try:
            await self._work(run)
        except asyncio.CancelledError:
            if context.abort_reason() is AbortReason.USER_REQUEST:
                raise JobAborted from None
            raise
        except Exception as error:
            logger.opt(exception=error).error("work on run {} ended with an error", run)
            if may_pass(error):
                raise
        finally:
            if self._jobs.held.get(run) is held:
                del self._jobs.held[run]
            if not self._jobs.held:
                self._free.set()

    # --- taking over ------------------------------------------------------------------------------------------------
    async def _keep_rescuing(self) -> None:
        while True:
            try:
                await self._rescue()
            except Exception as error:
                logger.warning("Whether workers have died can't be seen: {}", why(error))
            await asyncio.sleep(BEAT_SECONDS)

    async def _rescue(self) -> None:
        """Give the runs of workers that are gone back to the queue; by one process at a time."""
        ask = self._connector.execute_query_all_async_with_connection
        async with self._connector.pool.connection() as connection:
            mine = (await ask(connection, sql.TRY_RESCUE))[0]["mine"]
            if self._has_been_away() or not mine:
                return
            for job in await ask(connection, sql.STALLED, seconds=self._dead):
                logger.warning("The worker of run {} is gone; another takes it over", job["run"])
                if self._abandoned is not None:
                    await self._abandoned(job["run"])
                await ask(connection, sql.PUT_BACK, job=job["id"], attempts=job["attempts"], seconds=0.0)
            await connection.execute(sql.FORGET_WORKERS, {"seconds": self._dead})

    def _has_been_away(self) -> bool:
        """Say whether the others may have had no chance yet to say that they live, as this process had none."""
        now = time.time()  # the wall's: a machine that sleeps stops the others
        if self._looked and now - self._looked > self._dead:
            self._patient_until = now + self._dead
        self._looked = now
        return now < self._patient_until

    async def _still_held(self, jobs: list[dict[str, Any]]) -> bool:
        if not jobs:
            return False
        held = await self._ask(sql.HELD, jobs=[job["id"] for job in jobs], worker=0)
        still = {(one["id"], one["attempts"]) for one in held}
        return any((job["id"], job["attempts"]) in still for job in jobs)


def _away() -> JournalFailed:
    return JournalFailed("The queue of runs can't be reached just now.", hint="Try again in a moment.")
