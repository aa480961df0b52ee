"""Carries out `publish` steps: an event is stored once, with the label of what it is made of."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

from agent.domain.event import Event
from agent.domain.execution import ExecutorRequest, ExecutorResponse, ResponseStatus
from agent.domain.provenance import Provenance
from agent.errors import ToolArguments

if TYPE_CHECKING:
    from agent.domain.run import Run
    from agent.store.protocol import Store

EVENT_TYPE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}$")
MAX_NAME = 100
MAX_PAYLOAD = 200_000


async def publish(store: Store, run: Run, request: ExecutorRequest) -> ExecutorResponse:
    """Store the event of a step; the same step publishes it again in vain, because its key is there.

    The output is {key, type}. Raises ToolArguments for a type, project, key or payload that cannot be used.
    """
    step, args = request.step, request.args
    event_type = _text(step.id, "type", args.get("type"))
    if not EVENT_TYPE.match(event_type):
        raise ToolArguments(
            f"Step {step.id!r}: {event_type[:60]!r} is no event type.",
            hint="It has letters, digits, '.', '_', '-', '/' and ':', at most 100, such as `scene.written`.",
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
    )
    fresh = await store.publish(event) is not None
    said = f"Published {event.type}." if fresh else f"{event.type} was published before ({event.key})."
    output = {"key": event.key, "type": event.type}
    return ExecutorResponse(step.id, ResponseStatus.OK, output, said, provenance=label)


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
