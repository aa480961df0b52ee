"""Reads YAML without surprises, and notes where each value stands.

YAML 1.2: `no` is a word, dates are text. A key may come once, what aliases multiply is counted, `<<` takes over keys of
other mappings, and whatever a person can't have meant (tags, keys that are no words) is told with its place.
"""

from __future__ import annotations

import functools
import math
from typing import Any

MAX_NODES = 20_000
MAX_DEPTH = 40
MERGE = "<<"
KNOWN_TAGS = frozenset({"str", "int", "float", "bool", "null", "seq", "map", "timestamp", "merge", "value"})
LIST, MAPPING = "SequenceNode", "MappingNode"
Path = tuple[str | int, ...]


class NotYaml(Exception):
    """A text cannot be read at all; the message is one line with its place."""


class YamlReader:
    """Turns one YAML text into plain values.

    `places` has (line, column) of each path, from 1; `problems` has one line for each mistake.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._count = 0
        self._within: list[int] = []
        self.places: dict[Path, tuple[int, int]] = {}
        self.problems: list[str] = []

    def value_of(self, text: str) -> Any:
        """Return the value of a whole text. Raises NotYaml."""
        node = self._composed(text)
        if node is None:
            raise NotYaml(f"{self._file}: the file is empty")
        return self._value(node, ())

    def _composed(self, text: str) -> Any:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import MarkedYAMLError, YAMLError

        reader = YAML(typ="safe", pure=True)
        reader.Scanner = _shallow()
        try:
            return reader.compose(text)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
            said = str(error.problem or error.context or error).split("\n")[0].strip()
            raise NotYaml(f"{self._file}{where}: this is no YAML: {_said(said)}") from None
        except RecursionError:
            raise NotYaml(f"{self._file}: it is nested too deeply; {MAX_DEPTH} levels are allowed") from None
        except (YAMLError, ValueError) as error:
            where = _line_of(text, getattr(error, "position", None))
            raise NotYaml(f"{self._file}{where}: this is no YAML: {str(error).splitlines()[0]}") from None

    def _value(self, node: Any, path: Path) -> Any:
        self._count += 1
        if id(node) in self._within:
            raise NotYaml(f"{self._at(node)}: what an alias stands for contains the alias")
        if self._count > MAX_NODES or len(path) > MAX_DEPTH:
            limits = f"{MAX_NODES:,} values, or {MAX_DEPTH} levels"
            raise NotYaml(f"{self._at(node)}: it holds more than {limits}")
        self.places.setdefault(path, _place(node))
        kind, tag = type(node).__name__, str(node.tag).rpartition(":")[2]
        if tag not in KNOWN_TAGS:
            self.problems.append(f"{self._at(node)}: the tag `{_tag(node)}` means nothing here; leave it out")
            return None
        if kind not in {LIST, MAPPING}:
            return self._scalar(node, tag)
        self._within.append(id(node))
        value = self._mapping(node, path) if kind == MAPPING else self._list(node, path)
        self._within.pop()
        return value

    def _list(self, node: Any, path: Path) -> list[Any]:
        return [self._value(part, (*path, n)) for n, part in enumerate(node.value)]

    def _mapping(self, node: Any, path: Path) -> dict[str, Any]:
        made: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if type(key_node).__name__ in {LIST, MAPPING}:
                self._no_word(key_node)
                continue
            key = str(key_node.value)
            here = (*path, key)
            if key == MERGE:
                merged = {**self._merged(value_node, path), **merged}
                continue
            if key in made:
                self.problems.append(f"{self._at(key_node)}: the key '{key}' is there twice")
                continue
            self.places[here] = _place(key_node)
            made[key] = self._value(value_node, here)
        return {**merged, **made}

    def _merged(self, node: Any, path: Path) -> dict[str, Any]:
        """Return the keys that `<<` takes over: of a mapping, or of several, the first one first."""
        nodes = node.value if type(node).__name__ == LIST else [node]
        found: dict[str, Any] = {}
        for one in nodes:
            if type(one).__name__ != MAPPING:
                self.problems.append(f"{self._at(node)}: `<<` takes over the keys of a mapping, such as `<<: *name`")
                return found
            found = {**self._value(one, path), **found}
        return found

    def _no_word(self, key_node: Any) -> None:
        said = "a key must be a word"
        if type(key_node).__name__ == MAPPING:
            said = 'a template needs quotes around it: "{{ … }}"'
        self.problems.append(f"{self._at(key_node)}: {said}")

    def _scalar(self, node: Any, tag: str) -> Any:
        value = _plain(str(node.value), tag)
        if isinstance(value, float) and not math.isfinite(value):
            self.problems.append(f"{self._at(node)}: {node.value} is no number that can be worked with")
        if isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
            self.problems.append(f"{self._at(node)}: this text holds half a character (\\ud800 to \\udfff)")
        return value

    def _at(self, node: Any) -> str:
        line, column = _place(node)
        return f"{self._file}:{line}:{column}"


@functools.cache
def _shallow() -> type:
    """Return the library's scanner, bounded: it looks far ahead, and each open bracket slows down each look."""
    from ruamel.yaml.scanner import Scanner

    class Shallow(Scanner):
        def save_possible_simple_key(self) -> None:
            if len(self.flow_context) > MAX_DEPTH:
                raise RecursionError
            super().save_possible_simple_key()

    return Shallow


def _plain(text: str, tag: str) -> Any:
    try:
        if tag == "int":
            return int(text.replace("_", ""), 0)
        if tag == "float":
            return float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan").replace(".NaN", "nan"))
    except ValueError:
        return text
    if tag == "bool":
        return text.lower() == "true"
    return None if tag == "null" else text


def _place(node: Any) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _tag(node: Any) -> str:
    return str(node.tag).replace("tag:yaml.org,2002:", "!!")


def _said(problem: str) -> str:
    problem = problem.removesuffix(" in")
    if problem.startswith("found character '\\t'"):
        return "a tab; lines are set in with spaces"
    if problem == "but found another document":
        return "a second document (`---`); one file is one pipeline"
    return problem


def _line_of(text: str, position: int | None) -> str:
    if position is None:
        return ""
    before = text[:position]
    return f":{before.count(chr(10)) + 1}:{position - (before.rfind(chr(10)) + 1) + 1}"
