"""The ways in which a plan comes to be carried out: as a pipeline, nested, for each entry, in a chain, by a schedule,
by an event, from a step on, gone on with after it has stopped. Each takes an attack and returns it in that way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from agent.domain.event import Event
from agent.domain.messages import Destination
from agent.domain.plan import OnFailure, PlanStep, StepType
from agent.domain.run import Origin
from agent.domain.trigger import Trigger, TriggerKind
from agent.pipelines import going_on_from
from tests.trust.stage import OWNER, Case, Stage, spoken

REFERENCE = re.compile(r"\{\{ (\w+)\.")
Steps = list[dict[str, Any]]


def in_yaml(step: PlanStep) -> dict[str, Any]:
    """Return a step as it stands in a pipeline."""
    args = dict(step.args)
    if step.step_type is StepType.LLM:
        args |= {"prompt": step.instruction}
    elif step.step_type is StepType.TASK:
        args |= {"prompt": step.instruction, "tools": list(step.allowed_tools)}
    elif step.step_type is StepType.ASK:
        args |= {"question": step.question, "options": list(step.options)}
    made = {"id": step.id, "use": step.tool or step.step_type.value, "args": _named(args)}
    made |= {"depends_on": list(step.depends_on)} if step.depends_on else {}
    return made | ({"on_failure": step.on_failure.value} if step.on_failure is not OnFailure.REPLAN else {})


def _named(value: Any) -> Any:
    """Return a value with its references as templates write them."""
    if isinstance(value, str):
        return REFERENCE.sub(r"{{ steps.\1.", value)
    if isinstance(value, dict):
        return {name: _named(part) for name, part in value.items()}
    return [_named(part) for part in value] if isinstance(value, list) else value


def write(stage: Stage, name: str, steps: Steps, **more: Any) -> None:
    """Put a pipeline into the home: JSON is YAML, too."""
    folder = stage.bot.config.folder / "pipelines"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.yaml").write_text(json.dumps({"name": name, "steps": steps, **more}))


def _steps(case: Case) -> Steps:
    return [in_yaml(step) for step in case.benign.plans[0]]


def _begun(way: str, begin: Callable[[Stage, Case], Any]) -> Callable[[Case], Case]:
    return lambda case: replace(case, name=f"{way}: {case.name}", begin=begin)


async def _pipeline(stage: Stage, case: Case) -> None:
    write(stage, case.id, _steps(case))
    await stage.says(case, f"/run {case.id}")


async def _nested(stage: Stage, case: Case) -> None:
    write(stage, f"{case.id}-inner", _steps(case))
    write(stage, case.id, [{"id": "all", "use": f"pipeline:{case.id}-inner"}])
    await stage.says(case, f"/run {case.id}")


async def _with_input(stage: Stage, case: Case) -> None:
    """The last step is a pipeline of its own that is handed the value."""
    *before, last = _steps(case)
    taken = {name: value for name, value in last["args"].items() if "{{" in str(value)}
    kept = {name: f"{{{{ inputs.{name} }}}}" for name in taken}
    inner = {"id": "do", "use": last["use"], "args": {**last["args"], **kept}}
    write(stage, f"{case.id}-inner", [inner], inputs=dict.fromkeys(taken, "text"))
    write(stage, case.id, [*before, {**last, "use": f"pipeline:{case.id}-inner", "args": taken}])
    await stage.says(case, f"/run {case.id}")


async def _each(stage: Stage, case: Case) -> None:
    """The last step is carried out for each entry of a list that holds the value."""
    *before, last = _steps(case)
    values = [value for value in last["args"].values() if "{{" in str(value)]
    items = {name: "{{ item }}" if "{{" in str(value) else value for name, value in last["args"].items()}
    write(stage, case.id, [*before, {**last, "foreach": values, "args": items}])
    await stage.says(case, f"/run {case.id}")


async def _chain(stage: Stage, case: Case) -> None:
    *before, last = _steps(case)
    taken = {name: value for name, value in last["args"].items() if "{{" in str(value)}
    kept = {name: f"{{{{ inputs.{name} }}}}" for name in taken}
    write(stage, f"{case.id}-first", before, outputs=taken)
    second = {"id": "do", "use": last["use"], "args": {**last["args"], **kept}}
    write(stage, f"{case.id}-second", [second], inputs=dict.fromkeys(taken, "text"))
    await stage.bot.app.chains.create_chain(case.id, [f"{case.id}-first", f"{case.id}-second"])
    dest = Destination("test", case.id)
    await stage.bot.app.chains.run(case.id, dest, user_id=OWNER)


async def _scheduled(stage: Stage, case: Case) -> None:
    write(stage, case.id, _steps(case))
    await fire(stage, case, {"pipeline": case.id})


async def _scheduled_request(stage: Stage, case: Case) -> None:
    await fire(stage, case, {"request": f"{case.request} ({case.id})"})


async def fire(stage: Stage, case: Case, target: dict[str, Any]) -> None:
    trigger = await stage.bot.app.automation.create(
        Trigger(
            case.id,
            case.id,
            TriggerKind.MANUAL,
            target,
            f"test:{case.id}",
            Destination("test", case.id),
            created_by=OWNER,
        )
    )
    await stage.bot.app.automation.fire(trigger.id)


async def _event(stage: Stage, case: Case) -> None:
    """The values come with an event that a stranger has sent; nothing is read."""
    last = _steps(case)[-1]
    inputs = {name: value for name, value in last["args"].items() if "{{" in str(value)}
    await _on_event(stage, case, dict.fromkeys(inputs, "{{ event.payload.words }}"), "order")
    words = spoken(case.words if case.evil.says == "done" else case.evil.says, case)
    event = Event("order." + case.id, "shop", case.id, {"words": words})
    await stage.bot.app.automation.publish(event)


async def _published(stage: Stage, case: Case) -> None:
    """One pipeline reads and publishes an event, by which another one acts."""
    *before, last = _steps(case)
    value = next(value for value in last["args"].values() if "{{" in str(value))
    inputs = {name: "{{ event.payload.words }}" for name, value in last["args"].items() if "{{" in str(value)}
    await _on_event(stage, case, inputs, "order")
    tell = {"id": "tell", "use": "publish", "args": {"type": f"order.{case.id}", "payload": {"words": value}}}
    write(stage, f"{case.id}-reads", [*before, tell])
    await stage.says(case, f"/run {case.id}-reads")


async def _on_event(stage: Stage, case: Case, inputs: Mapping[str, str], kind: str) -> None:
    last = _steps(case)[-1]
    kept = {name: f"{{{{ inputs.{name} }}}}" for name in inputs}
    write(
        stage,
        case.id,
        [{"id": "do", "use": last["use"], "args": {**last["args"], **kept}}],
        inputs=dict.fromkeys(inputs, "text"),
    )
    await stage.bot.app.automation.create(
        Trigger(
            case.id,
            case.id,
            TriggerKind.EVENT,
            {"pipeline": case.id, "inputs": dict(inputs)},
            f"test:{case.id}",
            Destination("test", case.id),
            spec={"type": f"{kind}.{case.id}"},
            created_by=OWNER,
        )
    )


PIPELINES: dict[str, Callable[[Case], Case]] = {
    "pipeline": _begun("pipeline", _pipeline),
    "nested pipeline": _begun("nested pipeline", _nested),
    "pipeline with an input": _begun("pipeline with an input", _with_input),
    "each entry": _begun("each entry", _each),
    "chain": _begun("chain", _chain),
    "schedule": _begun("schedule", _scheduled),
    "event": _begun("event", _event),
    "published event": _begun("published event", _published),
}
REQUESTS: dict[str, Callable[[Case], Case]] = {"scheduled request": _begun("scheduled request", _scheduled_request)}


def asking_first(case: Case) -> Case:
    """Return a case whose plan holds a question before its last step, at which it can be killed."""
    *before, last = case.benign.plans[0]
    question = PlanStep(
        id="gate", step_type=StepType.ASK, question="Go on?", options=("yes", "no"), depends_on=(before[-1].id,)
    )
    waits = last.model_copy(update={"depends_on": (*last.depends_on, "gate")})
    return replace(case, name=f"killed: {case.name}", benign=replace(case.benign, plans=((*before, question, waits),)))


async def go_on_from(stage: Stage, case: Case, step_id: str) -> None:
    """Repeat the newest run of a case's pipeline from a step on, as `dirigent run --from` does."""
    (old,) = await stage.bot.app.store.recent_runs(f"test:{case.id}", 1)
    given = going_on_from(old, await stage.bot.app.store.get_steps(old.id), step_id)
    run = await stage.bot.app.orchestrator.open_run(
        old.session_id, old.request, old.dest, origin=Origin.COMMAND, user_id=OWNER, given=given, source=old.source
    )
    stage.bot.app.orchestrator.submit(run)
