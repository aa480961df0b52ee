"""What a document says about a word, and how long it is."""

from __future__ import annotations

import re

from plugins.api import Output, ToolFailure
from plugins.documents.reading import whole_text

MOST_HITS = 50
AROUND = 240


def search(name: str, wanted: str) -> Output:
    """Answer with the passages that hold the text, in any case and with any blanks between its words."""
    if not wanted.strip():
        raise ToolFailure("The text to look for is empty.", hint="Say for example: find rent in lease.pdf.")
    text = whole_text(name)
    pattern = re.compile(r"\s+".join(map(re.escape, wanted.split())), re.IGNORECASE)
    passages = [" ".join(part.split()) for part in re.split(r"\n\s*\n|(?<=[.!?])\s+(?=[A-ZÄÖÜ])|\n(?=[-*•|#])", text)]
    hits = [_cut(passage, found) for passage in passages if (found := pattern.search(passage))]
    if not hits:
        return Output([], f"{name} does not mention {wanted.strip()!r}.")
    shown = hits[:MOST_HITS]
    times = "once" if len(hits) == 1 else f"in {len(hits):,} passages"
    lines = [f"{name} mentions {wanted.strip()!r} {times}:", "", *(f"- {hit}" for hit in shown)]
    more = [f"… and {len(hits) - MOST_HITS:,} more"] if len(hits) > MOST_HITS else []
    return Output(shown, "\n".join(lines + more))


def _cut(passage: str, found: re.Match[str]) -> str:
    start, end = max(found.start() - AROUND, 0), found.end() + AROUND
    return f"{'…' if start else ''}{passage[start:end]}{'…' if end < len(passage) else ''}"


def count(name: str) -> Output:
    """Answer with words, lines and characters."""
    text = whole_text(name)
    words, lines, characters = len(text.split()), len(text.splitlines()), len(text)
    said = f"{name} has {_many(words, 'word')}, {_many(lines, 'line')} and {_many(characters, 'character')}."
    return Output({"words": words, "lines": lines, "characters": characters}, said)


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
