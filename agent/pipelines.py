"""The pipelines of an installation: found, read, checked, and made into what a run is opened with.

They lie in `pipelines/` of the home, one YAML file each. Reading one is cheap; Jinja and YAML are loaded only then.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.domain.inputs import InputType, signature, typed
from agent.domain.states import Status
from agent.errors import DirigentError, NotFound, PlanError

if TYPE_CHECKING:
    from agent.catalogue import Catalogue
    from agent.domain.plan import PlanStep
    from agent.domain.run import Run, StepRecord
    from agent.domain.session import Profile
    from agent.planning.pipeline import Pipeline

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Ready:
    """A checked pipeline and its plan."""

    pipeline: Pipeline
    steps: tuple[PlanStep, ...]
    env: tuple[str, ...] = ()

    def given(self, inputs: Mapping[str, Any], workspace: Path | None = None) -> dict[str, Any]:
        """Return what a run is opened with (`Run.given`).

        Raises PlanError for inputs that are missing or wrong, files that the workspace lacks, environment values that
        are not set.
        """
        values = typed(self.pipeline.inputs, inputs, f"Pipeline '{self.pipeline.name}'")
        problems = [f"the environment value {name} is not set" for name in self.env if name not in os.environ]
        for name, spec in self.pipeline.inputs.items():
            if spec.type is InputType.FILE and workspace is not None and values[name] is not None:
                problems += _missing_file(name, str(values[name]), workspace)
        if problems:
            raise PlanError(problems, hint="Nothing was run.")
        return {
            "pipeline": self.pipeline.name,
            "steps": [step.model_dump(mode="json", exclude={"status"}) for step in self.steps],
            "inputs": values,
            "env": list(self.env),
        }


def parse_request(rest: str) -> tuple[str, dict[str, str]]:
    """Return name and inputs of `NAME key=value "key=two words"`. Raises PlanError saying how it is written."""
    import shlex

    usage = "Write `/run NAME input=value`; `/pipelines` lists them."
    try:
        words = shlex.split(rest)
    except ValueError as error:
        raise PlanError([f"this cannot be read: {error}"], hint=usage) from None
    if not words or "=" in words[0]:
        raise PlanError(["the pipeline's name is missing"], hint=usage)
    return words[0], inputs_of(words[1:], usage)


def inputs_of(words: list[str], usage: str) -> dict[str, str]:
    """Return inputs from `name=value` words. Raises PlanError."""
    wrong = [word for word in words if "=" not in word]
    if wrong:
        raise PlanError([f"'{wrong[0]}' is no input"], hint=usage)
    return {name.strip(): value for name, _, value in (word.partition("=") for word in words)}


def _missing_file(name: str, path: str, workspace: Path) -> list[str]:
    from sandbox.workspace import Workspace

    with Workspace(workspace) as box:
        there = set(box.list_files())
    if path in there:
        return []
    near = difflib.get_close_matches(path, there, n=1)
    return [f"input '{name}': there is no file {path!r} here" + (f" (did you mean {near[0]!r}?)" if near else "")]


class Pipelines:
    """The pipelines in a folder. Nothing is kept: a changed file counts from the next run on."""

    def __init__(self, folder: Path, catalogue: Catalogue) -> None:
        self._folder = folder
        self._catalogue = catalogue

    def names(self) -> list[str]:
        """Return the names under which pipelines lie in the folder, sorted."""
        if not self._folder.is_dir():
            return []
        return sorted(file.stem for file in self._folder.iterdir() if file.suffix in SUFFIXES and file.is_file())

    def listed(self) -> list[tuple[str, str]]:
        """Return (name, what it does and takes) of every pipeline; of one that is wrong, the first mistake."""
        return [(name, self._described(name)) for name in self.names()]

    def _described(self, name: str) -> str:
        try:
            pipeline = self.read(self.file_of(name))[0]
        except DirigentError as error:
            return f"⚠️ {str(error).splitlines()[0]}"
        about = f"{pipeline.description.rstrip('.')}. " if pipeline.description else ""
        return f"{about}Takes {signature(pipeline.inputs)}."

    def file_of(self, name: str) -> Path:
        """Return the file of a pipeline. Raises NotFound, naming the nearest."""
        known = self.names()
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            there = f"There are {', '.join(known[:12])}." if known else f"Put its YAML file into {self._folder}."
            raise NotFound(
                f"There is no pipeline '{name}'.", hint=f"Did you mean '{near[0]}'? {there}" if near else there
            )
        return next(file for suffix in SUFFIXES if (file := self._folder / f"{name}{suffix}").is_file())

    def read(self, file: Path) -> tuple[Pipeline, Any]:
        """Return the pipeline in a file and its source, not checked yet. Raises PipelineWrong or NotFound."""
        from agent.planning.pipeline_reading import read_pipeline

        try:
            text = file.read_text(encoding="utf-8")
        except OSError as error:
            raise NotFound(f"{file} cannot be read: {error.strerror}.", hint="Name a YAML file.") from None
        except UnicodeDecodeError:
            raise PlanError([f"{file}: this is no text in UTF-8"], hint="Nothing was run.") from None
        return read_pipeline(text, file.name)

    def load(self, name: str | Path, profile: Profile | None = None) -> Ready:
        """Return a pipeline, by name or file, checked as a whole. Raises PipelineWrong with every mistake."""
        from agent.execution.templates import condition_mentions, mentions
        from agent.planning.pipeline_checks import Checker
        from agent.planning.pipeline_plan import Language, steps_of
        from agent.planning.pipeline_reading import PipelineWrong

        pipeline, source = self.read(name if isinstance(name, Path) else self.file_of(name))
        language = Language(mentions, condition_mentions)
        checker = Checker(self._catalogue, language, self._nested, profile)
        problems = checker.problems(pipeline, source)
        if problems:
            raise PipelineWrong(problems)
        used = [pipeline]

        def load_nested(nested: str) -> Pipeline:
            used.append(self._nested(nested))
            return used[-1]

        try:
            steps = tuple(steps_of(pipeline, language, load_nested))
        except ValueError as error:
            raise PipelineWrong([f"{source.file}: names of nested steps are too long: {error}"]) from None
        return Ready(pipeline, steps, tuple(sorted({env for one in used for env in one.env})))

    def _nested(self, name: str) -> Pipeline:
        return self.read(self.file_of(name))[0]


def going_on_from(old: Run, records: Sequence[StepRecord], step_id: str) -> dict[str, Any]:
    """Return what a run is opened with that repeats `old` from a step on and keeps every result before it.

    Raises NotFound when the pipeline of that run has no such step.
    """
    needs = {
        step["id"]: {*step.get("depends_on", ()), *((step.get("pipe") or {}).get("after", ()))}
        for step in old.given["steps"]
    }
    if step_id not in needs:
        near = difflib.get_close_matches(step_id, needs, n=1)
        hint = f"Did you mean '{near[0]}'?" if near else f"It has {', '.join(needs)}."
        raise NotFound(f"The run {old.ref} has no step '{step_id}'.", hint=hint)
    anew = {step_id}
    while grown := {name for name, before in needs.items() if before & anew} - anew:
        anew |= grown
    done = {record.step.id for record in records if record.status is Status.COMPLETED}
    kept = [name for name in needs if name in done and name not in anew]
    return {**old.given, "kept": {"run": old.id, "steps": kept}}
