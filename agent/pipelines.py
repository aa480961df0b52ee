"""The pipelines of an installation: found, read, checked, and made into what a run is opened with.

They lie in `pipelines/` of the home, one YAML file each, and in the `pipelines/` folders of plugins; the home's count
where both have one of a name. Reading one is cheap; Jinja and YAML are loaded only then.
"""

from __future__ import annotations

import asyncio
import difflib
import functools
import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.domain.inputs import InputType, signature, typed
from agent.domain.states import Status
from agent.errors import DirigentError, MachineFailed, NotFound, PlanError, may_pass
from agent.planning.kept import Kept, Used

if TYPE_CHECKING:
    from agent.catalogue import Catalogue
    from agent.domain.chain import Chain
    from agent.domain.plan import PlanStep
    from agent.domain.run import Run, StepRecord
    from agent.domain.session import Profile
    from agent.planning.pipeline import Pipeline
    from agent.planning.pipeline_reading import Source
    from agent.store.protocol import Store
    from plugins.loader import LoadedPlugin

SUFFIXES = (".yaml", ".yml")
FOLDER = "pipelines"
NAMED_IN_ERRORS = 12


@dataclass(frozen=True, slots=True)
class Ready:
    """A checked pipeline and its plan. `source` is what its runs are counted as (`Run.source`)."""

    pipeline: Pipeline
    steps: tuple[PlanStep, ...]
    env: tuple[str, ...] = ()
    name: str = ""
    source: str = ""
    services: Mapping[str, Any] = field(default_factory=dict)

    def given(self, inputs: Mapping[str, Any], workspace: Path | None = None) -> dict[str, Any]:
        """Return what a run is opened with (`Run.given`).

        Raises PlanError for inputs that are missing or wrong, files that the workspace lacks, environment values that
        are not set.
        """
        kind, _, _ = self.source.partition(":")
        values = typed(self.pipeline.inputs, inputs, f"{kind.capitalize() or 'Pipeline'} '{self.name}'")
        problems = [f"the environment value {name} is not set" for name in self.env if name not in os.environ]
        for name, spec in self.pipeline.inputs.items():
            if spec.type is InputType.FILE and workspace is not None and values[name] is not None:
                problems += _missing_file(name, str(values[name]), workspace)
        if problems:
            raise PlanError(problems, hint="Nothing was run.")
        made = {
            "pipeline": self.name or self.pipeline.name,
            "steps": [step.model_dump(mode="json", exclude={"status"}) for step in self.steps],
            "inputs": values,
            "env": list(self.env),
            **({"quiet": True} if self.pipeline.quiet else {}),
            **({"services": dict(self.services)} if self.services else {}),
        }
        return self._with_consent(made, values)

    def _with_consent(self, made: dict[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Add what the owner may agree to beforehand with these inputs, and the seal of all that decides calls."""
        if all(step.consent is None for step in self.pipeline.steps):
            return made
        from agent.execution.templates import Scope, mentions, render
        from agent.planning.pipeline_consent import alternatives_of
        from agent.policy.grants import seal

        scope = Scope(inputs=inputs)
        made["consent"] = alternatives_of(self.pipeline, mentions, lambda value: render(value, scope).value)
        return {**made, "seal": seal(made)}


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
    if near:
        return [f"input '{name}': there is no file {path!r} here (did you mean {near[0]!r}?)"]
    return [f"input '{name}': there is no file {path!r} here"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a pipeline lies. `plugin` is the one that ships it, "" for the home's."""

    file: Path
    plugin: str = ""


class Pipelines:
    """The pipelines in `folder` and those of plugins. A changed file counts from the next run on.

    What was checked is kept while no file that it was made of changes. With a `store` the names of chains can be run as
    well.
    """

    def __init__(self, folder: Path, catalogue: Catalogue, store: Store | None = None) -> None:
        self.folder = folder
        self._catalogue = catalogue
        self._store = store
        self._kept: Kept[Ready] = Kept()

    # --- what there is ------------------------------------------------------------------------------------------
    def places(self) -> dict[str, Place]:
        """Return name → place of every pipeline, sorted by name."""
        found = {name: Place(file, plugin) for plugin, folder in self._shipped for name, file in _files(folder)}
        found |= {name: Place(file) for name, file in _files(self.folder)}
        return dict(sorted(found.items()))

    @functools.cached_property
    def _shipped(self) -> list[tuple[str, Path]]:
        """The folders of plugins that have pipelines; of two with the same name the first plugin's counts."""
        found = [(plugin.name, _folder_of(plugin)) for plugin in reversed(self._catalogue.plugins)]
        return [(name, folder) for name, folder in found if folder is not None and folder.is_dir()]

    def names(self) -> list[str]:
        """Return the names of all pipelines, sorted."""
        return list(self.places())

    def listed(self) -> list[tuple[str, str]]:
        """Return (name, what it does and takes) of every pipeline; of one that is wrong, the first mistake."""
        return [(name, self.described(name)) for name in self.names()]

    def described(self, name: str) -> str:
        """Return what a pipeline does and takes, or its first mistake."""
        try:
            pipeline = self.read(self.file_of(name))[0]
        except DirigentError as error:
            return f"⚠️ {str(error).splitlines()[0]}"
        return in_words(pipeline)

    def file_of(self, name: str) -> Path:
        """Return the file of a pipeline. Raises NotFound, naming the nearest."""
        known = self.places()
        if name not in known:
            raise self._unknown(name, list(known))
        return known[name].file

    def _unknown(self, name: str, known: list[str]) -> NotFound:
        near = difflib.get_close_matches(name, known, n=1)
        there = f"There are {', '.join(known[:NAMED_IN_ERRORS])}."
        if not known:
            there = f"Put its YAML file into {self.folder}."
        hint = f"Did you mean '{near[0]}'? {there}" if near else there
        return NotFound(f"There is no pipeline '{name}'.", hint=hint)

    def read(self, file: Path) -> tuple[Pipeline, Source]:
        """Return the pipeline in a file and its source, not checked yet.

        Raises PipelineWrong, NotFound, or MachineFailed when it is there and can't be read just now.
        """
        from agent.planning.pipeline_reading import read_pipeline

        try:
            text = file.read_text(encoding="utf-8")
        except OSError as error:
            said = f"{file} cannot be read: {error.strerror}."
            raise (MachineFailed(said) if may_pass(error) else NotFound(said, hint="Name a YAML file.")) from None
        except UnicodeDecodeError:
            raise PlanError([f"{file}: this is no text in UTF-8"], hint="Nothing was run.") from None
        return read_pipeline(text, file.name)

    # --- what can be run ----------------------------------------------------------------------------------------
    async def ready(self, name: str | Path, profile: Profile | None = None) -> Ready:
        """Return a pipeline, by name or file, or a chain, by name or id, checked as a whole.

        Raises PipelineWrong with every mistake, or NotFound.
        """
        if isinstance(name, str) and self._store is not None and name not in self.places():
            chain = await self._store.get_chain(name)
            if chain is not None:
                return await asyncio.to_thread(self.load_chain, chain, profile)
            known = [*self.places(), *(one.name for one in await self._store.chains())]
            raise self._unknown(name, known)
        return await asyncio.to_thread(self.load, name, profile)

    def load(self, name: str | Path, profile: Profile | None = None) -> Ready:
        """Return a pipeline, by name or file, checked as a whole. Raises PipelineWrong with every mistake."""
        places = self.places()
        key = (name, profile.model_dump_json() if profile else "")
        if (kept := self._kept.get(key, _files_of(places))) is not None:
            return kept
        used = Used()
        file = name if isinstance(name, Path) else self.file_of(name)
        used.note("" if isinstance(name, Path) else name, file)
        pipeline, source = self.read(file)
        called = pipeline.name if isinstance(name, Path) else name
        ready = self._checked(pipeline, source, profile, called, f"pipeline:{called}", used)
        self._kept.put(key, ready, used)
        return ready

    def check(self, pipeline: Pipeline, source: Source | None = None) -> Ready:
        """Return a pipeline that was not read from a file, checked as a whole. Raises PipelineWrong."""
        from agent.planning.pipeline_reading import Source

        source = source or Source(pipeline.name)
        return self._checked(pipeline, source, None, pipeline.name, f"pipeline:{pipeline.name}", Used())

    def load_chain(self, chain: Chain, profile: Profile | None = None) -> Ready:
        """Return a chain, checked as a whole. Raises NotFound for a pipeline that is gone, PipelineWrong."""
        from agent.planning.chain_plan import pipeline_of
        from agent.planning.pipeline_reading import Source

        key = (chain, profile.model_dump_json() if profile else "")
        if (kept := self._kept.get(key, _files_of(self.places()))) is not None:
            return kept
        used = Used()

        def of_the_chain(name: str) -> Pipeline:
            try:
                return self._nested(name, used)
            except NotFound as error:
                raise NotFound(f"The chain '{chain.name}' cannot run. {error.message}", hint=error.hint) from None

        pipeline = pipeline_of(chain, of_the_chain)
        ready = self._checked(pipeline, Source(f"chain '{chain.name}'"), profile, chain.name, f"chain:{chain.id}", used)
        self._kept.put(key, ready, used)
        return ready

    def _checked(  # noqa: PLR0917 - two callers, side by side above
        self, pipeline: Pipeline, source: Source, profile: Profile | None, called: str, counted: str, read: Used
    ) -> Ready:
        from agent.execution.templates import condition_mentions, mentions
        from agent.execution.trigger_values import check_names
        from agent.planning.pipeline_checks import Checker
        from agent.planning.pipeline_plan import Language, steps_of
        from agent.planning.pipeline_reading import PipelineWrong
        from agent.planning.pipeline_services import services_of
        from agent.planning.trigger_checks import trigger_problems

        language = Language(mentions, condition_mentions)
        checker = Checker(self._catalogue, language, lambda nested: self._nested(nested, read), profile)
        problems = checker.problems(pipeline, source) + trigger_problems(pipeline, source, check_names)
        if problems:
            raise PipelineWrong(problems)
        used = [pipeline]

        def load_nested(nested: str) -> Pipeline:
            used.append(self._nested(nested, read))
            return used[-1]

        try:
            steps = tuple(steps_of(pipeline, language, load_nested))
        except ValueError as error:
            raise PipelineWrong([f"{source.file}: names of nested steps are too long: {error}"]) from None
        env = tuple(sorted({env for one in used for env in one.env}))
        return Ready(pipeline, steps, env, called, counted, services_of(used))

    def _nested(self, name: str, used: Used) -> Pipeline:
        file = self.file_of(name)
        used.note(name, file)
        return self.read(file)[0]


def _files_of(places: Mapping[str, Place]) -> dict[str, Path]:
    return {name: place.file for name, place in places.items()}


def in_words(pipeline: Pipeline) -> str:
    """Return what a pipeline does and takes."""
    about = f"{pipeline.description.rstrip('.')}. " if pipeline.description else ""
    return f"{about}Takes {signature(pipeline.inputs)}."


def _files(folder: Path) -> list[tuple[str, Path]]:
    """Return (name, file) of the pipelines in a folder."""
    try:
        found = sorted(file for file in folder.iterdir() if file.suffix in SUFFIXES and file.is_file())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [(file.stem, file) for file in reversed(found)]  # of a.yaml and a.yml the first one counts


def _folder_of(plugin: LoadedPlugin) -> Path | None:
    """Return where a plugin's pipelines would lie; None for one that is a single file."""
    if os.sep in plugin.source:
        place = Path(plugin.source)
        return place / FOLDER if place.is_dir() else None
    module = sys.modules.get(plugin.source)
    origin = getattr(module, "__file__", None) or _origin(plugin.source)
    return Path(origin).with_name(FOLDER) if origin and Path(origin).name == "__init__.py" else None


def _origin(module: str) -> str | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return spec.origin if spec else None


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
