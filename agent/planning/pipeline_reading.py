"""Reads a pipeline's YAML: every error with its line and column, and the nearest valid key.

YAML 1.2 without surprises: `no` is a word, dates are text, a key may come once, and what aliases multiply is counted.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from agent.domain.inputs import InputSpec
from agent.errors import PlanError
from agent.planning.pipeline import Foreach, Pipeline, PipelineStep, StepApproval
from agent.planning.pipeline_triggers import Files, OnEvent, PipelineTrigger, Schedule, Webhook

MAX_BYTES = 256_000
MAX_NODES = 20_000
MAX_DEPTH = 40
SHOWN = 20
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """Where each part of a pipeline's file stands: path → (line, column), both from 1."""

    file: str
    places: Mapping[Path, tuple[int, int]] = field(default_factory=dict)

    def at(self, path: Path) -> str:
        """Return `file:line:column` of the nearest part that is there."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.places:
                line, column = self.places[path[:end]]
                return f"{self.file}:{line}:{column}"
        return self.file


class PipelineWrong(PlanError):
    """A pipeline's file cannot be used; `problems` has one line for each mistake, with its place."""

    def __init__(self, problems: list[str]) -> None:
        more = [f"… and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        super().__init__(problems[:SHOWN] + more, hint="Nothing was run.")
        self.message = "\n".join(self.problems)

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}"


def read_pipeline(text: str, file: str) -> tuple[Pipeline, Source]:
    """Return the pipeline in a YAML text and where its parts stand. Raises PipelineWrong with everything found."""
    if len(text) > MAX_BYTES:
        raise PipelineWrong([f"{file}: {len(text):,} characters are too many; {MAX_BYTES:,} are allowed"])
    reader = _Reader(file)
    value = reader.value_of(text)
    source = Source(file, reader.places)
    if reader.problems:
        raise PipelineWrong(reader.problems)
    if not isinstance(value, dict):
        raise PipelineWrong([f"{file}:1:1: a pipeline is a mapping with `name` and `steps`"])
    try:
        return Pipeline.model_validate(value), source
    except ValidationError as error:
        found = [_in_words(one, source) for one in error.errors(include_url=False)]
        raise PipelineWrong(list(dict.fromkeys(found))) from None


class _Reader:
    """Turns YAML nodes into plain values and notes where they stand."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._count = 0
        self.places: dict[Path, tuple[int, int]] = {}
        self.problems: list[str] = []

    def value_of(self, text: str) -> Any:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import MarkedYAMLError, YAMLError

        try:
            node = YAML(typ="safe", pure=True).compose(text)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
            said = str(error.problem or error.context or error).split("\n")[0].strip()
            raise PipelineWrong([f"{self._file}{where}: this is no YAML: {said.removesuffix(' in')}"]) from None
        except (YAMLError, ValueError, RecursionError) as error:
            raise PipelineWrong([f"{self._file}: this is no YAML: {str(error).splitlines()[0]}"]) from None
        if node is None:
            raise PipelineWrong([f"{self._file}: the file is empty"])
        return self._value(node, ())

    def _value(self, node: Any, path: Path) -> Any:
        self._count += 1
        if self._count > MAX_NODES or len(path) > MAX_DEPTH:
            raise PipelineWrong([f"{self._file}: it holds more than {MAX_NODES:,} values, or too many levels"])
        self.places.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
        kind = type(node).__name__
        if kind == "MappingNode":
            return self._mapping(node, path)
        if kind == "SequenceNode":
            return [self._value(part, (*path, n)) for n, part in enumerate(node.value)]
        return _scalar(node)

    def _mapping(self, node: Any, path: Path) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(getattr(key_node, "value", "?"))
            here = (*path, key)
            if key in made:
                line, column = key_node.start_mark.line + 1, key_node.start_mark.column + 1
                self.problems.append(f"{self._file}:{line}:{column}: the key '{key}' is there twice")
                continue
            self.places[here] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            made[key] = self._value(value_node, here)
        return made


def _scalar(node: Any) -> Any:
    kind, text = str(node.tag).rpartition(":")[2], str(node.value)
    try:
        if kind == "int":
            return int(text.replace("_", ""), 0)
        if kind == "float":
            return float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        return text
    if kind == "bool":
        return text.lower() == "true"
    return None if kind == "null" else text


_RECORDS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("steps", PipelineStep),
    ("inputs", InputSpec),
    ("triggers", PipelineTrigger),
)
_WITHIN: dict[str | int, type[BaseModel]] = {"foreach": Foreach, "approval": StepApproval}
_WAITED_FOR: dict[str | int, type[BaseModel]] = {
    "schedule": Schedule,
    "file": Files,
    "event": OnEvent,
    "webhook": Webhook,
}


@functools.cache
def _keys(record: type[BaseModel]) -> tuple[str, ...]:
    return tuple(info.alias or name for name, info in record.model_fields.items())


def _record_at(path: Path) -> type[BaseModel]:
    if path[:1] == ("steps",) and len(path) > 2 and path[2] in _WITHIN:
        return _WITHIN[path[2]]
    if path[:1] == ("triggers",) and len(path) > 2:
        return _WAITED_FOR.get(path[2], PipelineTrigger)
    return next((record for name, record in _RECORDS if path and path[0] == name), Pipeline)


def _in_words(error: Mapping[str, Any], source: Source) -> str:
    path: Path = tuple(error["loc"])
    where = source.at(path)
    name = str(path[-1]) if path else ""
    keys = _keys(_record_at(path[:-1]))
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, keys, n=1)
        more = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(keys)}"
        return f"{where}: unknown key `{name}`; {more}"
    if error["type"] == "missing":
        return f"{where}: the key `{name}` is missing"
    message = str(error["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if error["type"] == "value_error":
        return f"{where}: `{name}`: {message}" if message.startswith("must be") else f"{where}: {message}"
    if error["type"] == "enum":
        message = f"must be {error['ctx']['expected']}"
        near = difflib.get_close_matches(str(error["input"]), message.replace("'", " ").split(), n=1)
        return f"{where}: `{name}` {message}, not {str(error['input'])[:60]!r}" + (
            f"; did you mean '{near[0]}'?" if near else ""
        )
    shown = next((str(part) for part in reversed(path) if isinstance(part, str) and part in source_names(source)), name)
    return f"{where}: `{shown}`: {message}, not {str(error['input'])[:60]!r}"


def source_names(source: Source) -> frozenset[str]:
    """Return every key that stands in the file."""
    return frozenset(path[-1] for path in source.places if path and isinstance(path[-1], str))
