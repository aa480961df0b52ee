"""What a person reads when settings are wrong: the key, the value (never a secret's), its origin, what it must be."""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Any

from agent.config.sources import Environment, Path_, Source, Unusable, env_name, is_secret, kind_of, settings_of, split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

SHOWN = 80
MUST = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "a text",
    "tuple_type": "a list",
    "string_pattern_mismatch": "an address that begins with http:// or https://",
    "model_type": "a section (a table of settings)",
    "dict_type": "a table",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "literal_error": "{expected}",
}


def explain(error: ValidationError, record: type[BaseModel], sources: Sequence[Source]) -> str:
    """Return a line for everything that is wrong."""
    states = [(source, source()) for source in sources]
    return "\n".join(_sentence(one, record, states) for one in error.errors(include_url=False))


def _sentence(error: ErrorDetails, record: type[BaseModel], states: Sequence[tuple[Source, dict[str, Any]]]) -> str:
    loc = tuple(str(part) for part in error["loc"])
    path, source = _set_at(loc, states)
    where = source.origin(path) if source else "default"
    key, value = ".".join(path), error["input"]
    if error["type"] == "extra_forbidden":
        return _unknown(path, where, record, env=isinstance(source, Environment))
    if isinstance(value, Unusable):
        return f"{key} ({where}): {value.reason}."
    secret = is_secret(kind_of(record, path)) or path[0] in {"secrets", "plugins"}
    shown = "" if secret else f" = {json.dumps(value, default=str, ensure_ascii=False)[:SHOWN]}"
    return f"{key}{shown} ({where}): {_must(error)}."


def _set_at(loc: Path_, states: Sequence[tuple[Source, dict[str, Any]]]) -> tuple[Path_, Source | None]:
    """Return the longest part of `loc` that was set, and the strongest source that set it."""
    for depth in range(len(loc), 0, -1):
        for source, state in states:
            if _holds(state, loc[:depth]):
                return loc[:depth], source
    return loc[:1], None


def _holds(state: Any, path: Path_) -> bool:
    for part in path:
        if not isinstance(state, dict) or part not in state:
            return False
        state = state[part]
    return True


def _unknown(path: Path_, where: str, record: type[BaseModel], *, env: bool) -> str:
    key = ".".join(path)
    around = kind_of(record, path[:-1])  # such as the table of one tool, which is none of the fixed settings
    beside = [(*path[:-1], name) for name in getattr(around, "model_fields", ())]
    known = {".".join(one): one for one in [*(found for found, _ in settings_of(record)), *beside]}
    near = difflib.get_close_matches(".".join(split(key)), known, n=1)
    said = f"{where}: no such setting" if env else f"{key} ({where}): no such setting"
    if not near:
        return f"{said}; `dirigent settings` lists all."
    return f"{said}; did you mean {env_name(known[near[0]]) if env else near[0]}?"


def _must(error: ErrorDetails) -> str:
    form = MUST.get(error["type"])
    return (
        f"must be {form.format(**error.get('ctx', {}))}"
        if form
        else error["msg"].replace("Input should", "must").removeprefix("Value error, ")
    )
