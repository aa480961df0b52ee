"""What a tool is called with: arguments as plain JSON values of the right types, or what is wrong in words."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from agent.catalogue.signatures import shown
from agent.errors import ToolArguments
from plugins.api import PluginError, ToolSpec


def converted(spec: ToolSpec, args: Mapping[str, Any], *, later: Collection[str]) -> tuple[dict[str, Any], list[str]]:
    """Return the arguments as JSON values, and what is wrong with them in words."""
    from pydantic import ValidationError

    try:
        model = spec.arguments
    except PluginError as problem:
        raise ToolArguments(str(problem)) from problem
    given = dict(args)
    for _ in range(2):
        try:
            made = model.model_validate({**given, **_stand_ins(model, later)})
        except ValidationError as problem:
            mended = _mended(model, given, problem.errors(include_url=False))
            if mended != given:
                given = mended
                continue
            wrong = [_in_words(error) for error in problem.errors(include_url=False) if error["loc"][0] not in later]
            if wrong:
                return {}, list(dict.fromkeys(wrong))
            made = None
        break
    if made is None:
        # Only what is still to be resolved does not fit its stand-in, which proves nothing: the rest is as given.
        return given, []
    return {name: value for name, value in made.model_dump(mode="json").items() if name in given}, []


def _stand_ins(model: Any, later: Collection[str]) -> dict[str, Any]:
    """Return a value for each argument that is not known yet, so that it is not reported as missing."""
    return {name: None for name in later if name in model.model_fields}


def _mended(model: Any, given: Mapping[str, Any], errors: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    mended = dict(given)
    for error in errors:
        name = error["loc"][0]
        if len(error["loc"]) != 1 or name not in given:
            continue
        value = given[name]
        if value is None and not model.model_fields[name].is_required():
            del mended[name]
        elif error["type"] in {"list_type", "dict_type"} and isinstance(value, str) and value[:1] in "[{":
            mended[name] = _parsed(value)
        elif error["type"] == "list_type" and isinstance(value, (str, int, float)):
            mended[name] = [value]
        elif error["type"] == "literal_error" and isinstance(value, str):
            mended[name] = _choice(value, error["ctx"]["expected"])
    return mended


def _choice(value: str, expected: str) -> str:
    """Return the choice that differs from the value in case or in the plural's `s` alone, else the value."""
    plain = value.strip().lower().removesuffix("s")
    choices: list[str] = re.findall(r"'([^']*)'", expected)
    same = [choice for choice in choices if choice.lower().removesuffix("s") == plain]
    return same[0] if len(same) == 1 and plain else value


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return [text]


EXPECTED = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "an object",
    "date_from_datetime_parsing": "a date such as 2026-12-24",
    "date_parsing": "a date such as 2026-12-24",
    "date_type": "a date such as 2026-12-24",
    "datetime_parsing": "a time such as 2026-12-24T18:30",
    "datetime_from_date_parsing": "a time such as 2026-12-24T18:30",
}


def _in_words(error: Mapping[str, Any]) -> str:
    where = str(error["loc"][0]) + "".join(f"[{part!r}]" for part in error["loc"][1:] if isinstance(part, int))
    if error["type"] == "missing":
        return f"'{where}' is missing"
    value = shown(error["input"])
    if error["type"] == "literal_error":
        return f"'{where}' must be one of {error['ctx']['expected'].replace(' or ', ', ')}, not {value}"
    expected = EXPECTED.get(error["type"])
    if expected:
        return f"'{where}' must be {expected}, not {value}"
    reason = str(error["msg"])
    return f"'{where}': {reason[:1].lower()}{reason[1:]}, not {value}"
