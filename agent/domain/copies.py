"""Steps under another name: a copy for an entry of a list, or for a revision; what it names is renamed as well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agent.domain.plan import Pipe, PlanStep

INSIDE = "__"
Rename = Callable[[str], str]


def renaming(names: Mapping[str, str]) -> Rename:
    """Return what gives a step, and the steps inside it (`X__…`), the name that stands for it in `names`."""

    def rename(step_id: str) -> str:
        for old, new in names.items():
            if step_id == old or step_id.startswith(old + INSIDE):
                return new + step_id[len(old) :]
        return step_id

    return rename


def copied(step: PlanStep, rename: Rename) -> PlanStep:
    """Return the step with every name in it renamed."""
    renamed: dict[str, Any] = {"id": rename(step.id), "depends_on": _all(step.depends_on, rename)}
    if step.pipe is not None:
        renamed["pipe"] = _piped(step.pipe, rename)
    return step.model_copy(update=renamed)


def _piped(pipe: Pipe, rename: Rename) -> Pipe:
    renamed: dict[str, Any] = {
        "scope": rename(pipe.scope.removesuffix(INSIDE)) + INSIDE if pipe.scope else "",
        "given": rename(pipe.given),
        "after": _all(pipe.after, rename),
        "parent": rename(pipe.parent),
    }
    if pipe.checkpoint is not None:
        steps = {name: _all(getattr(pipe.checkpoint, name), rename) for name in ("show", "revise", "anew")}
        renamed["checkpoint"] = pipe.checkpoint.model_copy(update=steps)
    return pipe.model_copy(update=renamed)


def _all(names: tuple[str, ...], rename: Rename) -> tuple[str, ...]:
    return tuple(map(rename, names))
