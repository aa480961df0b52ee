"""A person changes an argument of a call before agreeing: what was typed becomes a value, the call another one."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent.domain.provenance import USER, Provenance
from agent.errors import ToolArguments
from agent.execution.together import after_edit
from agent.policy import consent
from agent.texts import mark

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.catalogue import Catalogue
    from agent.domain.execution import ExecutorRequest
    from agent.domain.plan import PlanStep
    from agent.domain.run import Approval
    from agent.execution.people import Edited
    from plugins.api import ToolSpec

LEAST_LATER = 1e-3  # seconds; the journal's order of a run's approvals is that of their times
OPTIONS_SHOWN = 20
CHANGED = mark("you have changed {name}")


# --- what is typed --------------------------------------------------------------------------------------------------
def options_of(spec: ToolSpec, name: str) -> tuple[str, ...]:
    """Return the values that an argument may have, when they are few; () when it is to be typed."""
    shapes = _shapes(spec, name)
    listed = [value for shape in shapes for value in shape.get("enum", [shape["const"]] if "const" in shape else [])]
    if any(shape.get("type") == "boolean" for shape in shapes):
        listed += [True, False]
    found = [value if isinstance(value, str) else json.dumps(value) for value in listed if value is not None]
    return tuple(dict.fromkeys(found)) if len(found) <= OPTIONS_SHOWN else ()


def typed(spec: ToolSpec, name: str, text: str) -> Any:
    """Return what a person has typed as a value for an argument, not yet checked. Raises ToolArguments for bad JSON.

    A list is typed as JSON or with one entry a line, an object as JSON; for a text every letter counts.
    """
    shapes = _shapes(spec, name)
    kinds = {str(shape.get("type")) for shape in shapes}
    if any("enum" in shape for shape in shapes) or "string" in kinds or not kinds & {"array", "object"}:
        return text
    if "array" in kinds and not text.lstrip().startswith("["):
        return [line.strip() for line in text.splitlines() if line.strip()]
    try:
        return json.loads(text)
    except ValueError as error:
        raise ToolArguments(f"'{name}' must be JSON, and this is not: {error}.") from error


def _shapes(spec: ToolSpec, name: str) -> list[dict[str, Any]]:
    """Return the JSON schemas that a value of an argument may follow."""
    schema = spec.arguments.model_json_schema()
    shape = schema.get("properties", {}).get(name, {})
    found = []
    for one in shape.get("anyOf", [shape]):
        reference = str(one.get("$ref", "")).rpartition("/")[2]
        found.append(schema.get("$defs", {}).get(reference, {}) if reference else one)
    return found


# --- the other call -------------------------------------------------------------------------------------------------
def edited_approval(catalogue: Catalogue, spec: ToolSpec, approval: Approval, name: str, text: str) -> Approval:
    """Return the approval that asks about a call with a changed argument. Raises ToolArguments when it does not fit.

    The argument is the person's own word from now on; the others keep their origins.
    """
    args = {**approval.args, name: typed(spec, name, text)}
    whole = consent.whole(spec, catalogue.validate(spec, args))
    labels = {**approval.labels, name: USER}
    now = max(time.time(), approval.asked_at + LEAST_LATER)
    lasts = None if approval.expires_at is None else approval.expires_at - approval.asked_at
    return replace(
        approval,
        id=after_edit(approval.id),
        args=whole,
        digest=consent.digest(approval.tool, whole),
        because=_because(approval, labels, name),
        asked_at=now,
        expires_at=None if lasts is None else now + lasts,
        labels=labels,
        origins=Provenance.union(labels.values()) if approval.labels else approval.origins,
    )


def _because(approval: Approval, labels: Mapping[str, Provenance], name: str) -> str:
    """Return why the changed call is asked about: what came from others before is the person's own word now."""
    changed = CHANGED.format(name=name)
    words = approval.because
    if approval.labels:
        words = words.replace(_origins(approval.labels), _origins(labels), 1)
    parts = [part for part in words.split(" · ") if part != changed]
    return " · ".join([*parts, changed])


def _origins(labels: Mapping[str, Provenance]) -> str:
    args = {name: label for name, label in labels.items() if name}
    return consent.because(args, labels.get("", USER))


# --- carrying it out ------------------------------------------------------------------------------------------------
def edit_of(spec: ToolSpec, args: Mapping[str, Any], edited: Edited | None) -> Edited | None:
    """Return what a person has changed in exactly this call; a call that has become another one meanwhile has none."""
    if edited is None or consent.digest(spec.full_name, consent.whole(spec, args)) != edited.of:
        return None
    return edited


def relabelled(request: ExecutorRequest, edited: Edited) -> ExecutorRequest:
    """Return the request with the person's label on the arguments that are their own word."""
    return replace(request, arg_provenance={**request.arg_provenance, **dict.fromkeys(edited.names, USER)})


def at_checkpoint(step: PlanStep) -> bool:
    """Say whether a pipeline wants a person's word before this step, each time."""
    return step.pipe is not None and bool(step.pipe.approval)
