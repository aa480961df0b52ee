"""Texts with entities, measured as Telegram measures them (UTF-16 units)."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Any

LIMIT = 4096
MOST_ENTITIES = 100
CONTINUES = " …"
# Bidirectional controls, zero-width characters and the like: they can make a text read other than it is.
HIDDEN = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]")


@dataclass(frozen=True, slots=True)
class Text:
    """A text of at most 4096 units and its entities as the Bot API takes them."""

    text: str
    entities: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A file to be sent, made here rather than found in a workspace."""

    name: str
    data: bytes
    caption: str = ""


Part = Text | Document


def width(text: str) -> int:
    """Return the length in UTF-16 units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def columns(text: str) -> int:
    """Return how many columns a monospaced font needs; East Asian wide characters need two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else not unicodedata.combining(char) for char in text)


def clean(text: str) -> str:
    """Return the text without half surrogates and NUL, which can't be sent."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\0", "")


def plain_words(text: str) -> str:
    """Return the text with nothing in it that hides or reorders characters, for what a person consents to."""
    return HIDDEN.sub("", clean(text))


def cut(text: str, units: int) -> str:
    """Return the text, shortened to at most `units` with a visible mark when something is missing."""
    if width(text) <= units:
        return text
    room = units - width(CONTINUES)
    data = text.encode("utf-16-le", "surrogatepass")[: room * 2]
    return data.decode("utf-16-le", "ignore").rstrip() + CONTINUES


class Writer:
    """Builds a Text piece by piece, counting offsets."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._entities: list[dict[str, Any]] = []
        self._at = 0

    @property
    def size(self) -> int:
        """The length so far, in UTF-16 units."""
        return self._at

    def add(self, text: str, *kinds: str) -> Writer:
        """Append `text`, marked with entities of these kinds (`bold`, `italic`, `pre`, …)."""
        text = clean(text)
        if text.strip():
            self._entities += [{"type": kind, "offset": self._at, "length": width(text)} for kind in kinds]
        self._pieces.append(text)
        self._at += width(text)
        return self

    def line(self, text: str, *kinds: str) -> Writer:
        """Append `text` on a line of its own; an empty text adds no line."""
        if self._at and text:
            self.add("\n")
        return self.add(text, *kinds)

    def build(self) -> Text:
        """Return the whole as one sendable text: never empty, never too long."""
        return fitted("".join(self._pieces), self._entities)


def fitted(text: str, entities: list[dict[str, Any]]) -> Text:
    """Return a sendable text: outer white space and whatever does not fit is gone, and the entities follow."""
    stripped = text.lstrip()
    gone = width(text) - width(stripped)
    kept = cut(stripped.rstrip(), LIMIT) or CONTINUES.strip()
    end = width(kept)
    moved = []
    for entity in entities:
        start = max(entity["offset"] - gone, 0)
        stop = min(entity["offset"] + entity["length"] - gone, end)
        if stop > start:
            moved.append({**entity, "offset": start, "length": stop - start})
    return Text(kept, tuple(nested(moved)[:MOST_ENTITIES]))


def nested(entities: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the entities so that each two are apart or one inside the other: what crosses an end is cut there."""
    left = sorted(entities, key=lambda mark: (mark["offset"], -mark["length"]))
    found: list[dict[str, Any]] = []
    while left:
        mark = left.pop(0)
        end = mark["offset"] + mark["length"]
        ends = (one["offset"] + one["length"] for one in found)
        crossed = min((at for at in ends if mark["offset"] < at < end), default=end)
        found.append({**mark, "length": crossed - mark["offset"]})
        if crossed < end:
            left.append({**mark, "offset": crossed, "length": end - crossed})
            left.sort(key=lambda mark: (mark["offset"], -mark["length"]))
    return found
