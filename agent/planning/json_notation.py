"""Plans in JSON, for models that do not manage the lines: read step by step while the text arrives.

`{"title": "…", "steps": [{…}, …]}`, a bare list of steps, or one step per line; `{"answer": "…"}` is a direct answer.
The keys of a step are those of PlanStep, with `type`, `after` and `tools` for step_type, depends_on and allowed_tools.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from typing import Any

from agent.domain.plan import PlanStep
from agent.planning.lines import build_step
from agent.planning.reads import (
    MAX_LINE,
    MAX_NESTING,
    AnswerText,
    End,
    Read,
    ReadStep,
    Refused,
    Title,
    Unreadable,
    shortened,
)
from agent.planning.values import Cursor, no_bare_words, read_value, storable

_ALIASES = {
    "type": "step_type",
    "after": "depends_on",
    "dependencies": "depends_on",
    "tools": "allowed_tools",
    "arguments": "args",
}
_KEYS = frozenset(PlanStep.model_fields) - {"status", "pipe"}
_LISTS = {"depends_on", "allowed_tools", "options", "outputs"}
_STEPS_BEGIN = re.compile(r"\"(?:steps|plan)\"\s*:\s*\[$")
_TITLE = re.compile(r"\"title\"\s*:\s*(\"(?:[^\"\\]|\\.)*\")")
_ID = re.compile(r"\"id\"\s*:\s*\"([A-Za-z][\w-]{0,63})\"")
_STRUCTURE = re.compile(r"[\"{}\[\]]")
_STRING_PART = re.compile(r"[\"\\]")
_TOO_LONG = f"the step is longer than {MAX_LINE} characters"


def begins_json(text: str) -> bool | None:
    """Say whether a line begins a JSON plan; None when more text is needed to tell."""
    start = text.lstrip("\ufeff \t\r\n")
    rest = start[1:].lstrip()
    if not start or (start[0] in "{[" and not rest):
        return None
    return (start[0] == "{" and rest[0] in '"}') or (start[0] == "[" and rest[0] in "{]")


_NUMBERED = re.compile(r"\{\{([ \t]{0,8})(\d{1,6})(?=\.(?:output|text|files)\b)")
"""A reference to a numbered step: `{{ 1.output }}` means `{{ s1.output }}`."""


def step_from_json(value: object) -> PlanStep:
    """Return the step that a parsed JSON object describes. Raises Unreadable with the reason."""
    if not isinstance(value, dict):
        raise Unreadable("a step must be a JSON object")
    fields = {_ALIASES.get(str(key), str(key)): _clean(part, 0) for key, part in value.items() if key != "status"}
    for key in sorted(fields.keys() - _KEYS):
        near = difflib.get_close_matches(key, [*_KEYS, *_ALIASES], 1)
        raise Unreadable(f"unknown key {key[:40]!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    for key in _LISTS & fields.keys():
        fields[key] = _as_tuple(fields[key], ids=key == "depends_on")
    fields["id"] = _lettered(fields.get("id"))
    return build_step({key: part for key, part in fields.items() if part is not None})


def _as_tuple(value: Any, *, ids: bool) -> tuple[Any, ...]:
    items = value if isinstance(value, list) else [] if value in (None, "") else [value]
    return tuple(_lettered(item) if ids else item for item in items)


def _lettered(step_id: Any) -> Any:
    """Return `s1` for 1 and "1": models that number their steps mean the same everywhere."""
    digits = str(step_id) if isinstance(step_id, (int, str)) and not isinstance(step_id, bool) else ""
    return f"s{digits}" if digits.isascii() and digits.isdigit() else step_id


def _clean(value: Any, depth: int) -> Any:
    if depth > MAX_NESTING:
        raise Unreadable(f"lists and dictionaries may be nested {MAX_NESTING} levels deep")
    if isinstance(value, str):
        return _NUMBERED.sub(r"{{\1s\2", storable(value))
    if isinstance(value, float) and not math.isfinite(value):
        raise Unreadable("a number is too large")
    if isinstance(value, list):
        return [_clean(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {storable(key): _clean(item, depth + 1) for key, item in value.items()}
    return value


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError) as error:
        # Python's spelling and a comma too many are read too.
        reason = f"this is no JSON: {error}"
    try:
        return no_bare_words(read_value(Cursor(text)))
    except Unreadable:
        raise Unreadable(reason) from None


def _id_in(text: str) -> str:
    match = _ID.search(text[:2000])
    return match[1] if match else ""


class JsonReader:
    """Follows brackets and strings, and reads each step's object when it closes. Linear in the text.

    A closing bracket closes whatever is open: a wrong one shows when the object is parsed.
    """

    def __init__(self) -> None:
        self._stack: list[str] = []
        self._in_string = False
        self._escaped = False
        self._record: list[str] | None = None
        self._recorded = 0
        self._level = 0
        self._wrapped = False
        self._titled = False
        self._ended = False
        self._loose_steps = 0

    def feed(self, text: str) -> list[Read]:
        """Take the next piece and return what became complete with it."""
        reads: list[Read] = []
        at, mark = int(self._escaped and bool(text)), 0
        self._escaped = self._escaped and not text
        while not self._ended and (match := (_STRING_PART if self._in_string else _STRUCTURE).search(text, at)):
            at = match.end()
            if match[0] == "\\":
                self._escaped = at == len(text)
                at += 1
            elif match[0] == '"':
                self._in_string = not self._in_string
            elif match[0] in "{[":
                mark = self._opened(text, match, mark, reads)
            else:
                mark = self._closed(text, at, mark, reads)
        return reads + self._kept(text[mark:])

    def _opened(self, text: str, match: re.Match[str], mark: int, reads: list[Read]) -> int:
        bracket = match[0]
        if bracket == "{" and (not self._stack or self._stack == ["["] or (self._wrapped and len(self._stack) == 2)):
            self._record, self._recorded, self._level = [], 0, len(self._stack)
            mark = match.start()
        elif bracket == "[" and self._stack == ["{"] and self._record is not None:
            self._unwrap("".join(self._record) + text[mark : match.end()], reads)
        self._stack.append(bracket)
        return mark

    def _unwrap(self, beginning: str, reads: list[Read]) -> None:
        if _STEPS_BEGIN.search(beginning[-80:]):
            self._wrapped, self._record = True, None
            reads += self._found_title(beginning)

    def _found_title(self, text: str) -> list[Read]:
        match = _TITLE.search(text[:4000])
        if self._titled or match is None:
            return []
        self._titled = True
        return [Title(storable(str(_parsed(match[1]))))]

    def _closed(self, text: str, at: int, mark: int, reads: list[Read]) -> int:
        if self._stack:
            self._stack.pop()
        if self._record is not None and len(self._stack) == self._level:
            whole, self._record = "".join(self._record) + text[mark:at], None
            reads += self._found_title(whole) if self._wrapped and not self._level else self._object(whole)
        if not self._stack and (self._wrapped or text[at - 1] == "]"):
            self._ended = True
            reads.append(End())
        elif self._wrapped and self._stack == ["{"] and self._record is None:
            self._record, self._recorded, self._level = [], 0, 0
            return at
        return mark

    def _object(self, text: str) -> list[Read]:
        self._loose_steps += not self._stack
        if len(text) > MAX_LINE:
            return [Refused(shortened(text), _TOO_LONG, _id_in(text))]
        try:
            value = _parsed(text)
            if isinstance(value, dict) and not self._level and isinstance(value.get("answer"), str):
                return [AnswerText(storable(value["answer"]))]
            if isinstance(value, dict) and value.keys() == {"title"} and not self._titled:
                return [Title(storable(str(value["title"])))]
            if isinstance(value, dict) and value.keys() == {"end"}:
                self._ended = True
                return [End()]
            return [ReadStep(step_from_json(value), text)]
        except Unreadable as error:
            return [Refused(shortened(text), str(error), _id_in(text))]

    def _kept(self, rest: str) -> list[Read]:
        if self._record is None or self._ended:
            return []
        self._record.append(rest)
        self._recorded += len(rest)
        if self._recorded <= MAX_LINE:
            return []
        text, self._record = "".join(self._record)[:400], None
        return [Refused(shortened(text), _TOO_LONG, _id_in(text))]

    def close(self) -> list[Read]:
        """Refuse a step that was broken off. Steps on lines of their own have no end but that of the text."""
        if self._ended:
            return []
        if self._stack or self._in_string:
            text = "".join(self._record or [])
            return [Refused(shortened(text), "the JSON breaks off in the middle")] if text.strip(" ,\n") else []
        return [End()] if self._loose_steps else []
