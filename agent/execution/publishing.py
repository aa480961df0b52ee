"""Carries out `publish` steps: an event is stored once, with the label of what it is made of."""

from __future__ import annotations

import json
import math
import re
import time
from typing import TYPE_CHECKING, Any

from agent.domain.event import Event
from agent.domain.execution import ExecutorRequest, ExecutorResponse, ResponseStatus
from agent.domain.project import Project
from agent.domain.provenance import Provenance
from agent.errors import ToolArguments

if TYPE_CHECKING:
    from agent.domain.run import Run
    from agent.store.protocol import Store

EVENT_TYPE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}\Z")
MAX_NAME = 100
MAX_HOPS = 100
MAX_PAYLOAD = 200_000


async def publish(store: Store, run: Run, request: ExecutorRequest) -> ExecutorResponse:
    """Store the event of a step; the same step publishes it again in vain, because its key is there.

    With `budget` (US dollars) its project is made first, which reports where this run does; one that is there gets that
    budget. The output is {key, type}. Raises ToolArguments for a type, project, key, budget or payload that cannot be
    used.
    """
    step, args = request.step, request.args
    event_type = _text(step.id, "type", args.get("type"))
    if not EVENT_TYPE.match(event_type):
        raise ToolArguments(
            f"Step {step.id!r}: {event_type[:60]!r} is no event type.",
            hint="It has letters, digits, '.', '_', '-', '/' and ':', at most 100, such as `scene.written`.",
        )
    hops = int(run.given.get("hops", 0))
    if hops >= MAX_HOPS:
        raise ToolArguments(
            f"Step {step.id!r}: {event_type} would be published after {hops} events that each led to the next one.",
            hint="Pipelines start each other in a circle: see which triggers its event meets.",
        )
    source = f"pipeline:{run.given.get('pipeline') or run.title}"
    own = _text(step.id, "key", args.get("key"))
    label = Provenance.union([request.control, *request.arg_provenance.values()])
    event = Event(
        type=event_type,
        source=source,
        key=f"{source}:{own}" if own else f"run:{run.ref}:{step.id}",
        payload=_payload(step.id, args.get("payload")),
        at=time.time(),
        project=_text(step.id, "project", args.get("project")) or run.project,
        provenance=label,
        hops=hops,
    )
    if args.get("budget") is not None:
        await store.put_project(_project(run, request, event.project))
    fresh = await store.publish(event) is not None
    said = f"Published {event.type}." if fresh else f"{event.type} was published before ({event.key})."
    output = {"key": event.key, "type": event.type}
    return ExecutorResponse(step.id, ResponseStatus.OK, output, said, provenance=label)


def _project(run: Run, request: ExecutorRequest, name: str) -> Project:
    """Return the project that an event begins. What others wrote decides about no money."""
    step_id, value = request.step.id, request.args["budget"]
    if not name:
        raise ToolArguments(f"Step {step_id!r}: a budget is a project's.", hint="Give `project` too.")
    if not request.arg_provenance["budget"].trusted:
        raise ToolArguments(f"Step {step_id!r}: the budget comes from what others wrote, and is not taken.")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise ToolArguments(f"Step {step_id!r}: `budget` is a number of US dollars above 0, not {str(value)[:40]!r}.")
    return Project(name, run.session_id, run.dest, budget=float(value))


def _text(step_id: str, name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (dict, list)) or len(str(value)) > MAX_NAME:
        raise ToolArguments(f"Step {step_id!r}: `{name}` is a text of at most {MAX_NAME} characters.")
    return str(value)


def _payload(step_id: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ToolArguments(
            f"Step {step_id!r}: the payload is {type(value).__name__}, and must be values by name.",
            hint="Write it as `payload: {count: …}`.",
        )
    size = len(json.dumps(value, ensure_ascii=False, default=str))
    if size > MAX_PAYLOAD:
        raise ToolArguments(
            f"Step {step_id!r}: the payload has {size:,} characters; {MAX_PAYLOAD:,} are allowed.",
            hint="Put the large part into a file and its path into the payload.",
        )
    return value
