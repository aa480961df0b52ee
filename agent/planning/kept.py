"""What was made of files is kept while they stay as they were: a file that changes counts from the next use on."""

from __future__ import annotations

import os
import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

MOST = 128
TOO_FRESH_NS = 2_000_000_000  # a file may change twice within one tick of its file system's clock

Mark = tuple[int, ...]
Value = TypeVar("Value")


def mark_of(file: Path) -> Mark | None:
    """Return what tells this version of a file from any other; None when it is not there or was written just now."""
    try:
        seen = os.stat(file)  # noqa: PTH116 - all of it, in one call
    except OSError:
        return None
    if time.time_ns() - max(seen.st_mtime_ns, seen.st_ctime_ns) < TOO_FRESH_NS:
        return None
    return seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns


@dataclass(slots=True)
class Used:
    """The files that something was made of, by the names that they were found under, as they were before."""

    names: dict[str, Path] = field(default_factory=dict)
    marks: dict[Path, Mark | None] = field(default_factory=dict)

    def note(self, name: str, file: Path) -> None:
        """Note a file that is about to be read; "" is the name of one that was not looked up."""
        if name:
            self.names[name] = file
        if file not in self.marks:
            self.marks[file] = mark_of(file)

    def is_same(self, places: Mapping[str, Path]) -> bool:
        """Tell whether the names still lead to the same files, and all of these are as they were."""
        named = all(places.get(name) == file for name, file in self.names.items())
        return named and all(mark is not None and mark_of(file) == mark for file, mark in self.marks.items())


class Kept(Generic[Value]):
    """Values made of files, the newest 128. May be used from several threads."""

    def __init__(self) -> None:
        self._values: dict[Hashable, tuple[Value, Used]] = {}

    def get(self, key: Hashable, places: Mapping[str, Path]) -> Value | None:
        """Return what was made for this key, if it would be made the same now."""
        value, used = self._values.get(key, (None, Used()))
        if value is None or used.is_same(places):
            return value
        self._values.pop(key, None)
        return None

    def put(self, key: Hashable, value: Value, used: Used) -> None:
        """Keep a value, unless a file that it was made of may be changing still."""
        if None in used.marks.values():
            return
        for oldest in list(self._values)[: max(0, len(self._values) - MOST + 1)]:
            self._values.pop(oldest, None)
        self._values[key] = (value, used)
