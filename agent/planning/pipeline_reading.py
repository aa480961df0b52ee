"""Reads a pipeline: every error with its line and column, in words, with the nearest valid key."""

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
from agent.planning.pipeline_yaml import NotYaml, Path, YamlReader

__all__ = ["Path", "PipelineWrong", "Source", "read_pipeline", "source_names"]

MAX_BYTES = 256_000
SHOWN = 20


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
    reader = YamlReader(file)
    try:
        value = reader.value_of(text)
    except NotYaml as error:
        raise PipelineWrong([str(error)]) from None
    source = Source(file, reader.places)
    if reader.problems:
        raise PipelineWrong(reader.problems)
    if not isinstance(value, dict):
        raise PipelineWrong([f"{file}:1:1: a pipeline is a mapping with `name` and `steps`"])
    try:
        return Pipeline.model_validate(value), source
    except ValidationError as error:
        raise PipelineWrong(list(dict.fromkeys(_in_words(one, source) for one in _own(error)))) from None


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


def _own(error: ValidationError) -> list[Mapping[str, Any]]:
    """Return the mistakes without those that only follow from another one inside."""
    found: list[Mapping[str, Any]] = list(error.errors(include_url=False))
    inside = {one["loc"][:1] for one in found if len(one["loc"]) > 1}
    return [one for one in found if one["type"] != "too_short" or one["loc"] not in inside]


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
    message = _message(error)
    if error["type"] == "value_error":
        return f"{where}: `{name}`: {message}" if message.startswith("must be") else f"{where}: {message}"
    if error["type"] == "enum":
        message = f"must be {error['ctx']['expected']}"
        near = difflib.get_close_matches(str(error["input"]), message.replace("'", " ").split(), n=1)
        return f"{where}: `{name}` {message}, not {str(error['input'])[:60]!r}" + (
            f"; did you mean '{near[0]}'?" if near else ""
        )
    shown = next((str(part) for part in reversed(path) if isinstance(part, str) and part in source_names(source)), name)
    return f"{where}: `{shown}`: {message}, not {_shown(error['input'])}"


MESSAGES = {
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a mapping of names to values",
    "model_type": "must be a mapping of names to values",
    "model_attributes_type": "must be a mapping of names to values",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "too_short": "must have at least {min_length}",
    "too_long": "must have at most {max_length} entries",
    "string_too_short": "must not be empty",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
}


def _message(error: Mapping[str, Any]) -> str:
    """Return what is wrong in words of ours; what has none of ours in the library's."""
    if error["type"] in MESSAGES:
        message = MESSAGES[error["type"]].format_map(error.get("ctx") or {})
        number = error["type"] == "string_type" and isinstance(error["input"], (int, float))
        return f"{message} (in quotes)" if number else message
    message = str(error["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _shown(value: Any) -> str:
    """Return a value in a few words: of a long one how many entries it has."""
    if value is None:
        return "nothing"
    if isinstance(value, (list, tuple, dict)):
        kind = "mapping" if isinstance(value, dict) else "list"
        return f"a {kind} of {len(value)}" if value else f"an empty {kind}"
    return repr(str(value)[:60])


def source_names(source: Source) -> frozenset[str]:
    """Return every key that stands in the file."""
    return frozenset(path[-1] for path in source.places if path and isinstance(path[-1], str))
