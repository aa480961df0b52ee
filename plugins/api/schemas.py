"""Arguments that a JSON Schema describes: what there is to know of them without a function of ours.

What a keyword means is taken from the schema as far as values can be checked and mended by it: types, enumerations,
bounds, nested objects, alternatives, `$defs`. Every other keyword is left to whoever reads the schema. Schemas come
from outside: one that refers to itself, or grows without end, is taken for "anything" from there on.
"""

from __future__ import annotations

import copy
import datetime as dt
import functools
import re
import sys
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union

from plugins.api.records import File, Pattern, PluginError, ServiceName

MARKS = "x-dirigent"
"""In a property: `{"file": [suffix, …]}`, `{"pattern": regex}`, `{"service": name}`: File, Pattern and ServiceName."""
MOST_PARTS, DEEPEST = 2_000, 32
TITLE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
DATES: dict[str, Any] = {"date": dt.date, "date-time": dt.datetime, "time": dt.time, "duration": dt.timedelta}
PLAIN: dict[str, Any] = {"integer": int, "number": float, "boolean": bool, "null": None, "array": list, "object": dict}
BOUNDS = {
    "ge": "minimum",
    "le": "maximum",
    "gt": "exclusiveMinimum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
}
LENGTHS = {
    "string": {"min_length": "minLength", "max_length": "maxLength"},
    "array": {"min_length": "minItems", "max_length": "maxItems"},
}


def hints_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameter name → annotation for a schema of an object."""
    reading = _Reading(schema)
    return {name: _marked(reading.hint(part), part) for name, part in properties(schema).items()}


def defaults_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the default of each parameter that may be left out; None where the schema names none."""
    needed = required(schema)
    parts = properties(schema).items()
    return {name: _plain(part).get("default") for name, part in parts if name not in needed}


def properties(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties of an object's schema; none where it has none."""
    return _plain(schema.get("properties"))


def required(schema: Mapping[str, Any]) -> set[str]:
    """Return the names of what must be given."""
    return {name for name in _listed(schema.get("required")) if isinstance(name, str)}


def without_marks(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema as models are shown it."""
    shown = {key: value for key, value in copy.deepcopy(dict(schema)).items() if key != "title"}
    parts = properties(schema)
    if parts:
        shown["properties"] = {
            name: {key: value for key, value in part.items() if key != MARKS} if isinstance(part, dict) else part
            for name, part in shown["properties"].items()
        }
    shown.setdefault("type", "object")
    shown.setdefault("properties", {})
    return shown


class Elsewhere:
    """Stands for the function of a tool that is not in this process. Raises PluginError when it is called."""

    def __init__(self, name: str) -> None:
        self.__name__ = self.__qualname__ = name

    def __call__(self, *_: Any, **__: Any) -> Any:
        """Refuse."""
        raise PluginError(f"'{self.__name__}' is not in this process: it is known by its description only.")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Elsewhere) and other.__name__ == self.__name__

    def __hash__(self) -> int:
        return hash((Elsewhere, self.__name__))


@dataclass(frozen=True, slots=True)
class Given:
    """A parameter, as far as a pydantic model's `FieldInfo` is asked: whether it must be given, and what it is else."""

    required: bool
    default: Any = None

    def is_required(self) -> bool:
        """True when it must be given."""
        return self.required


class Made:
    """Arguments that were checked, each also an attribute."""

    def __init__(self, values: dict[str, Any], adapter: Any) -> None:
        self.__dict__.update(values)
        self._values, self._adapter = values, adapter

    def model_dump(self, *, mode: str = "python") -> dict[str, Any]:
        """Return the arguments by name, as JSON values where `mode` is "json"."""
        dumped: dict[str, Any] = self._adapter.dump_python(self._values, mode=mode, warnings=False)
        return dumped


class SchemaArguments:
    """Checks arguments by a JSON Schema as a pydantic model's class does: what is asked of one, this answers too.

    A name may be any text: fields of a class may not.
    """

    def __init__(self, name: str, schema: Mapping[str, Any], hints: Mapping[str, Any]) -> None:
        self.__name__ = name
        self._schema = schema
        self._hints = hints
        needed, defaults, parts = required(schema), defaults_of(schema), properties(schema)
        self.model_fields = {one: Given(one in needed, defaults.get(one)) for one in hints}
        self._defaults = {one: value for one, value in defaults.items() if "default" in _plain(parts[one])}

    @functools.cached_property
    def _adapter(self) -> Any:
        from pydantic import TypeAdapter

        needed = required(self._schema)
        whole = _shape(self.__name__, {name: (hint, name in needed) for name, hint in self._hints.items()}, more=False)
        try:
            return TypeAdapter(whole)
        except Exception as problem:
            reason = str(problem).split("\n", maxsplit=1)[0]
            raise PluginError(f"{self.__name__}: its parameters can't be described: {reason}") from problem

    def prepared(self) -> SchemaArguments:
        """Return this, with all that checking needs made. Raises PluginError for what can't be checked."""
        _ = self._adapter
        return self

    def model_validate(self, values: Mapping[str, Any]) -> Made:
        """Return checked arguments, with defaults for those not given. Raises pydantic's ValidationError."""
        checked = {**copy.deepcopy(self._defaults), **self._adapter.validate_python(dict(values))}
        return Made({name: checked[name] for name in self.model_fields if name in checked}, self._adapter)

    def __call__(self, **values: Any) -> Made:
        return self.model_validate(values)

    def model_json_schema(self) -> dict[str, Any]:
        """Return the schema."""
        return without_marks(self._schema)


class _Reading:
    """Turns one schema into annotations. One with too many parts, or too many within each other, is cut there."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._open: list[str] = []
        self._parts = self._depth = 0

    def hint(self, schema: Any) -> Any:
        """Return the annotation of a part; Any for what can't be told."""
        if not isinstance(schema, Mapping) or self._parts >= MOST_PARTS or self._depth >= DEEPEST:
            return Any
        self._parts += 1
        self._depth += 1
        try:
            return self._read(schema)
        finally:
            self._depth -= 1

    def _read(self, schema: Mapping[str, Any]) -> Any:
        if isinstance(reference := schema.get("$ref"), str):
            return self._referred(reference)
        if "const" in schema or "enum" in schema:
            return _one_of([schema["const"]] if "const" in schema else _listed(schema["enum"]))
        for several in ("anyOf", "oneOf"):
            if options := _listed(schema.get(several)):
                return _union([self.hint(option) for option in options])
        if whole := _listed(schema.get("allOf")):
            return self.hint(self._joined(schema, whole))
        return self._typed(schema)

    def _referred(self, reference: str) -> Any:
        if reference in self._open:
            return Any  # it holds itself
        self._open.append(reference)
        try:
            return self.hint(self._found(reference))
        finally:
            self._open.pop()

    def _found(self, reference: str) -> Any:
        if not reference.startswith("#"):
            return None
        found: Any = self._root
        for part in reference.removeprefix("#").strip("/").split("/"):
            if part:
                found = _plain(found).get(part.replace("~1", "/").replace("~0", "~"))
        return found

    def _joined(self, schema: Mapping[str, Any], whole: list[Any]) -> dict[str, Any]:
        joined = {key: value for key, value in schema.items() if key != "allOf"}
        for part in whole:
            found = self._found(str(part["$ref"])) if "$ref" in _plain(part) else part
            more = _plain(found)
            both = {**_plain(joined.get("properties")), **properties(more)}
            needed = [*_listed(joined.get("required")), *_listed(more.get("required"))]
            joined |= {**more, "properties": both, "required": needed} if both else more
        return joined

    def _typed(self, schema: Mapping[str, Any]) -> Any:
        kind = schema.get("type")
        if isinstance(kind, list):
            return _union([self._typed({**schema, "type": one}) for one in dict.fromkeys(map(str, kind))])
        if kind is None and "properties" in schema:
            kind = "object"
        if kind == "string":
            plain = DATES.get(str(schema.get("format")))
            return plain or _bounded(str, schema, {**LENGTHS["string"], "pattern": "pattern"})
        if kind in ("integer", "number"):
            return _bounded(PLAIN[kind], schema, BOUNDS)
        if kind == "array":
            inside = self.hint(schema["items"]) if "items" in schema else Any
            return _bounded(list if inside is Any else types.GenericAlias(list, inside), schema, LENGTHS["array"])
        if kind == "object":
            return self._object(schema)
        return PLAIN.get(kind, Any) if isinstance(kind, str) else Any

    def _object(self, schema: Mapping[str, Any]) -> Any:
        others = schema.get("additionalProperties")
        if not properties(schema):
            free = not isinstance(others, Mapping) or not others
            return dict if free else types.GenericAlias(dict, (str, self.hint(others)))
        needed, title = required(schema), str(schema.get("title", ""))
        fields = {name: (self.hint(part), name in needed) for name, part in properties(schema).items()}
        return _shape(title if TITLE.fullmatch(title) else "dict", fields, more=others is not False)


def _shape(name: str, fields: Mapping[str, tuple[Any, bool]], *, more: bool) -> type:
    """Return a type that pydantic takes for a dictionary with these fields, each an annotation and whether it must be.

    `typing.TypedDict` would do, but pydantic wants another one on older Pythons.
    """

    def schema(_: type, _source: Any, handler: Any) -> dict[str, Any]:
        made = {
            key: {"type": "typed-dict-field", "schema": handler.generate_schema(hint), "required": needed}
            for key, (hint, needed) in fields.items()
        }
        config = {"coerce_numbers_to_str": True}
        return {
            "type": "typed-dict",
            "fields": made,
            "extra_behavior": "allow" if more else "forbid",
            "config": config,
        }

    return types.new_class(name, (), {}, lambda body: body.update(__get_pydantic_core_schema__=classmethod(schema)))


def _one_of(values: list[Any]) -> Any:
    if not values or not all(value is None or isinstance(value, (str, bool, int)) for value in values):
        return Any
    return Literal[tuple(values)]


def _union(hints: Iterable[Any]) -> Any:
    known = list(hints)
    return Any if not known or Any in known else Union[tuple(known)]  # noqa: UP007 - made of a list


def _bounded(kind: Any, schema: Mapping[str, Any], names: Mapping[str, str]) -> Any:
    found = {name: _bound(name, schema.get(key), whole=kind is int) for name, key in names.items()}
    bounds = {name: bound for name, bound in found.items() if bound is not None}
    if not bounds:
        return kind
    from pydantic import Field

    return Annotated[kind, Field(**bounds)]


def _bound(name: str, value: Any, *, whole: bool) -> Any:
    """Return a bound that can be kept; None for what is written wrongly, or only others understand: it bounds nothing.

    `whole` is for bounds of integers.
    """
    if name == "pattern":
        return value if isinstance(value, str) and _matcher(value) is not None else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if name.endswith("_length"):
        return value if isinstance(value, int) and 0 <= value <= sys.maxsize else None
    if not abs(value) <= sys.float_info.max or (whole and value != int(value)):  # as nothing is that is not a number
        return None
    if name == "multiple_of" and value <= 0:
        return None
    return int(value) if whole else value


def fits(pattern: str, text: str) -> bool:
    """Tell whether the whole text matches a regular expression, in any case; in linear time where `compiles` holds."""
    matcher = _matcher(f"^(?i:{pattern})$")
    if matcher is None:
        return re.fullmatch(pattern, text, re.IGNORECASE) is not None
    from pydantic import ValidationError

    try:
        matcher.validate_python(text)
    except ValidationError:
        return False
    return True


def compiles(pattern: str) -> bool:
    """Tell whether a regular expression is one that is matched in linear time, whatever it says."""
    return _matcher(f"^(?i:{pattern})$") is not None


@functools.lru_cache(maxsize=256)
def _matcher(pattern: str) -> Any:
    """Return what matches a pattern by a machine without backtracking; None for what that does not understand."""
    from pydantic import Field, TypeAdapter

    try:
        return TypeAdapter(Annotated[str, Field(pattern=pattern)])
    except Exception:
        return None


def _marked(hint: Any, part: Any) -> Any:
    marks = _plain(_plain(part).get(MARKS))
    if isinstance(suffixes := marks.get("file"), list):
        hint = Annotated[hint, File(*map(str, suffixes))]
    if isinstance(expression := marks.get("pattern"), str):
        hint = Annotated[hint, Pattern(expression)]
    if isinstance(name := marks.get("service"), str):
        hint = Annotated[hint, ServiceName(name)]
    return hint


def _plain(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []
