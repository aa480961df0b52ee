"""The graph of a plan: what is wrong with it, in which order it runs, what is ready, what must be skipped.

networkx names what is wrong and finds the critical path; the ready-set is incremental, so that a whole run costs
O(steps + dependencies) whatever its shape.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

from loguru import logger

from agent.domain.execution import ExecutorResponse, ResponseStatus
from agent.domain.plan import PlanStep
from agent.domain.states import Status
from agent.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import networkx as nx

SHOWN_CYCLES = 3


def digraph(steps: Sequence[PlanStep]) -> nx.DiGraph[str]:
    """Return the plan as a graph whose edges run from a dependency to what needs it; unknown ids are left out."""
    import networkx as nx

    known = {step.id for step in steps}
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(step.id for step in steps)
    graph.add_edges_from((need, step.id) for step in steps for need in step.depends_on if need in known)
    return graph


def problems(steps: Sequence[PlanStep]) -> list[str]:
    """Return everything that keeps the plan from running, one sentence each: duplicates, unknown, self, cycles."""
    import networkx as nx

    known = {step.id for step in steps}
    found = [f"step id {name!r} is used {n} times" for name, n in Counter(s.id for s in steps).items() if n > 1]
    for step in steps:
        found += [f"step {step.id!r} depends on itself" for need in step.depends_on if need == step.id]
        found += [f"step {step.id!r} depends on unknown step {need!r}" for need in step.depends_on if need not in known]
    graph = digraph(steps)
    graph.remove_edges_from(list(nx.selfloop_edges(graph)))
    for part in nx.strongly_connected_components(graph):
        if len(part) > 1 and len(found) < 100:
            ring = [edge[0] for edge in nx.find_cycle(graph.subgraph(part))]
            found.append("steps depend on each other in a circle: " + " → ".join([*ring, ring[0]]))
    return found


def _order_steps_safely(steps: Sequence[PlanStep]) -> list[PlanStep]:
    """Return the steps in topological order, stable for independent ones.

    Dependencies on unknown steps and on the step itself are repaired by dropping them (and logged); a duplicate id or a
    circle cannot be repaired without guessing: PlanError names it exactly.
    """
    import networkx as nx

    known = {step.id for step in steps}
    repaired = [_without_lost_dependencies(step, known) for step in steps]
    bad = problems(repaired)
    if bad:
        raise PlanError(bad[:SHOWN_CYCLES], hint="Ask for a plan without this, or change the dependencies.")
    by_id = {step.id: step for step in repaired}
    position = {step.id: n for n, step in enumerate(repaired)}
    ordered = nx.lexicographical_topological_sort(digraph(repaired), key=lambda name: position[name])
    return [by_id[name] for name in ordered]


def _without_lost_dependencies(step: PlanStep, known: set[str]) -> PlanStep:
    kept = tuple(dict.fromkeys(need for need in step.depends_on if need in known and need != step.id))
    if kept == step.depends_on:
        return step
    logger.warning("step {} depended on {}; only {} can be kept", step.id, list(step.depends_on), list(kept))
    return step.model_copy(update={"depends_on": kept})


def critical_path(steps: Sequence[PlanStep], seconds: Mapping[str, float]) -> tuple[list[str], float]:
    """Return the chain of step ids that bounds the run's duration, and its length in seconds."""
    import networkx as nx

    graph = digraph(steps)
    best: dict[str, float] = {}
    came_from: dict[str, str] = {}
    for name in nx.topological_sort(graph):
        before = max(graph.predecessors(name), key=lambda p: best[p], default=None)
        best[name] = seconds.get(name, 0.0) + (best[before] if before is not None else 0.0)
        if before is not None:
            came_from[name] = before
    if not best:
        return [], 0.0
    last = max(best, key=lambda name: best[name])
    path = [last]
    while path[-1] in came_from:
        path.append(came_from[path[-1]])
    return path[::-1], best[last]


class ReadySet:
    """Which steps may start. Steps may be added while others already run; every operation is linear in its edges."""

    def __init__(self) -> None:
        self.steps: dict[str, PlanStep] = {}
        self.ok: set[str] = set()
        self.failed: set[str] = set()
        self._missing: dict[str, int] = {}
        self._followers: dict[str, list[str]] = {}
        self._dependents: dict[str, list[str]] = {}

    def add(self, step: PlanStep) -> tuple[list[PlanStep], list[ExecutorResponse]]:
        """Add a step; return it if it is ready, or how it was skipped if a dependency has failed already."""
        self.steps[step.id] = step
        needs = set(step.depends_on)
        lost = needs & self.failed
        if lost:
            return [], self._skip(step.id, min(lost))
        open_needs = needs - self.ok
        for need in open_needs:
            self._dependents.setdefault(need, []).append(step.id)
        missing = len(open_needs) + self._follow(step.id, step.pipe.after if step.pipe else ())
        self._missing[step.id] = missing
        return ([step] if not missing else []), []

    def add_again(self, step: PlanStep, after: Sequence[str]) -> list[PlanStep]:
        """Have a step wait until others have ended, however; return it if they have."""
        self._missing[step.id] = self._follow(step.id, after)
        return [] if self._missing[step.id] else [step]

    def _follow(self, step_id: str, after: Sequence[str]) -> int:
        still_open = set(after) - self.ok - self.failed
        for name in still_open:
            self._followers.setdefault(name, []).append(step_id)
        return len(still_open)

    def ended(self, step_id: str) -> list[PlanStep]:
        """Return the steps that only waited for this one to end, however it did."""
        return self._released(self._followers.pop(step_id, ()))

    def succeed(self, step_id: str) -> list[PlanStep]:
        """Mark a step as done and return the steps that became ready by it."""
        self.ok.add(step_id)
        return self._released(self._dependents.pop(step_id, ()))

    def _released(self, names: Iterable[str]) -> list[PlanStep]:
        ready = []
        for name in names:
            self._missing[name] -= 1
            if self._missing[name] == 0 and name not in self.failed and name not in self.ok:  # it may have been dropped
                ready.append(self.steps[name])
        return ready

    def fail(self, step_id: str) -> list[ExecutorResponse]:
        """Mark a step as failed and return its dependents, near and far, as skipped with the reason."""
        self.failed.add(step_id)
        return [gone for name in self._dependents.pop(step_id, ()) for gone in self._skip(name, step_id)]

    def _skip(self, step_id: str, cause: str) -> list[ExecutorResponse]:
        skipped: list[ExecutorResponse] = []
        queue = deque([(step_id, cause)])
        while queue:
            name, why = queue.popleft()
            if name in self.failed:
                continue
            self.failed.add(name)
            skipped.append(skipped_response(name, why))
            queue.extend((dependent, name) for dependent in self._dependents.pop(name, ()))
        return skipped

    @property
    def stuck(self) -> list[PlanStep]:
        """Steps whose dependencies never came: unknown ids or circles."""
        settled = self.ok | self.failed
        return [self.steps[n] for n, count in self._missing.items() if count and n not in settled]


def skipped_response(step_id: str, cause: str) -> ExecutorResponse:
    """Return the result of a step that was skipped because `cause` did not succeed."""
    return ExecutorResponse(
        step_id,
        ResponseStatus.BLOCKED,
        error=f"Skipped, because step {cause!r}, which it needs, did not succeed.",
    )


def _is_success_status(status: str) -> bool:
    """Return True for the response statuses that let dependents run: ok and partial."""
    return status in {ResponseStatus.OK, ResponseStatus.PARTIAL}


def _seed_completed_sets(steps: Iterable[PlanStep]) -> tuple[set[str], set[str]]:
    """Return the ids of steps that already succeeded and of those that failed, from what the journal says of them."""
    ok: set[str] = set()
    fail: set[str] = set()
    for step in steps:
        if step.status is Status.COMPLETED:
            ok.add(step.id)
        elif step.status in {Status.FAILED, Status.CANCELLED}:
            fail.add(step.id)
    return ok, fail


def _next_batch(
    steps: Sequence[PlanStep],
    completed_ok: set[str],
    completed_fail: set[str],
    session_id: str,
) -> tuple[list[PlanStep], list[ExecutorResponse]]:
    """Return the steps that may start now, and the skipped ones with their results.

    A step that is not parallelizable comes alone. The scheduler uses the incremental ReadySet instead; this view of the
    same rule is for one look at a whole plan.
    """
    ready_set = ReadySet()
    ready_set.ok = set(completed_ok)
    ready_set.failed = set(completed_fail)
    ready: list[PlanStep] = []
    skipped: list[ExecutorResponse] = []
    for step in steps:
        if step.id in completed_ok or step.id in completed_fail:
            continue
        now_ready, gone = ready_set.add(step)
        ready += now_ready
        skipped += gone
    if skipped:
        logger.info("session {}: {} steps skipped", session_id, len(skipped))
    together = [step for step in ready if step.parallelizable]
    return (together or ready[:1]), skipped


def _apply_step_result(
    step: PlanStep,
    response: ExecutorResponse,
    completed_ok: set[str],
    completed_fail: set[str],
) -> None:
    """Move a step into the set that its result belongs to; a step that waits for a person is in neither."""
    completed_ok.discard(step.id)
    completed_fail.discard(step.id)
    if _is_success_status(response.status):
        completed_ok.add(step.id)
    elif response.status is not ResponseStatus.NEEDS_INPUT:
        completed_fail.add(step.id)
