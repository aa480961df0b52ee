r"""`consent:` of a step: which calls of it the owner may agree to beforehand, once, for runs that nobody watches.

    consent:
      id: {listed: fetch}                 # an id that the step `fetch` has listed
      queue: [Billing, Sales]             # one of these
      text: {pattern: "Moved to \\w+"}    # a text that is wholly this

Every other argument must be fixed: written out, or made of the pipeline's inputs alone. Then whatever a ticket, a page
or a model says, it can only pick among what the person has read and agreed to; any other call asks, as always.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, field_validator

from agent.errors import DirigentError

if TYPE_CHECKING:
    from agent.catalogue import Catalogue
    from agent.planning.pipeline import Pipeline, PipelineStep
    from agent.planning.pipeline_plan import Mentions
    from agent.planning.pipeline_reading import Path
    from plugins.api import ToolSpec

Found = Iterator[tuple["Path", str]]
MAX_PATTERN = 1_000


class Listed(BaseModel):
    """A value that a step of the pipeline has listed under the same name."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    listed: str
    """A step that lists things of the same plugin, such as one that fetches tickets."""


class Matching(BaseModel):
    """A text that matches a pattern as a whole."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    pattern: str
    """A regular expression."""

    @field_validator("pattern")
    @classmethod
    def _is_a_pattern(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"{value!r} is no regular expression: {error}") from None
        if len(value) > MAX_PATTERN:
            raise ValueError(f"a pattern has at most {MAX_PATTERN:,} characters")
        return value


Alternatives = Listed | Matching | tuple[str | int | float | bool, ...]


def consent_problems(
    pipeline: Pipeline, catalogue: Catalogue, mentions: Callable[[Any], Mentions]
) -> Iterator[tuple[Path, str]]:
    """Yield every mistake in what steps would have the owner agree to."""
    for n, step in enumerate(pipeline.steps):
        if step.consent is None:
            continue
        path: Path = ("steps", n, "consent")
        try:
            spec = catalogue.find(step.use)
        except DirigentError:
            yield path, "`consent` belongs to a step that uses a tool"
            continue
        if not spec.standing or spec.cost:
            yield path, f"`{step.use}` asks before each call: it is not made to be agreed to beforehand"
            continue
        for name, choice in step.consent.items():
            if name not in step.args:
                yield (*path, name), f"the step has no argument '{name}'"
            if isinstance(choice, Listed):
                yield from _listing(pipeline, catalogue, spec, (*path, name), choice)
        yield from _open(step, mentions, n)


def _listing(pipeline: Pipeline, catalogue: Catalogue, spec: ToolSpec, path: Path, choice: Listed) -> Found:
    found = next((step for step in pipeline.steps if step.id == choice.listed), None)
    if found is None:
        yield (*path, "listed"), f"there is no step '{choice.listed}'"
        return
    try:
        lists = catalogue.find(found.use)
    except DirigentError:
        lists = None
    if lists is None or lists.plugin != spec.plugin or lists.effect != "read":
        yield (*path, "listed"), f"the step '{choice.listed}' does not read from where `{spec.name}` changes things"


def _open(step: PipelineStep, mentions: Callable[[Any], Mentions], n: int) -> Found:
    for name, value in step.args.items():
        if name in (step.consent or {}):
            continue
        try:
            fixed = _is_fixed(mentions(value))
        except DirigentError:
            continue  # the template itself is wrong, which is said elsewhere
        if not fixed:
            said = f"the argument '{name}' depends on results: say under `consent` what it may be"
            yield ("steps", n, "args", name), said


def alternatives_of(
    pipeline: Pipeline,
    mentions: Callable[[Any], Mentions],
    render: Callable[[Any], Any],
) -> dict[str, dict[str, Any]]:
    """Return step → argument → what it may be: `{"one_of": […]}`, `{"pattern": …}` or `{"listed": step}`.

    `render` fills in the inputs of the run. An argument that is missing here may be nothing: a call with it asks.
    """
    found = {}
    for step in pipeline.steps:
        if step.consent is not None:
            fixed = {name: value for name, value in step.args.items() if name not in step.consent}
            made = {name: {"one_of": [render(value)]} for name, value in fixed.items() if _is_fixed(mentions(value))}
            found[step.id] = made | {name: _plain(choice) for name, choice in step.consent.items()}
    return found


def _is_fixed(found: Mentions) -> bool:
    return found.names <= {"inputs"}


def _plain(choice: Alternatives) -> Mapping[str, Any]:
    return choice.model_dump() if isinstance(choice, BaseModel) else {"one_of": list(choice)}
