"""What can be wrong with a pipeline is found before anything of it runs: tools, arguments, names, circles."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.domain.inputs import InputType, convert, typed
from agent.errors import DirigentError, PlanError
from agent.planning.pipeline import ASK, BUILT_IN, LLM, NESTED, PUBLISH, TASK, VALUE, Pipeline, PipelineStep
from agent.planning.pipeline_consent import consent_problems
from agent.planning.pipeline_plan import Language, Load, Mentions, levels, needs_of
from agent.planning.pipeline_revising import anew, before, left_behind, shown_steps
from agent.planning.pipeline_services import service_problems

if TYPE_CHECKING:
    from agent.catalogue import Catalogue
    from agent.domain.session import Profile
    from agent.planning.pipeline_reading import Path, Source

MAX_NESTING = 5
KNOWN_ARGS = {
    ASK: ("question", "options"),
    TASK: ("prompt", "tools"),
    VALUE: ("value",),
    PUBLISH: ("type", "payload", "project", "key", "budget"),
}
NEEDED_ARGS = {ASK: "question", LLM: "prompt", TASK: "prompt", VALUE: "value", PUBLISH: "type"}
Found = Iterator[tuple["Path", str]]


@dataclass(frozen=True, slots=True)
class Checker:
    """What a pipeline is checked against."""

    catalogue: Catalogue
    language: Language
    load: Load
    profile: Profile | None = None

    def problems(self, pipeline: Pipeline, source: Source, above: tuple[str, ...] = ()) -> list[str]:
        """Return every mistake with its place; nothing when the pipeline can run."""
        found = [*self._inputs(pipeline), *self._steps(pipeline, (*above, pipeline.name))]
        found += self._template(pipeline, ("outputs",), pipeline.values, self.language.mentions)
        found += service_problems(pipeline, self.catalogue)
        found += consent_problems(pipeline, self.catalogue, self.language.mentions)
        found = found or [*self._circles(pipeline)] or [*self._revisions(pipeline)]
        return [f"{source.at(path)}: {said}" for path, said in found]

    # --- inputs -------------------------------------------------------------------------------------------------
    @staticmethod
    def _inputs(pipeline: Pipeline) -> Found:
        for name, spec in pipeline.inputs.items():
            path: Path = ("inputs", name)
            if not name.isidentifier():
                yield path, f"the input's name {name!r} must be letters, digits and '_'"
            if (spec.type is InputType.CHOICE) != bool(spec.choices):
                yield path, f"input '{name}': `choices` belong to the type choice, and it needs them"
            elif spec.default is not None:
                try:
                    convert(spec, spec.default)
                except ValueError as error:
                    yield (*path, "default"), f"the default of '{name}' must be {error}, not {spec.default!r}"

    # --- steps --------------------------------------------------------------------------------------------------
    def _steps(self, pipeline: Pipeline, above: tuple[str, ...]) -> Found:
        seen: set[str] = set()
        ids = [step.id for step in pipeline.steps]
        for n, step in enumerate(pipeline.steps):
            path: Path = ("steps", n)
            if step.id in seen:
                yield (*path, "id"), f"the step id '{step.id}' is used twice"
            seen.add(step.id)
            for place, name in enumerate(step.depends_on):
                if name not in ids:
                    yield (*path, "depends_on", place), f"there is no step '{name}'{_near(name, ids)}"
            yield from _shown(step, path, ids)
            if (step.timeout or step.retry) and (step.use in {ASK, VALUE, PUBLISH} or step.use.startswith(NESTED)):
                word = "timeout" if step.timeout else "retry"
                yield (
                    (*path, word),
                    f"`use: {step.use}` has no `{word}`; it belongs to steps that call a tool or a model",
                )
            yield from self._use(step, path, above)
            yield from self._templates(pipeline, step, path)

    def _templates(self, pipeline: Pipeline, step: PipelineStep, path: Path) -> Found:
        entry = step.foreach is not None
        for name, value in step.args.items():
            yield from self._template(pipeline, (*path, "args", name), value, self.language.mentions, entry=entry)
        if step.when is not None:
            yield from self._template(pipeline, (*path, "when"), step.when, self.language.condition, entry=entry)
        if step.approval is not None:
            yield from self._template(pipeline, (*path, "approval"), step.approval.text, self.language.mentions)
        if step.foreach is not None:
            yield from self._template(pipeline, (*path, "foreach"), step.foreach.entries, self.language.mentions)
            if isinstance(step.foreach.entries, str) and "{{" not in step.foreach.entries:
                yield (*path, "foreach"), "`foreach` needs a list or a template of one, such as `{{ steps.a.output }}`"
        if step.outputs and (step.use in {ASK, VALUE, PUBLISH} or step.use.startswith(NESTED)):
            yield (*path, "outputs"), f"`use: {step.use}` makes no files; `outputs` belong to the steps that do"
        for place, name in enumerate(step.outputs):
            if "{{" in name:
                yield (*path, "outputs", place), "`outputs` of a step are names or patterns of files, not templates"

    def _template(self, pipeline: Pipeline, path: Path, value: Any, read: Any, *, entry: bool = False) -> Found:
        try:
            found: Mentions = read(value)
        except DirigentError as error:
            yield path, str(error)
            return
        ids = [step.id for step in pipeline.steps]
        for name in sorted(found.steps - set(ids)):
            yield path, f"there is no step '{name}'{_near(name, ids)}"
        for name in sorted(found.inputs - pipeline.inputs.keys()):
            yield path, f"there is no input '{name}'{_near(name, pipeline.inputs)}"
        for name in sorted(found.env - set(pipeline.env)):
            yield path, f"the environment value {name} is not listed under `env`{_near(name, pipeline.env)}"
        if not entry and found.names & {"item", "index"}:
            yield path, "`item` and `index` exist only in a step with `foreach`"

    # --- what a step uses ---------------------------------------------------------------------------------------
    def _use(self, step: PipelineStep, path: Path, above: tuple[str, ...]) -> Found:
        if step.use.startswith(NESTED):
            yield from self._nested(step, path, above)
        elif step.use in BUILT_IN:
            yield from self._built_in(step, path)
        else:
            yield from self._tool(step, path)

    def _tool(self, step: PipelineStep, path: Path) -> Found:
        try:
            spec = self.catalogue.find(step.use, self.profile)
        except DirigentError as error:
            near = difflib.get_close_matches(step.use, BUILT_IN, n=1)
            yield (*path, "use"), f"Did you mean `{near[0]}`? {error}" if near else str(error)
            return
        later = {name for name, value in step.args.items() if _holds_template(value)}
        try:
            self.catalogue.validate(spec, step.args, unresolved=later)
        except DirigentError as error:
            yield (*path, "args"), str(error)

    def _built_in(self, step: PipelineStep, path: Path) -> Found:
        needed = NEEDED_ARGS[step.use]
        if needed not in step.args or (step.args[needed] in (None, "") and step.use != VALUE):
            yield (*path, "args"), f"`use: {step.use}` needs the argument `{needed}`"
        known = KNOWN_ARGS.get(step.use)
        for name in step.args:
            if known is not None and step.use != TASK and name not in known:
                yield (*path, "args", name), f"`use: {step.use}` has no argument `{name}`{_near(name, known)}"
        if step.use == ASK:
            options = step.args.get("options", [])
            if not isinstance(options, list) or (options and not 2 <= len(options) <= 4):
                yield (*path, "args", "options"), "`options` are a list of 2 to 4 choices"
            if step.approval is not None or step.foreach is not None:
                yield path, "a step that asks has neither `approval` nor `foreach`"
        if step.use == TASK:
            yield from self._tools(step, path)
        if step.use == LLM:
            yield from _shape(step, path)
        payload = step.args.get("payload", {})
        if step.use == PUBLISH and not (isinstance(payload, dict) or _holds_template(payload)):
            yield (*path, "args", "payload"), "`payload` holds values by name: `payload: {count: 3}`"

    def _tools(self, step: PipelineStep, path: Path) -> Found:
        names = step.args.get("tools", [])
        if not isinstance(names, list):
            yield (*path, "args", "tools"), "`tools` is a list of tools"
            return
        for n, name in enumerate(names):
            try:
                self.catalogue.find(str(name), self.profile)
            except DirigentError as error:
                yield (*path, "args", "tools", n), str(error)

    def _nested(self, step: PipelineStep, path: Path, above: tuple[str, ...]) -> Found:
        name = step.use.removeprefix(NESTED)
        if name in above:
            yield (*path, "use"), "pipelines use each other in a circle: " + " → ".join([*above, name])
            return
        if len(above) >= MAX_NESTING:
            yield (*path, "use"), f"pipelines are nested more than {MAX_NESTING} levels deep"
            return
        try:
            child = self.load(name)
            if not _holds_template(step.args):
                typed(child.inputs, step.args, f"Pipeline '{name}'")
            else:
                _check_names(child, step)
        except DirigentError as error:
            yield (*path, "use"), str(error)
            return
        from agent.planning.pipeline_reading import Source

        for said in self.problems(child, Source(name), above):
            yield (*path, "use"), f"pipeline '{name}': {said}"

    # --- what needs what ----------------------------------------------------------------------------------------
    def _circles(self, pipeline: Pipeline) -> Found:
        needs = needs_of(pipeline, self.language)
        left = needs.keys() - {name for level in levels(needs) for name in level}
        if left:
            ring = _ring({name: sorted(needs[name] & left) for name in left})
            place = next(n for n, step in enumerate(pipeline.steps) if step.id == ring[0])
            yield ("steps", place), "steps need each other in a circle: " + " → ".join(ring)

    def _revisions(self, pipeline: Pipeline) -> Found:
        """Find what a checkpoint names to be revised and cannot be."""
        needs = needs_of(pipeline, self.language)
        places = {step.id: n for n, step in enumerate(pipeline.steps)}
        for n, step in enumerate(pipeline.steps):
            revised = (step.approval.revise if step.approval else None) or ()
            path: Path = ("steps", n, "approval", "revise")
            useless = [name for name in revised if name not in before(needs, step.id)]
            for name in useless:
                yield path, f"step '{step.id}' does not need '{name}', so revising that would change nothing here"
            if useless or not revised:
                continue
            for late, old in left_behind(needs, step.id, anew(needs, step.id, frozenset(revised))):
                yield (
                    ("steps", places[late]),
                    (
                        f"step '{late}' needs '{old}', which may be revised at the checkpoint of '{step.id}', and "
                        f"would keep the old result; write `depends_on: {step.id}`"
                    ),
                )


def _ring(needs: dict[str, list[str]]) -> list[str]:
    """Return one circle: every step left over needs another one, so following them must come round."""
    way = [min(needs)]
    while True:
        then = next((name for name in needs[way[-1]] if name in needs), way[-1])
        if then in way:
            return [*way[way.index(then) :], then]
        way.append(then)


def _shown(step: PipelineStep, path: Path, ids: list[str]) -> Found:
    """Find names in a checkpoint that are no steps; what is to be shown may be a file too."""
    if step.approval is None:
        return
    for name in shown_steps(step):
        if name not in ids:
            hint = "; a file has an ending, or its folder before it"
            yield (*path, "approval", "show"), f"there is no step '{name}'{_near(name, ids)}{hint}"
    for name in step.approval.revise or ():
        if name not in ids:
            yield (*path, "approval", "revise"), f"there is no step '{name}'{_near(name, ids)}"
        elif name == step.id:
            yield (*path, "approval", "revise"), f"'{name}' is what waits for the approval: it has no result to revise"


def _check_names(child: Pipeline, step: PipelineStep) -> None:
    unknown = sorted(step.args.keys() - child.inputs.keys())
    missing = sorted(name for name, spec in child.inputs.items() if spec.needed and name not in step.args)
    problems = [f"there is no input '{name}'{_near(name, child.inputs)}" for name in unknown]
    problems += [f"input '{name}' is missing" for name in missing]
    if problems:
        raise PlanError(problems)


def _shape(step: PipelineStep, path: Path) -> Found:
    """Find what is wrong with the shape of answer that an `llm` step asks for."""
    choices, schema, model = (step.args.get(name) for name in ("choices", "schema", "model"))
    if schema is not None and not _holds_template(schema):
        problem = _schema_problem(schema)
        if problem:
            yield (*path, "args", "schema"), f"`schema` is no JSON Schema: {problem}"
    if choices is not None and not _holds_template(choices) and not (isinstance(choices, list) and len(choices) > 1):
        yield (*path, "args", "choices"), "`choices` is a list of at least 2 words or numbers"
    if model is not None and not isinstance(model, str):
        yield (*path, "args", "model"), "`model` is the name of a model"


def _schema_problem(schema: Any) -> str:
    from agent.llm.structured import schema_problem

    return schema_problem(schema) if isinstance(schema, dict) else "it is a mapping, such as {type: number}"


def _holds_template(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_template, value.values()))
    if isinstance(value, list):
        return any(map(_holds_template, value))
    return isinstance(value, str) and ("{{" in value or "{%" in value)


def _near(name: str, known: Iterable[str]) -> str:
    listed = list(known)
    near = difflib.get_close_matches(name, listed, n=1)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; there are {', '.join(listed[:12])}" if listed else ""
