"""The values of the compact notation: JSON or Python literals, and references without quotes."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from agent.planning.reads import MAX_NESTING, Unreadable
from agent.planning.references import BARE_REFERENCE, REFERENCE

BLANKS = re.compile(r"[ \t\r\n\u00a0]*")
WORD = re.compile(r"[^\W\d][\w.-]*")
_NUMBER = re.compile(r"-?(?:\d{1,300}(?:\.\d{1,300})?|\.\d{1,300})(?:[eE][+-]?\d{1,4})?(?![\w.])")
_STRINGS = {
    '"': re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL),
    "'": re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL),
    '"""': re.compile(r'"""((?:[^"\\]|\\.|"(?!""))*)"""', re.DOTALL),
    "'''": re.compile(r"'''((?:[^'\\]|\\.|'(?!''))*)'''", re.DOTALL),
}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
_PLAIN_ESCAPES = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "b": "\b",
    "f": "\f",
    "/": "/",
    "\\": "\\",
    '"': '"',
    "'": "'",
    "\n": "",
}
_SURROGATES = re.compile(r"[\ud800-\udbff][\udc00-\udfff]")
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
_CONSTANTS = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}


@dataclass(frozen=True, slots=True)
class BareWord:
    """A word without quotes; allowed only where names are listed."""

    text: str


@dataclass(slots=True)
class Cursor:
    """A place in a text."""

    text: str
    at: int = 0

    def skip(self) -> None:
        """Pass blanks and line ends."""
        match = BLANKS.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def take(self, literal: str) -> bool:
        """Pass the literal if it is next, after blanks."""
        self.skip()
        found = self.text.startswith(literal, self.at)
        self.at += len(literal) * found
        return found

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Pass what the pattern matches here."""
        match = pattern.match(self.text, self.at)
        if match:
            self.at = match.end()
        return match

    def expect(self, literal: str) -> None:
        """Pass the literal or raise Unreadable."""
        if not self.take(literal):
            raise Unreadable(f"expected {literal!r} at {self.near}")

    @property
    def near(self) -> str:
        """What comes next, for a message."""
        rest = self.text[self.at : self.at + 24]
        return repr(rest) if rest.strip() else "the end of the line"


def storable(text: str) -> str:
    """Return the text without NUL and half surrogates, which no database and no chat takes."""
    if not _UNSTORABLE.search(text):
        return text
    joined = _SURROGATES.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)
    return _UNSTORABLE.sub("\ufffd", joined)


def read_string(cursor: Cursor) -> str:
    """Read a quoted string: JSON and Python escapes, three quotes for text of several lines."""
    cursor.skip()
    quote = cursor.text[cursor.at : cursor.at + 3]
    # `""` followed by anything but a third quote is the empty string.
    kind = quote if quote in _STRINGS else quote[:1]
    match = cursor.match(_STRINGS[kind]) if kind in _STRINGS else None
    if match is None:
        raise Unreadable(f"expected text in quotes at {cursor.near}")
    return storable(_unescaped(match[1]))


def _unescaped(raw: str) -> str:
    return _ESCAPE.sub(_escape, raw) if "\\" in raw else raw


def _escape(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] in "ux" and len(code) > 1:
        return chr(int(code[1:], 16))
    # An unknown escape stays as it is written: models write regular expressions and Windows paths.
    return _PLAIN_ESCAPES.get(code, "\\" + code)


def read_value(cursor: Cursor, depth: int = 0) -> Any:
    """Read one value. Raises Unreadable."""
    cursor.skip()
    start = cursor.text[cursor.at : cursor.at + 1]
    if start in {'"', "'"}:
        return read_string(cursor)
    if start == "{":
        return _read_braces(cursor, depth)
    if start == "[":
        return _read_list(cursor, depth)
    return _read_scalar(cursor)


def _read_braces(cursor: Cursor, depth: int) -> Any:
    if not cursor.text.startswith("{{", cursor.at):
        return _read_dictionary(cursor, depth)
    match = cursor.match(REFERENCE)
    if match is None:
        raise Unreadable(f"{cursor.near} is no reference; write {{{{ s1.output.name }}}}, .text or .files[0]")
    return match[0]


def _read_scalar(cursor: Cursor) -> Any:
    number = cursor.match(_NUMBER)
    if number:
        return _number(number[0])
    reference = cursor.match(BARE_REFERENCE)
    if reference:
        return f"{{{{ {reference[0]} }}}}"
    word = cursor.match(WORD)
    if word is None:
        raise Unreadable(f"expected a value at {cursor.near}")
    return _CONSTANTS.get(word[0], BareWord(word[0]))


def _number(text: str) -> int | float:
    if not set(text) & set(".eE"):
        return int(text)
    value = float(text)
    if not math.isfinite(value):
        raise Unreadable(f"the number {text[:20]} is too large")
    return value


def _deeper(depth: int) -> int:
    if depth >= MAX_NESTING:
        raise Unreadable(f"lists and dictionaries may be nested {MAX_NESTING} levels deep")
    return depth + 1


def _read_list(cursor: Cursor, depth: int) -> list[Any]:
    depth = _deeper(depth)
    cursor.expect("[")
    items: list[Any] = []
    while not cursor.take("]"):
        if items:
            cursor.expect(",")
            if cursor.take("]"):
                break
        items.append(read_value(cursor, depth))
    return items


def _read_dictionary(cursor: Cursor, depth: int) -> dict[str, Any]:
    depth = _deeper(depth)
    cursor.expect("{")
    items: dict[str, Any] = {}
    while not cursor.take("}"):
        if items:
            cursor.expect(",")
            if cursor.take("}"):
                break
        key = read_string(cursor)
        cursor.expect(":")
        items[key] = no_bare_words(read_value(cursor, depth))
    return items


def no_bare_words(value: Any) -> Any:
    """Return the value, or raise Unreadable for a word without quotes in it."""
    if isinstance(value, BareWord):
        raise Unreadable(f"put {value.text[:40]!r} in quotes")
    if isinstance(value, list):
        for item in value:
            no_bare_words(item)
    return value
