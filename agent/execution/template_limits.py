"""Limits of templates: what could make much out of little is measured before it is done, or counted meanwhile."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from jinja2.runtime import Undefined

MAX_TEXT = 1_000_000
MAX_ITEMS = 1_000_000
MAX_CHARACTERS = 50_000_000
MAX_RANGE = 10_000
MAX_BITS = 4_096
MAX_DEPTH = 60


class Spent(Exception):
    """A limit of this module held."""


class Opaque:
    """What a template may enter or call, but not hand over as a value."""

    __slots__ = ()


def measure(operator: str, left: Any, right: Any) -> None:
    """Refuse an operation that makes much out of little."""
    sized = isinstance(left, (str, list, tuple)), isinstance(right, (str, list, tuple))
    if operator == "%" and isinstance(left, str):
        raise Spent("text is put together with `~`, not with `%`")
    if operator == "+" and all(sized) and len(left) + len(right) > MAX_TEXT:
        raise Spent(f"it makes more than {MAX_TEXT:,} characters or entries")
    if operator == "*" and any(sized):
        text, times = (left, right) if sized[0] else (right, left)
        if not isinstance(text, str):
            raise Spent("a list cannot be multiplied")
        if isinstance(times, int) and len(text) * times > MAX_TEXT:
            raise Spent(f"it makes more than {MAX_TEXT:,} characters")
    if operator in {"*", "**"} and isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * max(right, 0) if operator == "**" else left.bit_length() + right.bit_length()
        if bits > MAX_BITS:
            raise Spent("it makes too large a number")


def as_text(value: Any) -> Any:
    """Return a value as the text that stands for it; a container is measured before it is written out."""
    if isinstance(value, (Mapping, list, tuple)):
        return str(plain(value))
    return value if isinstance(value, Undefined) else str(value)


def measured(value: Any) -> Any:
    """Return a container as it is. Raises when it holds, written out, more than it should."""
    plain(value, strict=False)
    return value


def concat(parts: Iterable[Any]) -> str:
    """Return the parts as one text: what `~` does."""
    texts = [str(as_text(part)) for part in parts]
    if sum(map(len, texts)) > MAX_TEXT:
        raise Spent(f"it makes more than {MAX_TEXT:,} characters")
    return "".join(texts)


def join(value: Iterable[Any], d: str = "", attribute: str | None = None) -> str:
    """Return the parts of a list (or one field of each) as one text."""
    found = [part.get(attribute) if isinstance(part, Mapping) else part for part in value] if attribute else value
    texts = [str(as_text(part)) for part in found]
    if sum(map(len, texts)) + len(d) * len(texts) > MAX_TEXT:
        raise Spent(f"it makes more than {MAX_TEXT:,} characters")
    return d.join(texts)


def replace(text: str, old: str, new: str, count: int = -1) -> str:
    """Return the text with one part in place of another, `count` times at most."""
    text, old, new = str(text), str(old), str(new)
    times = text.count(old) if count < 0 else min(count, text.count(old))
    if len(text) + times * len(new) > MAX_TEXT:
        raise Spent(f"it makes more than {MAX_TEXT:,} characters")
    return text.replace(old, new, count)


def add_up(value: Iterable[Any], attribute: str | None = None, start: float = 0) -> Any:
    """Add numbers; adding lists up would make a long one out of a short one."""
    total = start
    for part in value:
        number = part.get(attribute) if attribute is not None and isinstance(part, Mapping) else part
        if not isinstance(number, (int, float)):
            raise Spent(f"`sum` adds numbers; {str(number)[:40]!r} is none")
        total += number
    return total


def rounded(value: float, precision: int = 0, method: str = "common") -> float:
    """Return the number rounded: `common`, `ceil` or `floor`."""
    if not -20 <= precision <= 20:
        raise Spent("`round` takes a precision from -20 to 20")
    if method == "common":
        return round(value, precision)
    factor = 10**precision
    return float((math.ceil if method == "ceil" else math.floor)(value * factor) / factor)


def to_json(value: Any) -> str:
    """Return the value as JSON."""
    return json.dumps(plain(value), ensure_ascii=False)


def bounded_range(*bounds: int) -> range:
    """Return a range of a bounded length."""
    made = range(*bounds)
    if len(made) > MAX_RANGE:
        raise Spent(f"`range` goes to {MAX_RANGE:,} at most, not {len(made):,}")
    return made


def plain(value: Any, *, strict: bool = True) -> Any:
    """Return a value in JSON's own types. Raises for what is undefined, too much or (`strict`) of another type."""
    return _Plain(strict=strict).value(value, 0)


class _Plain:
    """Copies a value and counts what it is made of: one list that is named a thousand times counts a thousand times."""

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict
        self._entries = 0
        self._characters = 0

    def value(self, value: Any, depth: int) -> Any:
        self._entries += 1
        if self._entries > MAX_ITEMS:
            raise Spent(f"it makes more than {MAX_ITEMS:,} entries")
        if depth > MAX_DEPTH:
            raise Spent(f"its value is nested more than {MAX_DEPTH} levels deep")
        if isinstance(value, str):
            self._characters += len(value)
            if self._characters > MAX_CHARACTERS:
                raise Spent(f"it makes more than {MAX_CHARACTERS:,} characters")
            return str(value)
        if isinstance(value, Mapping):
            return {str(key): self.value(part, depth + 1) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(part, depth + 1) for part in value]
        return self._other(value, depth) if self._strict else value

    def _other(self, value: Any, depth: int) -> Any:
        if isinstance(value, Undefined):
            str(value)  # raises, with its name
        if value is None or isinstance(value, (int, float, bool)):
            return value
        if isinstance(value, (dt.datetime, dt.date)):
            return value.isoformat()
        if isinstance(value, Opaque):
            raise Spent("name what is wanted of it, such as `steps.first.output`")
        if isinstance(value, Iterable):
            return [self.value(part, depth + 1) for part in value]
        raise Spent(f"its value is a {type(value).__name__}, which is no JSON value")
