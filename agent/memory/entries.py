"""Entries of `MEMORY.md`: one line each, such as `- 2026-11-20 [PREF] Answers in German. (user)`.

The label stands in the line, because the file is the store: `(user)` is the person's own word; `(web:…,
untrusted)` was learned from somebody else and never enters a planner's context on its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Ranked as in the specification; what carries no tag is a plain fact and comes last.
TAGS = ("PREF", "DECISION", "CONFIG", "AGREEMENT", "FACT")
LINE = re.compile(r"^- (?P<date>\d{4}-\d\d-\d\d) \[(?P<tag>[A-Z]+)\] (?P<text>.+?)(?: \((?P<source>[^()]*)\))?$")
UNTRUSTED = ", untrusted"


@dataclass(frozen=True, slots=True)
class Entry:
    """One remembered fact. `date` is ISO; `source` names where it came from; `trusted` that a person said it."""

    text: str
    tag: str = "FACT"
    date: str = ""
    source: str = "user"
    trusted: bool = True

    def line(self) -> str:
        """Return the entry as it stands in the file."""
        return f"- {self.date} [{self.tag}] {self.text} ({self.source}{'' if self.trusted else UNTRUSTED})"


def parse(memory_text: str) -> list[Entry]:
    """Return the entries of a memory file. A line without a date or tag counts as a FACT of the person's."""
    return [entry for line in memory_text.splitlines() if (entry := parse_line(line)) is not None]


def parse_line(line: str) -> Entry | None:
    """Return the entry of one line, or None for headings and blank lines."""
    line = line.strip()
    if not line or line.startswith("#"):
        return None
    match = LINE.match(line)
    if match is None:
        text = line.removeprefix("- ").strip()
        return Entry(text) if text else None
    source = match["source"] or "user"
    tag = match["tag"] if match["tag"] in TAGS else "FACT"
    return Entry(match["text"], tag, match["date"], source.removesuffix(UNTRUSTED), not source.endswith(UNTRUSTED))


def clean(text: str) -> str:
    """Return a fact as one line without what could imitate an entry's label."""
    return re.sub(r"\s+", " ", text).strip().replace("(", "[").replace(")", "]").lstrip("-# ")


def ranked(entries: list[Entry]) -> list[Entry]:
    """Return entries by tag (PREF first), newest first within a tag."""
    newest_first = sorted(entries, key=lambda e: e.date, reverse=True)
    return sorted(newest_first, key=lambda e: TAGS.index(e.tag))
