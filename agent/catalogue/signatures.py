"""A tool in one line for models: its parameters with their types and defaults."""

from __future__ import annotations

import json
import types
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

if TYPE_CHECKING:
    from plugins.api import ToolSpec

SHOWN = 80
NEEDED = object()  # stands for no default
SHORT_TYPES: dict[Any, str] = {dict: "dict", list: "list", types.NoneType: "None", Any: "any"}


def signature(spec: ToolSpec) -> str:
    """Return the parameters such as `url: str, max_chars: int = 20000`."""
    return ", ".join(_parameter(name, hint, spec.defaults.get(name, NEEDED)) for name, hint in spec.hints.items())


def shown(value: Any) -> str:
    """Return a value as JSON, cut where it is long."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def _parameter(name: str, hint: Any, default: Any) -> str:
    said = f"{name}: {_type(hint)}"
    if default is NEEDED:
        return said
    if default is None:
        return f"{name}: {_type(hint).removesuffix(' | None')} = None"
    return f"{said} = {shown(default)}"


def _type(hint: Any) -> str:
    """Return an annotation in few words: `list[str]`, `line|bar`, `date`."""
    if hasattr(hint, "__metadata__"):
        return _type(hint.__origin__)
    if hint in SHORT_TYPES:
        return SHORT_TYPES[hint]
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:
        # Quotes cost tokens, and a word is a word without them.
        return "|".join(part if isinstance(part, str) and part.isidentifier() else shown(part) for part in parts)
    if origin in {Union, types.UnionType}:
        return " | ".join(_type(part) for part in parts)
    if origin is not None:
        inside = ", ".join(_type(part) for part in parts if part is not ...)
        return f"{_type(origin)}[{inside}]" if origin in {list, set, tuple} and inside else _type(origin)
    return getattr(hint, "__name__", str(hint)).replace("Path", "str")
