"""Steps are appended and read here; how they change state is in `transitions.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, insert, select, update

from agent.domain.plan import StepType
from agent.domain.states import FINAL, Status
from agent.errors import IllegalTransition, NotFound, PlanError
from agent.store import audit
from agent.store.dialect import Prepared
from agent.store.rows import dump, dump_provenance, step_content, step_record
from agent.store.tables import runs, tasks
from agent.store.transitions import AT_ONCE, stale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from agent.domain.plan import PlanStep
    from agent.domain.provenance import Provenance
    from agent.domain.run import StepRecord
    from agent.store.transitions import Owner

NewStep = tuple[str, str, str | None, str, str, str]
_PLANNED = ("step_id", "type", "tool", "input", "depends_on", "step")
_PLACED = ("run_id", "position", "status", "priority", "control", "epoch", "created_at")
_INSERT = Prepared(
    insert(tasks).values({name: bindparam(name) for name in (*_PLANNED, *_PLACED)}),
    (*_PLANNED, *_PLACED),
)

# Built once: a step is added for every line of a plan that streams, and building one costs more than running it.
_RUN = (
    select(runs.c.epoch, runs.c.status, runs.c.steps, runs.c.priority, runs.c.session_id)
    .where(runs.c.id == bindparam("of_run"))
    .with_for_update()
)
_KNOWN = select(tasks.c.step_id, tasks.c.step).where(
    tasks.c.run_id == bindparam("of_run"),
    tasks.c.step_id.in_(bindparam("ids", expanding=True)),
)
_COUNT = update(runs).where(runs.c.id == bindparam("of_run")).values(steps=bindparam("count"))


def new_steps(steps: Sequence[PlanStep]) -> list[NewStep]:
    """Return what a plan says of its steps, as rows."""
    return [
        (step.id, step.step_type.value, step.tool, _input(step), dump(step.depends_on), step_content(step))
        for step in steps
    ]


def _input(step: PlanStep) -> str:
    if step.step_type is StepType.TOOL:
        return dump(step.args)
    words = step.question if step.step_type is StepType.ASK else step.instruction
    return dump({"instruction": words, **({"args": step.args} if step.args else {})})


def add(
    connection: Connection,
    owner: Owner,
    steps: Sequence[NewStep],
    control: Provenance,
    now: float,
) -> None:
    """Append the steps that are not there yet. Raises PlanError when one is there with another content."""
    run_id, epoch = owner
    run = connection.execute(_RUN, {"of_run": run_id}).first()
    if run is None:
        raise NotFound(f"There is no run {run_id}.")
    if run.epoch != epoch:
        raise stale(run_id, epoch, run.epoch)
    if run.status in FINAL:
        raise IllegalTransition(f"Run {run_id} is {run.status}; no steps can be added.")
    fresh = _fresh(steps, _present(connection, run_id, [step[0] for step in steps]) if run.steps else {})
    if not fresh:
        return
    label = dump_provenance(control)
    _INSERT.run(
        connection,
        [
            (*step, run_id, position, Status.PENDING.value, run.priority, label, epoch, now)
            for position, step in enumerate(fresh, start=run.steps)
        ],
    )
    connection.execute(_COUNT, {"of_run": run_id, "count": run.steps + len(fresh)})
    planned = {step[0]: step[2] or step[1] for step in fresh}
    detail = {"run_id": run_id, "steps": planned, "after_reading": control.untrusted_names}
    exact = audit.digest("\n".join(step[-1] for step in fresh))
    audit.note(connection, "plan", run.session_id, detail, now, digests={"digest": exact})


def _present(connection: Connection, run_id: int, ids: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for i in range(0, len(ids), AT_ONCE):
        rows = connection.execute(_KNOWN, {"of_run": run_id, "ids": ids[i : i + AT_ONCE]})
        found.update((row.step_id, row.step) for row in rows)
    return found


def _fresh(steps: Sequence[NewStep], known: dict[str, str]) -> list[NewStep]:
    fresh: list[NewStep] = []
    problems: list[str] = []
    for step in steps:
        content = known.get(step[0])
        if content is None:
            fresh.append(step)
            known[step[0]] = step[-1]
        elif content != step[-1]:
            problems.append(f"step {step[0]!r} is already in the journal with another content")
    if problems:
        raise PlanError(problems, hint="Give the new step another id.")
    return fresh


def of_run(connection: Connection, run_id: int) -> list[StepRecord]:
    """Return the run's steps in the order in which they were planned. Raises NotFound."""
    rows: Sequence[Any] = connection.execute(
        select(tasks).where(tasks.c.run_id == run_id).order_by(tasks.c.position),
    ).all()
    if not rows and connection.execute(select(runs.c.id).where(runs.c.id == run_id)).first() is None:
        raise NotFound(f"There is no run {run_id}.")
    return [step_record(row) for row in rows]
