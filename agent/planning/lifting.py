"""What a plan took from the words of a request: file names, numbers, dates, quotes, addresses, names of columns.

Each becomes an input with a type, a name and its old value as the default; the same value in several places is one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.domain.inputs import InputSpec, InputType, convert
from agent.domain.references import REFERENCE
from agent.planning.vocabulary import NUMBERS

LONGEST = 2_000
MANY = 12
NAME_CHARS = 30
DIGITS = 3  # a shorter number within a text may stand there for any reason
_QUOTED = re.compile(r"[\"“„«]([^\"“”„«»\n]{1,500})[\"”“»]|(?<!\w)'([^'\n]{1,500})'(?!\w)|`([^`\n]{1,500})`")
_KINDS = (
    ("url", re.compile(r"https?://[^\s<>\"'`]{1,500}[^\s<>\"'`.,;:!?)\]]")),
    ("email", re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}")),
    ("date", re.compile(r"(?<![\w-])\d{4}-\d{2}-\d{2}(?![\w-])")),
    ("file", re.compile(r"(?<![\w/@:])[\w\-.~/]{0,200}[\w\-)]\.[A-Za-z][A-Za-z0-9]{0,7}(?![\w@/])")),
    ("number", re.compile(r"(?<![\w.,-])-?\d{1,15}(?:[.,]\d{1,9})*(?![\w%]|[.,]\d)")),
)
_BETTER = {"path": "file", "files": "file", "source": "file", "y": "value", "x": "by", "items": "entries"}
_RESERVED = {"items", "keys", "values", "get"}
_NOT_IN_A_NAME = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Literal:
    """Something that the request names, as it stands there."""

    text: str
    kind: str

    @property
    def name(self) -> str:
        """What an input that holds it is called when no parameter says it better."""
        if self.kind == "number" and re.fullmatch(r"(?:19|20)\d\d", self.text):
            return "year"
        return {"quoted": "text"}.get(self.kind, self.kind)


def literals(request: str) -> list[Literal]:
    """Return what a request names literally, longest first; nothing that stands within something else."""
    found: list[tuple[int, int, Literal]] = []
    for match in _QUOTED.finditer(request):
        said = next(group for group in match.groups() if group is not None)
        kind = next((name for name, pattern in _KINDS if pattern.fullmatch(said)), "quoted")
        found.append((match.start(), match.end(), Literal(said, kind)))
    for kind, pattern in _KINDS:
        for match in pattern.finditer(request):
            if not any(start < match.end() and match.start() < end for start, end, _ in found):
                found.append((match.start(), match.end(), Literal(match[0], kind)))
    unique = {literal.text: literal for _, _, literal in found if literal.text.strip()}
    return sorted(unique.values(), key=lambda literal: (-len(literal.text), literal.text))


@dataclass(slots=True)
class Lifting:
    """Collects inputs while the arguments of a plan are gone through.

    `made` are files that the plan itself makes; `fixed` are names of inputs that stay as they are; what stands in
    `kept` is a promise of a step and stays too.
    """

    request: str
    made: Collection[str] = ()
    fixed: Collection[str] = ()
    kept: Collection[str] = ()
    inputs: dict[str, InputSpec] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)
    _literals: list[Literal] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._literals = [one for one in literals(self.request) if one.text not in self.kept]

    # --- whole values -------------------------------------------------------------------------------------------
    def whole(self, value: Any, parameter: str, kind: str) -> str:
        """Return the name of the input that a whole argument becomes; "" when it stays, at least as a whole.

        `kind` is that of the parameter: file, int, number, bool, choice, url or text.
        """
        if isinstance(value, bool) or value is None or kind in {"bool", "choice"} or value in ("", [], {}):
            return ""
        if isinstance(value, (int, float)):
            return self._input(value, parameter, _number_type(value)) if self._counts(value) else ""
        if isinstance(value, list):
            return self._input(value, parameter, InputType.LIST) if kind != "file" and self._lists(value) else ""
        fixed = not isinstance(value, str) or REFERENCE.search(value) or value in self.kept or len(value) > LONGEST
        return "" if fixed else self._whole_text(value, parameter, kind)

    def _whole_text(self, value: str, parameter: str, kind: str) -> str:
        if kind == "file":
            return self._input(value, parameter, InputType.TEXT if value in self.made else InputType.FILE)
        literal = next((one for one in self._literals if one.text == value), None)
        if literal is not None:
            return self._input(value, parameter, InputType.DATE if literal.kind == "date" else InputType.TEXT)
        inside = any(_within(one.text, value) for one in self._literals if _embeds(one))
        return self._input(value, parameter, InputType.TEXT) if not inside and self._names_it(value) else ""

    def _lists(self, value: list[Any]) -> bool:
        return 1 < len(value) <= MANY and all(isinstance(part, str) and self._names_it(part) for part in value)

    def _names_it(self, value: str) -> bool:
        """Say whether the request has these words, as words."""
        return len(value) > 1 and value.casefold() != self.request.strip().casefold() and _within(value, self.request)

    def _counts(self, value: float) -> bool:
        words = {word for word in re.findall(r"\w+", self.request.casefold()) if NUMBERS.get(word) == value}
        said = (one.text for one in literals(self.request) if one.kind == "number")
        return bool(words) or any(_number(text) == value for text in said)

    # --- within texts -------------------------------------------------------------------------------------------
    def within(self, text: str) -> list[tuple[str, str]]:
        """Split a text into pieces: ("text", …) stays, ("input", name) stands for what the request named."""
        pieces: list[tuple[str, str]] = [("text", text)]
        for literal in self._literals if len(text) < LONGEST * 8 else ():
            if _embeds(literal) and any(kind == "text" and _within(literal.text, part) for kind, part in pieces):
                name = self._embedded(literal)
                pieces = [made for piece in pieces for made in _split(piece, literal.text, name)] if name else pieces
        return [piece for piece in pieces if piece[1]]

    def _embedded(self, literal: Literal) -> str:
        if literal.kind != "number":
            is_file = literal.kind == "file" and literal.text not in self.made
            kind = InputType.FILE if is_file else InputType.DATE if literal.kind == "date" else InputType.TEXT
            return self._input(literal.text, literal.name, kind)
        value = _number(literal.text)
        if value is None or str(value) != literal.text:
            return ""
        return self._input(value, literal.name, _number_type(value))

    # --- inputs -------------------------------------------------------------------------------------------------
    def _input(self, value: Any, wanted: str, kind: InputType) -> str:
        """Return the name of the input with this value, made when there is none; "" for one that stays fixed."""
        key = json.dumps(value, ensure_ascii=False)
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = self._free_name(_BETTER.get(wanted, wanted))
            if name not in self.fixed:
                self.inputs[name] = InputSpec(type=kind, default=convert(InputSpec(type=kind), value))
        elif name in self.inputs and kind is InputType.FILE and value not in self.made:
            self.inputs[name] = InputSpec(type=kind, default=value)
        return name if name in self.inputs else ""

    def _free_name(self, wanted: str) -> str:
        plain = _NOT_IN_A_NAME.sub("_", wanted.lower()).strip("_")[:NAME_CHARS] or "value"
        plain = plain if plain[0].isalpha() and plain not in _RESERVED else f"the_{plain}"
        used = set(self._names.values())
        return next(name for name in _numbered(plain) if name not in used)


def without(text: str, inputs: Mapping[str, InputSpec]) -> str:
    """Return a text for people in which the inputs' values are their names in braces."""
    for name, spec in sorted(inputs.items(), key=lambda item: -len(str(item[1].default))):
        if spec.type is not InputType.LIST and _within(str(spec.default), text):
            text = _pattern(str(spec.default)).sub("{" + name + "}", text)
    return text


def _numbered(name: str) -> Iterable[str]:
    yield name
    yield from (f"{name}_{number}" for number in range(2, 1_000))


def _embeds(literal: Literal) -> bool:
    return literal.kind != "number" or len(literal.text.strip("-")) >= DIGITS


def _number(text: str) -> float | None:
    try:
        value = float(text.replace(",", ""))
    except ValueError:
        return None
    return int(value) if value.is_integer() and "." not in text else value


def _number_type(value: float) -> InputType:
    return InputType.INTEGER if isinstance(value, int) else InputType.NUMBER


def _pattern(text: str) -> re.Pattern[str]:
    before = r"(?<!\w)" if text[:1].isalnum() or text[:1] == "_" else ""
    after = r"(?!\w)" if text[-1:].isalnum() or text[-1:] == "_" else ""
    if text[-1:].isdigit():
        after += r"(?![.,]\d)"
        before += r"(?<!\d[.,])" if text[:1].isdigit() else ""
    return re.compile(before + re.escape(text) + after)


def _within(part: str, text: str) -> bool:
    return bool(part) and part in text and _pattern(part).search(text) is not None


def _split(piece: tuple[str, str], text: str, name: str) -> list[tuple[str, str]]:
    if piece[0] != "text":
        return [piece]
    parts = _pattern(text).split(piece[1])
    made = [("text", parts[0])]
    for part in parts[1:]:
        made += [("input", name), ("text", part)]
    return made
