"""What a server says of its tools, made fit to be shown: cut, without what can't be seen, and of a known shape."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

MOST_DESCRIPTION = 1_500
MOST_IN_SCHEMA = 300
MOST_SCHEMA = 16_000
MOST_DEPTH = 12
MOST_PROPERTIES = 60
# Expressions of a stranger are not run here: some take for ever. The server checks its arguments itself.
LEFT_OUT = frozenset({"pattern", "patternProperties", "propertyNames", "format", "$schema", "$id", "$comment", "title"})
PROPERTY = re.compile(r"[A-Za-z_][A-Za-z0-9_.$-]{0,63}")
HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
SELECTORS = re.compile("[\ufe00-\ufe0f\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\U000e0100-\U000e01ef]")
NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")
MOST_NAME = 64


class Unfit(Exception):
    """A tool can't be offered; the text says why."""


def cleaned(text: str, most: int) -> str:
    """Return a text without characters that can't be seen, on as many lines, with at most `most` characters."""
    plain = "".join(char for char in text[: most * 4] if char in "\n\t" or unicodedata.category(char) not in HIDDEN)
    plain = SELECTORS.sub("", plain).strip()
    return plain if len(plain) <= most else plain[: most - 1].rstrip() + "…"


def one_line(text: str, most: int) -> str:
    """Return a text as `cleaned` does, on one line."""
    return " ".join(cleaned(text, most).split())


def cleaned_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of a tool's arguments with clean texts. Raises Unfit for one that can't be shown."""
    if schema.get("type", "object") != "object":
        raise Unfit("its arguments are no object")
    made = _clean({"type": "object", "properties": {}, **schema}, 0)
    assert isinstance(made, dict)
    names = made.get("properties")
    if not isinstance(names, dict) or len(names) > MOST_PROPERTIES:
        raise Unfit(f"it has more than {MOST_PROPERTIES} arguments")
    for name in names:
        if not PROPERTY.fullmatch(name):
            raise Unfit(f"it has an argument called {one_line(name, 40)!r}")
    size = len(json.dumps(made, ensure_ascii=False))
    if size > MOST_SCHEMA:
        raise Unfit(f"the description of its arguments has {size:,} characters; at most {MOST_SCHEMA:,} are taken")
    return made


def _clean(value: Any, depth: int) -> Any:
    if depth > MOST_DEPTH:
        raise Unfit(f"the description of its arguments is nested more than {MOST_DEPTH} deep")
    if isinstance(value, str):
        return cleaned(value, MOST_IN_SCHEMA)
    if isinstance(value, list):
        return [_clean(part, depth + 1) for part in value]
    if not isinstance(value, dict):
        return value
    reference = value.get("$ref")
    if reference is not None and not str(reference).startswith("#"):
        raise Unfit("the description of its arguments points elsewhere")
    return {
        cleaned(str(key), MOST_IN_SCHEMA): _properties(part, depth) if key == "properties" else _clean(part, depth + 1)
        for key, part in value.items()
        if key not in LEFT_OUT
    }


def _properties(value: Any, depth: int) -> Any:
    """Clean what is under `properties`, whose keys are names of arguments: one may be called `pattern`."""
    if not isinstance(value, dict):
        raise Unfit("the description of its arguments has no form that is known")
    return {str(name): _clean(part, depth + 2) for name, part in value.items()}


def plain_names(names: Iterable[str]) -> dict[str, str]:
    """Return each name of a tool with the one that it has here: letters, digits, _ and -, none used twice."""
    made: dict[str, str] = {}
    for name in names:
        plain = NOT_IN_NAMES.sub("_", name).strip("_-")[:MOST_NAME] or "tool"
        if not plain[0].isalpha() or not plain[0].isascii():
            plain = f"t_{plain}"[:MOST_NAME]
        number, wanted = 2, plain
        while plain in made.values():
            ending = f"_{number}"
            plain, number = wanted[: MOST_NAME - len(ending)] + ending, number + 1
        made[name] = plain
    return made
