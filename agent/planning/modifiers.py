"""What may hang on to the end of a request: `as a bar chart`, `titled "2026"`, `where region = North`, `to out.png`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.planning.slots import Slot, unquoted, value_of
from agent.planning.vocabulary import MONTH_NAMES, MONTHS

TARGETS = ("path", "to", "save", "output", "target", "filename")
_SAVED = (
    r"[,\s]+(?:(?:and|then|und|et)\s+){0,2}(?:(?:save|store|write|put|export)\s+(?:it|that|this|them|"
    r"the (?:result|rows|chart|picture|text)s?)\s+)?(?:as|to|in|into|nach|als|unter)\s+(⟦\d+⟧)$"
)
_AT_END = (
    (
        _SAVED,
        TARGETS,
    ),
    (
        r"[,\s]+(?:titled|called|with (?:the )?title|entitled|mit dem titel)\s+(\"[^\"]*\"|“[^”]*”|[^\"“]+)$",
        ("title",),
    ),
    (
        r"[,\s]+(?:where|only where|with)\s+(\S+(?:\s\S+)?\s*(?:=|!=|>|<|>=|<=|is|contains)\s*.+)$",
        ("where", "filter"),
    ),
    (r"[,\s]+(?:(?:on|from|in)\s+)?(?:the\s+)?sheet\s+(\S.*)$", ("sheet",)),
    (r"[,\s]+(?:on|from|in)\s+the\s+(\S+)\s+sheet$", ("sheet",)),
)
_PATTERNS = tuple((re.compile(pattern, re.IGNORECASE), names) for pattern, names in _AT_END)
_ASSIGNED = re.compile(r"(?:^|[,\s]+)([A-Za-z_]\w*)\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s,]+)$")
_CHOSEN = re.compile(
    r"[,\s]+(?:as|with|using|als|comme)\s+(?:an?\s+|eine?n?\s+|une?\s+)?([\w ]{2,20}?)"
    r"(?:\s*-?\s*(?:chart|graph|plot|diagram|diagramm|format))?$",
    re.IGNORECASE,
)
_MONTH = re.compile(
    rf"[,\s]+(?:in|for|during|of|im|für|en|pour)\s+(?:the month of\s+)?({'|'.join(MONTHS)})(?:\s+((?:19|20)\d\d))?$",
    re.IGNORECASE,
)
_YEAR = re.compile(r"[,\s]+(?:in|for|during|im jahr|für|en|pour)\s+((?:19|20)\d\d)$", re.IGNORECASE)
_ONLY = re.compile(
    r"[,\s]+(?:for|in|from|für|pour)\s+(?!(?:each|every|all|my|our|it|that|this)\b)(?:the\s+)?"
    r"([^\W\d_][\w-]*)(?:\s+(?:region|only|alone))?$",
    re.IGNORECASE,
)
MAX = 6


@dataclass(frozen=True, slots=True)
class Modified:
    """A text without its modifiers, and the raw values that they give to parameters."""

    text: str
    raw: dict[str, str]


def without_modifiers(text: str, slots: dict[str, Slot]) -> Iterator[Modified]:
    """Take off, from the end and one by one, what sets a parameter of this tool."""
    raw: dict[str, str] = {}
    for _ in range(MAX):
        found = _assigned(text, slots) or _at_end(text, slots) or _chosen(text, slots) or _condition(text, slots)
        if found is None or found[1] in raw:
            break
        text, name, value = found
        raw[name] = value
        yield Modified(text, dict(raw))


def _assigned(text: str, slots: dict[str, Slot]) -> tuple[str, str, str] | None:
    match = _ASSIGNED.search(text)
    if match is None or match[1] not in slots:
        return None
    return text[: match.start()], match[1], unquoted(match[2])


def _at_end(text: str, slots: dict[str, Slot]) -> tuple[str, str, str] | None:
    for pattern, names in _PATTERNS:
        match = pattern.search(text)
        name = _first(names, slots)
        if match and name and slots[name].kind == "text":
            return text[: match.start()], name, unquoted(match[1])
    return None


def _condition(text: str, slots: dict[str, Slot]) -> tuple[str, str, str] | None:
    """Read `in March`, `in 2026` or `for North` as a condition on the rows."""
    if "where" not in slots or slots["where"].required:
        return None
    if month := _MONTH.search(text):
        name = MONTH_NAMES[MONTHS[month[1].lower()] - 1]
        return text[: month.start()], "where", f"{name} {month[2]}" if month[2] else f"month of year = {name}"
    found = _YEAR.search(text) or _ONLY.search(text)
    return (text[: found.start()], "where", found[1]) if found else None


def _first(names: Sequence[str], slots: dict[str, Slot]) -> str:
    return next((name for name in names if name in slots), "")


def _chosen(text: str, slots: dict[str, Slot]) -> tuple[str, str, str] | None:
    match = _CHOSEN.search(text)
    if match is None:
        return None
    fits = [slot.name for slot in slots.values() if slot.kind == "choice" and value_of(slot, match[1]) is not None]
    return (text[: match.start()], fits[0], match[1]) if len(fits) == 1 else None
