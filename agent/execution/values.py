"""The values that the templates of a pipeline's step are filled with, and the labels of what they were made of.

Everything is worked out from the journal when a step's turn has come, so a run that is taken up again sees the same
values: results are journalled, inputs lie with the run, and `now()` is the moment when the run was opened.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Container, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from agent.domain.execution import ExecutorResponse, ResponseStatus
from agent.domain.plan import Pipe, PlanStep
from agent.domain.provenance import Provenance

if TYPE_CHECKING:
    from agent.execution.context import RunContext
    from agent.execution.templates import Rendered, Scope


def pipe_of(step: PlanStep) -> Pipe:
    """Return what a pipeline's step has beyond a model's."""
    assert step.pipe is not None, "only steps of pipelines come here"
    return step.pipe


def filled(ctx: RunContext, step: PlanStep, value: Any) -> tuple[Any, Provenance]:
    """Return a value with its templates filled in, and its label. Raises TemplateFailed or SkippedValue."""
    from agent.execution.templates import render  # Jinja is loaded when there is a pipeline

    rendered = render(value, scope_of(ctx, step))
    return rendered.value, label_of(ctx, step, rendered)


def label_of(ctx: RunContext, step: PlanStep, rendered: Rendered) -> Provenance:
    """Join where a value came from: the choice of the step, the results it touched, the environment, the inputs."""
    pipe, newest = pipe_of(step), current(ctx)
    names = [pipe.scope + name for name in rendered.steps]
    names = [newest.get(name, name) for name in names]
    names += [pipe.given] if pipe.given else []
    names += [pipe.revision.previous] if pipe.revision is not None else []
    parts = [ctx.control_of(step.id)]
    parts += [ctx.results[name].provenance for name in names if name in ctx.results]
    parts += [Provenance.of(f"env:{name}", trusted=True, private=True) for name in rendered.env]
    return Provenance.union(parts)


def scope_of(ctx: RunContext, step: PlanStep) -> Scope:
    """Return what the templates of a step see."""
    from agent.execution.templates import Scope

    pipe, given = pipe_of(step), ctx.run.given
    inputs = ctx.results[pipe.given].output if pipe.given in ctx.results else given.get("inputs", {})
    results = Results(ctx, pipe.scope)
    return Scope(
        results=results,
        inputs=inputs,
        env={name: os.environ[name] for name in given.get("env", ()) if name in os.environ},
        skipped=_Skipped(results),
        now=dt.datetime.fromtimestamp(int(ctx.run.created_at), dt.UTC),
        item=pipe.item,
        index=pipe.index,
        more={"revision": _revision(ctx, pipe)},
    )


def _revision(ctx: RunContext, pipe: Pipe) -> dict[str, Any]:
    """Return what a step that is carried out anew sees of it; the first time there is no comment."""
    revision = pipe.revision
    if revision is None:
        return {"number": 1, "comment": "", "previous": None}
    return {"number": revision.number, "comment": revision.comment, "previous": previous_of(ctx, pipe)}


def previous_of(ctx: RunContext, pipe: Pipe) -> Any:
    """Return the output that a revision replaces; for an entry of a list its own."""
    before = ctx.results.get(pipe.revision.previous) if pipe.revision is not None else None
    value = None if before is None else value_of(before)
    if pipe.index is not None and isinstance(value, list):
        return value[pipe.index] if pipe.index < len(value) else None
    return value


def current(ctx: RunContext) -> dict[str, str]:
    """Return which revision stands for each step that was carried out anew: the newest that came to something."""
    found: dict[str, tuple[int, str]] = {}
    for step in ctx.revisions:
        revision = revision_of(step)
        if came_to_something(ctx, step.id):
            found[revision.of] = max(found.get(revision.of, (0, "")), (revision.number, step.id))
    return {name: newest for name, (_, newest) in found.items()}


def replaced(ctx: RunContext) -> frozenset[str]:
    """Return the steps in whose place a newer revision stands, with what is inside them."""
    newest = current(ctx)
    found = [(step.id, revision_of(step)) for step in ctx.revisions]
    number = {name: revision.number for name, revision in found}
    old = [*newest, *(n for n, made in found if number[n] < number.get(newest.get(made.of, ""), 0))]
    if not old:
        return frozenset()
    return frozenset(name for name in ctx.results if any(name == one or name.startswith(f"{one}__") for one in old))


def revision_of(step: PlanStep) -> Any:
    """Return why a step is carried out anew; the entries of its list, which know it too, are no revisions."""
    pipe = step.pipe
    return pipe.revision if pipe is not None and not pipe.parent and pipe.index is None else None


def came_to_something(ctx: RunContext, step_id: str) -> bool:
    """Say whether a step has ended and what follows can go on: it succeeded, or its condition left it out."""
    result = ctx.results.get(step_id)
    return result is not None and (result.success or result.status is ResponseStatus.SKIPPED)


def is_skipped(ctx: RunContext, step_id: str) -> bool:
    """Say whether a step's condition left it out."""
    result = ctx.results.get(step_id)
    return result is not None and result.status is ResponseStatus.SKIPPED


def has_failed(result: ExecutorResponse) -> bool:
    """Say whether a step neither succeeded nor was left out."""
    return not result.success and result.status is not ResponseStatus.SKIPPED


class Results(Mapping[str, Mapping[str, Any]]):
    """The finished steps of one scope as templates see them; of a revised step the newest revision."""

    def __init__(self, ctx: RunContext, scope: str) -> None:
        self._ctx = ctx
        self._scope = scope
        self._newest = current(ctx)

    def newest(self, name: str) -> str:
        """Return the id of the step whose result stands for a name in this scope."""
        return self._newest.get(self._scope + name, self._scope + name)

    def is_skipped(self, name: str) -> bool:
        """Say whether a condition left the step out that a name in this scope stands for."""
        return is_skipped(self._ctx, self.newest(name))

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        step_id = self.newest(name)
        result = self._ctx.results[step_id]
        if result.status is ResponseStatus.SKIPPED:
            raise KeyError(name)
        return _Result(
            self._ctx,
            step_id,
            output=value_of(result),
            text=result.text,
            files=[file.path for file in result.files],
            status=result.status.value,
        )

    def __iter__(self) -> Iterator[str]:
        return (name[len(self._scope) :] for name in self._ctx.results if name.startswith(self._scope))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _Result(dict[str, Any]):
    """One result as templates see it; which entries failed is looked up when it is asked for."""

    def __init__(self, ctx: RunContext, step_id: str, **values: Any) -> None:
        super().__init__(values)
        self._ctx = ctx
        self._step_id = step_id

    def __missing__(self, name: str) -> Any:
        if name != "failed":
            raise KeyError(name)
        return failed_entries(self._ctx, self._step_id)


class _Skipped(Container[str]):
    """The steps of a scope that a false condition left out."""

    def __init__(self, results: Results) -> None:
        self._results = results

    def __contains__(self, name: object) -> bool:
        return self._results.is_skipped(str(name))


def failed_entries(ctx: RunContext, step_id: str) -> list[dict[str, Any]]:
    """Return index, item and error of each entry of a step's list that failed, in order."""
    made = [r.step for r in ctx.records.values() if r.step.pipe is not None and r.step.pipe.parent == step_id]
    lost = [(pipe_of(step), why_failed(ctx, step.id)) for step in made if step.id in ctx.results]
    found = [{"index": pipe.index, "item": pipe.item, "error": why} for pipe, why in lost if why]
    return sorted(found, key=lambda entry: entry["index"] or 0)


def why_failed(ctx: RunContext, step_id: str) -> str:
    """Return why a step failed, "" when it did not; of a nested pipeline what failed inside it."""
    result = ctx.results[step_id]
    if not has_failed(result):
        return ""
    inner = [r for name, r in ctx.results.items() if name.startswith(f"{step_id}__") and has_failed(r)]
    roots = [r for r in inner if r.status is not ResponseStatus.BLOCKED]
    first = (roots or [result])[0] if result.status is ResponseStatus.BLOCKED else result
    return first.error or first.status.value


def value_of(result: ExecutorResponse) -> Any:
    """Return what a result is as a value: its output, or else its text."""
    return result.text if result.output is None else result.output


def in_words(value: Any) -> str:
    """Return a value as a person reads it: text as it is, a record as lines, anything else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and len(value) == 1 and isinstance(next(iter(value.values())), str):
        return str(next(iter(value.values())))
    if isinstance(value, dict):
        return "\n".join(f"{name}: {part if isinstance(part, str) else _json(part)}" for name, part in value.items())
    return "" if value is None else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
