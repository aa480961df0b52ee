"""What can be wrong with a pipeline's `triggers:` is found with its place, before any of them is set."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from agent.domain.inputs import convert
from agent.errors import DirigentError

if TYPE_CHECKING:
    from agent.planning.pipeline import Pipeline
    from agent.planning.pipeline_reading import Path, Source
    from agent.planning.pipeline_triggers import PipelineTrigger

CheckNames = Callable[[Any, tuple[str, ...]], None]
TICKET = "ticket_id"
SEEN = {
    "schedule": ("trigger",),
    "file": ("file", "trigger"),
    "event": ("event", "trigger"),
    "webhook": ("event", "trigger"),
}


def trigger_problems(pipeline: Pipeline, source: Source, check_names: CheckNames) -> list[str]:
    """Return every mistake with its place. `check_names` raises DirigentError for a template that cannot be filled."""
    found = [
        (path, said)
        for n, trigger in enumerate(pipeline.triggers)
        for path, said in _problems(pipeline, trigger, ("triggers", n), check_names)
    ]
    return [f"{source.at(path)}: {said}" for path, said in found]


def _problems(
    pipeline: Pipeline, trigger: PipelineTrigger, path: Path, check_names: CheckNames
) -> Iterator[tuple[Path, str]]:
    seen = SEEN[trigger.waits_for[0]]
    for name, value in trigger.inputs.items():
        yield from _input(pipeline, (*path, "inputs", name), value, seen, check_names)
    for name, spec in pipeline.inputs.items():
        left_out = name == TICKET and trigger.schedule is not None
        if spec.needed and name not in trigger.inputs and not left_out:
            yield path, f"input '{name}' is missing: give it under `inputs`, or give it a default"
    try:
        check_names(trigger.approval, seen)
    except DirigentError as error:
        yield (*path, "approval"), str(error)


def _input(
    pipeline: Pipeline, path: Path, value: Any, seen: tuple[str, ...], check_names: CheckNames
) -> Iterator[tuple[Path, str]]:
    name = str(path[-1])
    spec = pipeline.inputs.get(name)
    if spec is None:
        near = difflib.get_close_matches(name, pipeline.inputs, n=1)
        there = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(pipeline.inputs) or 'none'}"
        yield path, f"there is no input '{name}'; {there}"
        return
    try:
        check_names(value, seen)
        if not _is_filled_in_later(value):
            convert(spec, value)
    except DirigentError as error:
        yield path, str(error)
    except ValueError as error:
        yield path, f"input '{name}' must be {error}, not {value!r}"


def _is_filled_in_later(value: Any) -> bool:
    """Say whether a value has a template somewhere in it, or the place for a file's name."""
    text = str(value)
    return value is None or "{{" in text or "{%" in text or "{file}" in text
