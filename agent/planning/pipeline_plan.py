"""From a pipeline to the steps of a plan. Nested pipelines become steps of the same plan, under a name before theirs.

A step `X` that uses a pipeline becomes `X__inputs` (its arguments, checked), the nested steps `X__…`, and `X` itself,
whose output is the nested pipeline's outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from agent.domain.plan import EACH, OUTPUTS, Checkpoint, OnFailure, Pipe, PlanStep, StepType
from agent.planning.pipeline import ASK, LLM, NESTED, PUBLISH, TASK, VALUE, Pipeline, PipelineStep
from agent.planning.pipeline_revising import anew, revisable, shown_steps

INPUTS = "inputs"
MAX_ID = 64  # copies for entries and revisions have longer ones
Load = Callable[[str], Pipeline]


class Mentions(Protocol):
    """What a template refers to; of `watched` steps only the status is read."""

    @property
    def steps(self) -> frozenset[str]: ...
    @property
    def inputs(self) -> frozenset[str]: ...
    @property
    def env(self) -> frozenset[str]: ...
    @property
    def names(self) -> frozenset[str]: ...
    @property
    def watched(self) -> frozenset[str]: ...


@dataclass(frozen=True, slots=True)
class Language:
    """How templates are read: in values, and in conditions. Both raise DirigentError for one that is wrong."""

    mentions: Callable[[Any], Mentions]
    condition: Callable[[Any], Mentions]


def steps_of(pipeline: Pipeline, language: Language, load: Load) -> list[PlanStep]:
    """Return the plan of a checked pipeline; with outputs its last step is `outputs`.

    Raises ValueError when nested pipelines make names that are too long.
    """
    builder = _Builder(language, load)
    made = builder.steps(pipeline, "", "")
    long = [step.id for step in made if len(step.id) > MAX_ID]
    if long:
        raise ValueError(f"{long[0]} has more than {MAX_ID} characters")
    if pipeline.outputs:
        made.append(builder.outputs(pipeline, OUTPUTS, "", ""))
    return made


def wants(step: PipelineStep, language: Language) -> tuple[frozenset[str], frozenset[str]]:
    """Return the steps that one needs, and those that must only have ended: it asks for their status."""
    text = step.approval.text if step.approval else ""
    values = [step.args, text, step.foreach.entries if step.foreach else None]
    found = [language.mentions(value) for value in values]
    if step.when is not None:
        found.append(language.condition(step.when))
    watched = frozenset[str]().union(*(one.watched for one in found))
    named = (*step.depends_on, *shown_steps(step))
    needed = frozenset(named).union(*(one.steps - one.watched for one in found))
    return needed, watched - needed


def needs_of(pipeline: Pipeline, language: Language) -> dict[str, frozenset[str]]:
    """Return, for each step, those that have ended before it begins."""
    return {step.id: frozenset[str]().union(*wants(step, language)) for step in pipeline.steps}


class _Builder:
    def __init__(self, language: Language, load: Load) -> None:
        self._language = language
        self._load = load

    def steps(self, pipeline: Pipeline, scope: str, given: str) -> list[PlanStep]:
        """Return the steps of a pipeline, those with a checkpoint knowing what it may have carried out anew."""
        groups = {step.id: self._made(step, scope, given) for step in pipeline.steps}
        needs = needs_of(pipeline, self._language)
        for step in pipeline.steps:
            if step.approval is not None:
                found = self._checkpoint(pipeline, step, needs, groups, scope)
                first = groups[step.id][0]  # of a nested pipeline: the step that holds its inputs
                groups[step.id][0] = _piped(first, checkpoint=found)
        return [made for group in groups.values() for made in group]

    def _checkpoint(
        self,
        pipeline: Pipeline,
        step: PipelineStep,
        needs: dict[str, frozenset[str]],
        groups: dict[str, list[PlanStep]],
        scope: str,
    ) -> Checkpoint:
        approval = step.approval
        assert approval is not None, "only steps with a checkpoint come here"
        revised = revisable(pipeline, step, needs, self._language)
        again = anew(needs, step.id, frozenset(revised))
        named = shown_steps(step)
        shown = named or (() if approval.show else wants(step, self._language)[0])
        return Checkpoint(
            name=approval.name,
            show=tuple(scope + name for name in (named or [one.id for one in pipeline.steps if one.id in shown])),
            files=tuple(name for name in approval.show if name not in named),
            timeout=approval.timeout,
            revise=tuple(scope + name for name in revised),
            anew=tuple(made.id for one in pipeline.steps if one.id in again for made in groups[one.id]),
        )

    def outputs(self, pipeline: Pipeline, step_id: str, scope: str, given: str) -> PlanStep:
        """Return the step that puts the outputs together, when every step of the pipeline has ended."""
        wanted = pipeline.values or {step.id: _last_output(step.id) for step in _ends(pipeline, self._language)}
        mentioned = self._language.mentions(wanted).steps
        after = tuple(scope + step.id for step in pipeline.steps if step.id not in mentioned)
        return PlanStep(
            id=step_id,
            title="Outputs" if step_id == OUTPUTS else "",
            step_type=StepType.VALUE,
            args={"value": wanted},
            depends_on=tuple(sorted(scope + name for name in mentioned)),
            on_failure=OnFailure.STOP,
            pipe=Pipe(scope=scope, given=given, after=after, typed=pipeline.types or None),
        )

    def _made(self, step: PipelineStep, scope: str, given: str) -> list[PlanStep]:
        if not step.use.startswith(NESTED):
            return [self._plain(step, scope, given)]
        return (
            [self._repeated(step, scope, given)] if step.foreach else self._nested(step, scope + step.id, scope, given)
        )

    def _nested(self, step: PipelineStep, name: str, scope: str, given: str) -> list[PlanStep]:
        """Return the steps of the nested pipeline of a step, as the steps inside `name`, which comes last."""
        child = self._load(step.use.removeprefix(NESTED))
        inputs = f"{name}__{INPUTS}"
        entry = _piped(self._plain(step, scope, given), inputs=dict(child.inputs))
        entry = entry.model_copy(update={"id": inputs, "title": f"{step.id}: inputs"})
        inner = self.steps(child, f"{name}__", inputs)
        ending = [made.id for made in inner if made.on_failure is OnFailure.STOP]
        if step.on_failure is not OnFailure.STOP:  # what ends the nested pipeline then does not end this one
            inner = [
                one.model_copy(update={"on_failure": step.on_failure}) if one.id in ending else one for one in inner
            ]
        last = self.outputs(child, name, f"{name}__", inputs)
        title = step.title or child.description or child.name
        last = last.model_copy(update={"title": title, "on_failure": step.on_failure})
        return [entry, *(_behind(made, [inputs]) for made in inner), _behind(last, [inputs, *ending])]

    def _repeated(self, step: PipelineStep, scope: str, given: str) -> PlanStep:
        """Return the step for a nested pipeline that is carried out for each entry: its steps are a pattern."""
        entry, *rest = self._nested(step, EACH, scope, given)
        plain = {"when": None, "foreach": None, "approval": "", "after": ()}
        pattern = [_piped(entry, **plain).model_copy(update={"depends_on": ()}), *rest]
        body = tuple(made.model_dump(mode="json", exclude={"status"}) for made in pattern)
        whole = _piped(self._plain(step, scope, given), body=body)
        return whole.model_copy(update={"args": {"value": None}})

    def _plain(self, step: PipelineStep, scope: str, given: str) -> PlanStep:
        needed, watched = wants(step, self._language)
        pipe = Pipe(
            scope=scope,
            given=given,
            after=tuple(sorted(scope + name for name in watched)),
            when=step.when,
            foreach=step.foreach.entries if step.foreach else None,
            parallel=step.foreach.parallel if step.foreach else 4,
            approval=step.approval.text if step.approval else "",
        )
        return PlanStep(
            id=scope + step.id,
            title=step.title or step.id,
            depends_on=tuple(sorted(scope + name for name in needed)),
            outputs=step.outputs,
            on_failure=step.on_failure,
            timeout=step.timeout,
            retries=step.retry,
            pipe=pipe,
            **_kind(step),
        )


def _behind(step: PlanStep, needed: list[str]) -> PlanStep:
    """Return the step needing these too; what it needs need not be waited for a second time."""
    needs = (*dict.fromkeys([*needed, *step.depends_on]),)
    after = tuple(name for name in (step.pipe.after if step.pipe else ()) if name not in needs)
    return _piped(step, after=after).model_copy(update={"depends_on": needs})


def _piped(step: PlanStep, **changed: Any) -> PlanStep:
    return step.model_copy(update={"pipe": (step.pipe or Pipe()).model_copy(update=changed)})


def _kind(step: PipelineStep) -> dict[str, Any]:
    """Return the fields of a step that depend on what it uses."""
    rest = {name: value for name, value in step.args.items() if name not in {"prompt", "tools"}}
    prompt = str(step.args.get("prompt", ""))
    if step.use == ASK:
        question, options = str(step.args.get("question", "")), step.args.get("options", ())
        return {"step_type": StepType.ASK, "question": question, "options": tuple(map(str, options))}
    if step.use == LLM:
        return {"step_type": StepType.LLM, "instruction": prompt, "args": rest}
    if step.use == TASK:
        tools = tuple(map(str, step.args.get("tools", ())))
        return {"step_type": StepType.TASK, "instruction": prompt, "args": rest, "allowed_tools": tools}
    if step.use == PUBLISH:
        return {"step_type": StepType.PUBLISH, "args": step.args}
    if step.use == VALUE or step.use.startswith(NESTED):
        value = step.args.get("value") if step.use == VALUE else step.args
        return {"step_type": StepType.VALUE, "args": {"value": value}}
    return {"step_type": StepType.TOOL, "tool": step.use.removeprefix("/"), "args": step.args}


def _ends(pipeline: Pipeline, language: Language) -> list[PipelineStep]:
    """Return the steps that no other one needs."""
    needed = {name for step in pipeline.steps for name in wants(step, language)[0]}
    return [step for step in pipeline.steps if step.id not in needed]


def _last_output(step_id: str) -> str:
    return "{{ steps." + step_id + ".output | default(none) }}"


def levels(steps: Mapping[str, frozenset[str]]) -> list[list[str]]:
    """Return the step ids in levels: each needs only steps of earlier ones. What is left over is in a circle."""
    done: set[str] = set()
    made: list[list[str]] = []
    left = dict(steps)
    while left:
        now = [name for name, needs in left.items() if needs <= done]
        if not now:
            break
        made.append(now)
        done.update(now)
        left = {name: needs for name, needs in left.items() if name not in done}
    return made
