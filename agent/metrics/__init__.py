"""Prometheus metrics: what has happened since this process began, and what waits in the journal at the moment.

Counters are each process's own: it counts the runs that ended in its hands, and what `tally` notes where work is done,
so that those of several processes may be added up; after a restart they begin anew, as Prometheus expects. What waits
and what was spent is read from the journal, by the one process that shows it for all (`whole`).

Runs that have ended and triggers that have fired are noted by listeners, and looked up in the journal afterwards.
Without a page of metrics there is no `Metrics`, and its library is not imported. Labels are names of pipelines, ids of
chains and triggers, and values of enums, never what a person wrote.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol

from loguru import logger

from agent.domain.states import FINAL, Status
from agent.errors import DirigentError, NotFound
from agent.metrics.tally import FAMILIES, Tally, tally

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from prometheus_client import Metric

    from agent.domain.backlog import Backlog
    from agent.domain.chain import Chain
    from agent.domain.run import Run, StepRecord
    from agent.domain.trigger import Fire, Trigger
    from agent.engine.protocol import Load

RUN_SECONDS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 14_400, 86_400)
STEP_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800)
OUTCOMES = {Status.COMPLETED: "success", Status.FAILED: "failed", Status.CANCELLED: "cancelled"}
REMEMBERED = 10_000
MOST_NAMES = 1_000
OTHERS = "others"


class Journal(Protocol):
    """What is asked of the journal; see `Store`."""

    async def get_run(self, run_id: int) -> Run: ...
    async def get_steps(self, run_id: int) -> list[StepRecord]: ...
    async def get_chain(self, name: str) -> Chain | None: ...
    async def spent(self, *, since: float = 0.0) -> dict[str, float]: ...
    async def backlog(self) -> Backlog: ...


class Metrics:
    """The metrics of this process. `boxes` counts open sandboxes, `rung` names their walls, `running` the automation.

    `load` says how much there is to do and which workers live. With `whole` it also shows what all processes share:
    the journal's backlog, what was spent, the workers. `clock` gives seconds since 1970 and must be the journal's.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        rung: str = "",
        boxes: Callable[[], int] = int,
        running: Callable[[], bool] = bool,
        load: Callable[[], Awaitable[Load]] | None = None,
        whole: bool = True,
        counted: Tally = tally,
        clock: Callable[[], float] = time.time,
    ) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._journal = journal
        self._since = clock()
        self._rung = rung
        self._boxes = boxes
        self._running = running
        self._load = load
        self._whole = whole
        self._tally = counted
        self._ended: deque[int] = deque()
        self._fires: deque[Trigger] = deque()
        self._counted: OrderedDict[int, None] = OrderedDict()
        self._names: set[str] = set()
        self._news = asyncio.Event()
        self._counting = asyncio.Lock()
        made = self._registry = CollectorRegistry()
        self._fired = Counter(
            "trigger_fires", "Fires that began a run or told something.", ["trigger_type", "workflow_id"], registry=made
        )
        self._chains = Counter(
            "chain_executions", "Executions of chains that have ended.", ["chain_id", "status"], registry=made
        )
        self._workflows = Histogram(
            "workflow_duration_seconds",
            "Seconds from the start to the end of runs of pipelines and chains, waiting for people included.",
            ["workflow_id"],
            buckets=RUN_SECONDS,
            registry=made,
        )
        self._runs = Counter("dirigent_runs", "Runs that have ended.", ["status", "origin"], registry=made)
        self._steps = Counter("dirigent_steps", "Steps of runs that have ended.", ["type", "status"], registry=made)
        self._step_seconds = Histogram(
            "dirigent_step_seconds", "Seconds that steps took.", ["type"], buckets=STEP_SECONDS, registry=made
        )

    # --- what happens -------------------------------------------------------------------------------------------
    def run_ended(self, run_id: int) -> None:
        """Note that a run may have ended; cheap, it is looked up later."""
        self._ended.append(run_id)
        self._news.set()

    def fired(self, trigger: Trigger, _fire: Fire) -> None:
        """Note that a trigger fired."""
        self._fires.append(trigger)
        self._news.set()

    async def run(self) -> None:
        """Count what is noted, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            await self._count()

    async def _count(self) -> None:
        async with self._counting:
            while self._fires or self._ended:
                try:
                    if self._fires:
                        await self._count_fire(self._fires.popleft())
                    else:
                        await self._count_run(self._ended.popleft())
                except NotFound:
                    continue
                except Exception as error:
                    logger.opt(exception=error).warning("something could not be counted for the metrics")

    async def _count_fire(self, trigger: Trigger) -> None:
        name = str(trigger.target.get("pipeline") or "")
        if chain := trigger.target.get("chain"):
            known = await self._journal.get_chain(str(chain))
            name = known.id if known is not None else ""
        self._fired.labels(trigger.kind.value, self._bounded(name or trigger.id)).inc()

    async def _count_run(self, run_id: int) -> None:
        if run_id in self._counted:
            return
        run = await self._journal.get_run(run_id)
        if run.status not in FINAL:
            return
        self._counted[run_id] = None
        if len(self._counted) > REMEMBERED:
            self._counted.popitem(last=False)
        self._runs.labels(run.status.value.lower(), run.origin.value).inc()
        self._count_workflow(run)
        for record in await self._journal.get_steps(run_id):
            self._count_step(record)

    def _count_workflow(self, run: Run) -> None:
        kind, _, name = run.source.partition(":")
        if kind == "chain":
            self._chains.labels(self._bounded(name), OUTCOMES[run.status]).inc()
        if name and run.started_at is not None and run.completed_at is not None:
            self._workflows.labels(self._bounded(name)).observe(max(0.0, run.completed_at - run.started_at))

    def _count_step(self, record: StepRecord) -> None:
        kind = record.step.step_type.value
        self._steps.labels(kind, record.status.value.lower()).inc()
        if record.started_at is not None and record.completed_at is not None:
            self._step_seconds.labels(kind).observe(max(0.0, record.completed_at - record.started_at))

    def _bounded(self, name: str) -> str:
        """Return a label; after a thousand different ones all others share one."""
        if name not in self._names and len(self._names) >= MOST_NAMES:
            return OTHERS
        self._names.add(name)
        return name

    # --- what is shown ------------------------------------------------------------------------------------------
    async def page(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        from prometheus_client import generate_latest

        await self._count()
        shown = [*tallied(self._tally), *self._own()]
        if self._whole:
            spent, backlog = await asyncio.gather(self._journal.spent(since=self._since), self._journal.backlog())
            shown += [*_spent(spent), *self._present(backlog), *await self._working()]
        return await asyncio.to_thread(generate_latest, self._registry) + generate_latest(_Now(shown))

    def _own(self) -> Iterator[Metric]:
        yield _gauge("sandbox_boxes", "Open sandboxes.", {"": self._boxes()})
        yield _gauge("automation_running", "1 while triggers fire.", {"": int(self._running())})
        yield _gauge("sandbox_rung", "The walls of the sandbox that are in force.", {self._rung: 1}, "rung")

    async def _working(self) -> list[Metric]:
        """Return how much there is to do and who does it, where the engine tells."""
        if self._load is None:
            return []
        try:
            load = await self._load()
        except DirigentError as error:
            logger.warning("how much there is to do could not be asked for the metrics: {}", error)
            return []
        free = sum(max(one.slots - one.at_work, 0) for one in load.workers)
        return [
            _gauge("queue_waiting", "Runs that wait for their turn.", {"": load.waiting}),
            _gauge("queue_at_work", "Runs that are worked on.", {"": load.at_work}),
            _gauge(
                "workers_alive", "Living workers; none where `dirigent serve` does the work.", {"": len(load.workers)}
            ),
            _gauge("worker_slots_free", "Runs that living workers could take up at once.", {"": free}),
        ]

    def _present(self, backlog: Backlog) -> Iterator[Metric]:
        for name, about, value in (
            ("outbox_messages", "Messages that are yet to be sent.", backlog.outbox),
            ("outbox_lag_seconds", "Seconds since the oldest message to be sent was made.", backlog.outbox_age),
            ("inbox_messages", "Messages that nothing has been done about.", backlog.inbox),
            ("inbox_age_seconds", "Seconds since the oldest of them came.", backlog.inbox_age),
            ("approvals_open", "Approvals that wait for a person.", backlog.approvals),
            ("questions_open", "Questions that wait for a person.", backlog.questions),
        ):
            yield _gauge(name, about, {"": value})
        yield _gauge("runs_unfinished", "Unfinished runs; pending ones are queued.", backlog.runs, "status")
        yield _gauge("events_waiting", "Events that are new, or dead: nothing took them.", backlog.events, "status")


def tallied(counted: Tally) -> Iterator[Metric]:
    """Return what this process has counted where it was done; also what it has not counted yet."""
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

    for name, family in FAMILIES.items():
        if not family.buckets:
            yield (sums := CounterMetricFamily(f"dirigent_{name}", family.about, labels=family.labels))
            for labels, value in counted.counts.get(name, {}).items():
                sums.add_metric(labels, value)
            continue
        yield (times := HistogramMetricFamily(f"dirigent_{name}", family.about, labels=family.labels))
        for labels, seen in counted.times.get(name, {}).items():
            bounds = [*map(str, family.buckets), "+Inf"]
            times.add_metric(labels, list(zip(bounds, accumulate(seen.buckets), strict=True)), seen.total)


def _gauge(name: str, about: str, values: Mapping[str, float], label: str = "") -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(f"dirigent_{name}", about, labels=[label] if label else [])
    for of, value in values.items():
        family.add_metric([of.lower() if label == "status" else of] if label else [], value)
    return family


def _spent(spent: dict[str, float]) -> Iterator[Metric]:
    """Return what the ledger says was used since this process began, by all processes of the home."""
    from prometheus_client.core import CounterMetricFamily

    yield CounterMetricFamily("dirigent_calls", "Model calls, and tool calls that cost money.", value=spent["calls"])
    yield CounterMetricFamily(
        "dirigent_money_dollars", "US dollars spent, where prices are known.", value=spent["money"]
    )
    yield (tokens := CounterMetricFamily("dirigent_tokens", "Tokens of model calls.", labels=["kind"]))
    tokens.add_metric(["prompt"], spent["prompt_tokens"])
    tokens.add_metric(["completion"], spent["completion_tokens"])


class _Now:
    """Families that were made for one answer, in the place of a registry."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """Return them."""
        return iter(self._families)
