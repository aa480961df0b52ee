"""What a checkpoint may have carried out anew: the steps that a comment is for, and everything between them and it.

A step that needs one of these, and not the checkpoint, would keep an old result: that is a mistake where the pipeline
names the steps, and otherwise a reason not to offer it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING

from agent.planning.pipeline import LLM, STEP_NAME, TASK, Pipeline, PipelineStep

if TYPE_CHECKING:
    from agent.planning.pipeline_plan import Language, Mentions

REVISION = "revision"
Needs = Mapping[str, frozenset[str]]


def shown_steps(step: PipelineStep) -> tuple[str, ...]:
    """Return the steps whose results a checkpoint names to be shown; what is no step's name is a file's."""
    return tuple(name for name in (step.approval.show if step.approval else ()) if STEP_NAME.match(name))


def before(needs: Needs, name: str) -> frozenset[str]:
    """Return every step that has ended before this one begins."""
    found: set[str] = set()
    left = list(needs.get(name, ()))
    while left:
        step = left.pop()
        if step not in found:
            found.add(step)
            left += needs.get(step, ())
    return frozenset(found)


def anew(needs: Needs, name: str, revised: frozenset[str]) -> frozenset[str]:
    """Return the steps that are carried out anew before the step `name`: the revised ones and all in between."""
    return frozenset(step for step in before(needs, name) if step in revised or before(needs, step) & revised)


def left_behind(needs: Needs, name: str, again: frozenset[str]) -> list[tuple[str, str]]:
    """Return (step, what it needs) of those that would keep an old result: they need it and not the checkpoint."""
    inside = again | {name}
    outside = [step for step in needs if step not in inside and name not in before(needs, step)]
    return [(step, min(needs[step] & again)) for step in outside if needs[step] & again]


def revisable(pipeline: Pipeline, step: PipelineStep, needs: Needs, language: Language) -> tuple[str, ...]:
    """Return the steps that a comment at this step's checkpoint is for: those that it names, or those that suit."""
    if step.approval is None:
        return ()
    if step.approval.revise is not None:
        return step.approval.revise
    able = [one for one in pipeline.steps if one.id in needs[step.id] and _takes_comments(one, language)]
    return tuple(one.id for one in able if not left_behind(needs, step.id, anew(needs, step.id, frozenset({one.id}))))


def _takes_comments(step: PipelineStep, language: Language) -> bool:
    if step.use in {LLM, TASK}:
        return True
    found: list[Mentions] = [language.mentions(step.args)]
    if step.foreach is not None:
        found.append(language.mentions(step.foreach.entries))
    return REVISION in functools.reduce(frozenset[str].union, (one.names for one in found), frozenset[str]())
