"""Typed inputs of a pipeline: what it may be given, and how what a person typed becomes such a value."""

from __future__ import annotations

import datetime as dt
import difflib
import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from agent.errors import PlanError

TRUE, FALSE = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})


class InputType(StrEnum):
    """What an input holds. `file` is the path of a file in the session's workspace; `date` is written 2026-12-24."""

    TEXT = "text"
    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    DATE = "date"
    FILE = "file"
    LIST = "list"
    CHOICE = "choice"


class InputSpec(BaseModel):
    """One input. Without a default it must be given, unless `required` is false: then it is empty (null)."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    type: InputType = InputType.TEXT
    """text, number, integer, boolean, date, file, list or choice."""
    description: str = ""
    """What it is for, in words for whoever fills it in."""
    default: Any = None
    """The value when none is given; it makes the input optional."""
    required: bool | None = None
    """False allows that it is left out and has no default."""
    choices: tuple[str | int | float, ...] = Field(default=())
    """The values that an input of the type choice may have."""

    @property
    def needed(self) -> bool:
        """True when a run cannot start without it."""
        return self.default is None and self.required is not False


def typed(specs: Mapping[str, InputSpec], given: Mapping[str, Any], what: str = "This pipeline") -> dict[str, Any]:
    """Return a value for every input. Raises PlanError with one sentence for each that is unknown, missing or wrong."""
    problems = [_unknown(name, specs) for name in given if name not in specs]
    values: dict[str, Any] = {}
    for name, spec in specs.items():
        value = given.get(name, spec.default)
        if value is None:
            if spec.needed:
                about = spec.description
                problems.append(f"input '{name}' is missing ({about})" if about else f"input '{name}' is missing")
            values[name] = None
            continue
        try:
            values[name] = convert(spec, value)
        except ValueError as error:
            problems.append(f"input '{name}' must be {error}, not {_shown(value)}")
    if problems:
        raise PlanError(problems, hint=f"{what} takes {signature(specs)}.")
    return values


def checked_outputs(specs: Mapping[str, InputSpec], made: Mapping[str, Any]) -> dict[str, Any]:
    """Return the outputs, those with a type as such. Raises PlanError with one sentence for each that is not."""
    values, problems = dict(made), []
    for name, spec in specs.items():
        try:
            if values.get(name) is not None:
                values[name] = convert(spec, values[name])
            elif spec.required is not False:
                problems.append(f"output '{name}' is missing")
        except ValueError as error:
            problems.append(f"output '{name}' must be {error}, not {_shown(values[name])}")
    if problems:
        raise PlanError(problems, hint="`required: false` allows that an output is missing.")
    return values


def convert(spec: InputSpec, value: Any) -> Any:
    """Return one value with the type of its input. Raises ValueError whose message says what is expected."""
    if spec.type is InputType.CHOICE:
        for choice in spec.choices:
            if value == choice or str(value).casefold() == str(choice).casefold():
                return choice
        raise ValueError("one of " + ", ".join(map(str, spec.choices)))
    return _CONVERTERS[spec.type](value)


def signature(specs: Mapping[str, InputSpec]) -> str:
    """Return the inputs in few words: `file=FILE, limit=NUMBER (10)`."""
    shown = []
    for name, spec in specs.items():
        values = "|".join(map(str, spec.choices)) if spec.choices else spec.type.upper()
        default = f" ({_shown(spec.default)})" if spec.default is not None else "" if spec.needed else " (optional)"
        shown.append(f"{name}={values}{default}")
    return ", ".join(shown) or "no inputs"


def _text(value: Any) -> str:
    if isinstance(value, (list, dict)):
        raise ValueError("text")  # noqa: TRY004 - the caller puts it into a sentence
    return str(value)


def _number(value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    try:
        return float(str(value).replace("_", "")) if isinstance(value, str) else float("x")
    except ValueError:
        raise ValueError("a number") from None


def _integer(value: Any) -> int:
    try:
        number = _number(value)
    except ValueError:
        number = 0.5
    if number != int(number):
        raise ValueError("a whole number")
    return int(number)


def _boolean(value: Any) -> bool:
    said = str(value).strip().lower()
    if isinstance(value, bool) or said in TRUE | FALSE:
        return said in TRUE
    raise ValueError("true or false")


def _date(value: Any) -> str:
    try:
        return dt.date.fromisoformat(str(value).strip()).isoformat()
    except ValueError:
        raise ValueError("a date such as 2026-12-24") from None


def _list(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return list(value)
    if not isinstance(value, str):
        raise ValueError("a list")  # noqa: TRY004 - as above
    if value.strip().startswith("["):
        try:
            found = json.loads(value)
        except ValueError:
            found = None
        if isinstance(found, list):
            return found
    return [part.strip() for part in value.split(",") if part.strip()]


_CONVERTERS = {
    InputType.TEXT: _text,
    InputType.FILE: _text,
    InputType.NUMBER: _number,
    InputType.INTEGER: _integer,
    InputType.BOOLEAN: _boolean,
    InputType.DATE: _date,
    InputType.LIST: _list,
}


def _unknown(name: str, specs: Mapping[str, InputSpec]) -> str:
    near = difflib.get_close_matches(name, specs, n=1)
    return f"there is no input '{name}' (did you mean '{near[0]}'?)" if near else f"there is no input '{name}'"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:59] + "…"
