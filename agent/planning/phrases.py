"""Requests and tools' example phrases: splitting a request into parts, and matching a part with `{slots}`.

A template such as `chart {y} by {x} from {file}` matches whatever stands between its words, if it fits the parameters'
types. Articles don't count, and small words of one meaning (`by`, `per`; `from`, `in`) stand for each other.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.planning.slots import Mentions, Slot, is_pronoun, slots_of
from agent.planning.vocabulary import (
    ARTICLES,
    ASKED,
    ASKING,
    CLASS,
    COMMANDS,
    EMPTY,
    ENDINGS,
    WEAK_STARTS,
    stem,
)
from plugins.api import ToolSpec

_ARTICLE = re.compile(rf"(?:{ARTICLES})\Z", re.IGNORECASE)
_POLITE = re.compile(
    r"^(?:(?:please|pls|hey|hi|hello|ok|okay|now|also|then|and|finally|first|next|afterwards|bitte|dann|und|et|puis|"
    r"can you|could you|would you|will you|i want you to|i'd like you to|i would like you to|i want to|i'd like to|"
    r"i need you to|let's|kannst du|könntest du|peux-tu|pouvez-vous|s'il te plaît)\b[,\s]*)+",
    re.IGNORECASE,
)
_POLITE_END = re.compile(
    r"(?:[\s,]*\b(?:please|pls|bitte|for me|s'il te plaît|s'il vous plaît|thanks|thank you))+\s*$", re.IGNORECASE
)
_LAST_CONNECTOR = re.compile(r"[\s,]+(?:and|und|et|then|also)$", re.IGNORECASE)
_BULLET = re.compile(r"^\s*(?:[-*•]\s+|\d{1,3}[.)]\s+)")
_CONNECTOR = re.compile(
    r"(?:\s*[;\n]\s*(?:[-*•]\s+|\d{1,3}[.)]\s+)?|\s*,\s*|[.!?]\s+|\s+)"
    r"(?:(?:and|und|et)\s+)?"
    r"(?:(?:then|also|afterwards|finally|after that|dann|danach|anschließend|puis|ensuite)\b[,\s]*)?",
    re.IGNORECASE,
)
_STRONG_CONNECTOR = re.compile(
    r"[;\n,]|[.!?]\s|\b(?:and|und|et|then|also|afterwards|finally|dann|danach|puis|ensuite)\b", re.IGNORECASE
)
_QUOTED_PART = re.compile(r"\"[^\"\n]*\"|“[^”\n]*”|„[^“\n]*“|«[^»\n]*»|(?<!\w)'[^'\n]*'(?!\w)|`[^`\n]*`")
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_PLAIN_WORD = re.compile(r"(?<![\w.@/⟦'-])[^\W\d_]+(?![\w.@/⟧'-]*[\w@/⟧])")
_SLOT = re.compile(r"\{\w+\}")
_PIECE = re.compile(r"\{(\w+)\}|[^\s{}]+")
_ASKED = re.compile(rf"(?:{ASKED})\b[\s,:]+(?=\S)", re.IGNORECASE)
_COLUMNS = frozenset({"y", "x", "by", "series"})
_REPORT_WITH_CHART = re.compile(
    r"(?:(?:make|create|write|build|prepare|give me|i want)\s+)?"
    r"(?:an?\s+)?(?:(pdf|html)\s+)?report(?:\s+(?:as\s+)?(pdf|html))?"
    r"\s+(?:with|containing|including|that shows|showing)\s+(?:an?\s+|the\s+)?((?:\w+\s+)?(?:chart|diagram|plot)\s+.+)",
    re.IGNORECASE | re.DOTALL,
)
_BULLETS = re.compile(r"\n\s*(?:[-*•]|\d{1,3}[.)])\s+")
_PREPOSITION = re.compile(r"\s(?:in|for|where|from|during|für|aus|pour|dans)\s", re.IGNORECASE)
_THEN = re.compile(r"\b(?:then|afterwards|dann|danach|puis|ensuite)\b", re.IGNORECASE)
_SQL = re.compile(r"\s*(?:select|with)\s.+\bfrom\b", re.IGNORECASE | re.DOTALL)
_PERIODS = {"daily": "day", "weekly": "week", "monthly": "month", "quarterly": "quarter", "yearly": "year"}
_RHYTHM = re.compile(rf"\b({'|'.join(_PERIODS)})\s+(.+?)(?=$|\s+(?:from|in|of|for|as)\b)", re.IGNORECASE)
_OVER_TIME = re.compile(r"(?:\s+trend)?\s+over time\b|\s+trend\b(?=$|\s+(?:from|in|of)\b)", re.IGNORECASE)
_SHORT_IS = re.compile(r"\b(what|where|who|when|it|that|how)['’]s\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Match:
    """A template that a part of a request matches: raw words by parameter, and how specific it is."""

    spec: ToolSpec
    raw: dict[str, str]
    score: float
    pronoun: bool = False


@dataclass(frozen=True, slots=True)
class _Template:
    source: str
    names: tuple[str, ...]
    literals: frozenset[str]
    letters: int
    without_file: bool
    opens: str = ""
    """The parameter that the template begins with, or ""."""


def split_request(text: str, specs: Sequence[ToolSpec]) -> list[str]:
    """Return the request's parts: it is split where a connecting word or sign is followed by the start of a request.

    Quoted text is never split, nor what follows a phrase such as `remember that`, whose last slot takes any text.
    """
    if _SQL.match(text):
        return [cleaned_part(text)]
    starts = _starts(tuple(specs))
    text = _SHORT_IS.sub(r"\1 is", _BULLET.sub("", text))
    parts: list[str] = []
    begin = 0
    quoted = [match.span() for match in _QUOTED_PART.finditer(text)]
    for match in _CONNECTOR.finditer(text):
        word = _WORD.match(text, match.end())
        listed = _BULLETS.search(match[0]) is not None
        listed = listed or _THEN.search(match[0]) is not None
        if word is None or not (listed or word[0].lower() in starts) or not _STRONG_CONNECTOR.search(match[0]):
            continue
        if match.start() <= begin or any(start < match.start() < end for start, end in quoted):
            continue
        if takes_all(text[begin : match.start()], specs):
            break
        parts.append(text[begin : match.start()])
        begin = match.end()
    cleaned = [cleaned_part(part) for part in [*parts, text[begin:]]]
    return [unfolded for part in cleaned if part for unfolded in _unfolded(part)]


def _unfolded(part: str) -> list[str]:
    """Make two parts of `a report with a chart of …`: the chart, and the report that it is put into."""
    found = _REPORT_WITH_CHART.fullmatch(part)
    if found is None:
        return [part]
    return [found[3], f"put it into a {(found[1] or found[2] or 'pdf').lower()} report"]


def without_asking(text: str) -> str:
    """Return the text without `show me` at its beginning, and with `monthly sales` as `sales by month`."""
    bare = _ASKED.sub("", text, count=1) if _ASKED.match(text) else text
    bare = _RHYTHM.sub(lambda match: f"{match[2]} by {_PERIODS[match[1].lower()]}", bare, count=1)
    return _OVER_TIME.sub(" by month", bare)


def cleaned_part(part: str) -> str:
    """Return a part without bullets, politeness, and the sign at its end."""
    part = _LAST_CONNECTOR.sub("", _BULLET.sub("", part.strip()))
    part = _POLITE_END.sub("", part.rstrip(" \t\n.!?,;…"))
    return _POLITE.sub("", part).rstrip(" .!?,;").strip()


@functools.lru_cache(maxsize=64)
def _starts(specs: tuple[ToolSpec, ...]) -> frozenset[str]:
    firsts = {match[0].lower() for spec in specs for example in spec.examples if (match := _WORD.match(example))}
    names = {word for spec in specs for word in (spec.name.lower(), spec.name.lower().partition("_")[0])}
    return frozenset((firsts | names | ASKING) - WEAK_STARTS)


def mended_words(text: str, specs: Sequence[ToolSpec]) -> str:
    """Return the text with words that are nearly a word of the examples replaced by it: `averge` → `average`."""
    from rapidfuzz import fuzz, process

    known = _vocabulary(tuple(specs))
    quoted = [match.span() for match in _QUOTED_PART.finditer(text)]

    def mended(match: re.Match[str]) -> str:
        word = match[0].lower()
        if len(word) < 5 or word in known or stem(word) in known or any(a <= match.start() < b for a, b in quoted):
            return match[0]
        near = process.extractOne(word, [one for one in known if one[0] == word[0]], scorer=fuzz.ratio, score_cutoff=82)
        return near[0] if near and abs(len(near[0]) - len(word)) <= 2 else match[0]

    return _PLAIN_WORD.sub(mended, text)


@functools.lru_cache(maxsize=16)
def _vocabulary(specs: tuple[ToolSpec, ...]) -> frozenset[str]:
    """Return the longer words of all examples and choices, and their stems."""
    phrases = " ".join(_SLOT.sub(" ", example) for spec in specs for example in spec.examples)
    choices = " ".join(word for spec in specs for slot in slots_of(spec).values() for word in slot.words)
    words = {word.lower() for word in _WORD.findall(f"{phrases} {choices}") if len(word) >= 4 and word.isalpha()}
    return frozenset(words | {stem(word) for word in words})


def takes_all(part: str, specs: Sequence[ToolSpec]) -> bool:
    """Say whether the part begins a phrase that ends in free text, so that all that follows belongs to it."""
    lowered = cleaned_part(part).lower()
    return any(lowered.startswith(prefix) for spec in specs for prefix in _free_prefixes(spec))


@functools.lru_cache(maxsize=2048)
def _free_prefixes(spec: ToolSpec) -> tuple[str, ...]:
    found = []
    for example in spec.examples:
        head, brace, tail = example.partition("{")
        name, _, rest = tail.partition("}")
        slot = slots_of(spec).get(name)
        if brace and not rest.strip() and slot is not None and slot.free and len(head.strip()) >= 4:
            found.append(head.strip().lower() + " ")
    return tuple(found)


def match_phrases(mentions: Mentions, specs: Sequence[ToolSpec]) -> list[Match]:
    """Return the templates that the whole text matches, the most specific first."""
    text = " ".join(mentions.text.split())
    bare = without_file(text)
    words = _word_set(text)
    found = [
        match
        for spec in specs
        for template in _templates(spec)
        if template.literals <= words
        for match in _matched(spec, template, bare if template.without_file else text)
    ]
    return sorted(found, key=lambda match: -match.score)


def _matched(spec: ToolSpec, template: _Template, text: str) -> Iterator[Match]:
    hit = _compiled(template.source).fullmatch(text)
    if hit is None:
        return
    raw = {name: hit[f"g{number}"] for number, name in enumerate(template.names)}
    slots = slots_of(spec)
    texts = [value for name, value in raw.items() if slots[name].kind == "text" and not slots[name].free]
    worded = [name for name in raw if slots[name].kind == "text" and not slots[name].free]
    if any(_asks(raw[name]) for name in worded if name in _COLUMNS or name == template.opens):
        return
    # Many words in a slot that is no free text mean that the template does not really fit.
    surplus = sum(max(len(value.split()) - 3, 0) for value in texts)
    typed = sum(1 for name in raw if slots[name].kind != "text")
    # `revenue in March` is a column and a condition rather than a column.
    surplus += sum(1 for name in worded if name in _COLUMNS and _PREPOSITION.search(raw[name]))
    score = template.letters + 4 * typed - 3 * surplus - 0.5 * template.without_file
    pronoun = any(slots[name].kind == "file" and is_pronoun(value) for name, value in raw.items())
    yield Match(spec, raw, score, pronoun)


def _asks(value: str) -> bool:
    """Say whether words that would name a column begin another request, or stand for something else."""
    words = value.lower().replace(",", " ").split()
    return (
        not words
        or words[0].strip(":;") in COMMANDS
        or bool({"then", "also", "tell"} & set(words))
        or is_pronoun(value)
    )


_FILE_PHRASE = re.compile(
    r"[\s,]*\b(?:from|in|of|using|with|for|on|aus|von|in|dans|de|à partir de)\s+"
    r"(?:(?:the|my|our|der|die|das|le|la)\s+)?"
    r"(?:file\s+|datei\s+|fichier\s+|table\s+)?⟦\d+⟧",
    re.IGNORECASE,
)


def without_file(text: str) -> str:
    """Return the text without `from ⟦0⟧`, wherever it stands."""
    return " ".join(_FILE_PHRASE.sub("", text).split()).strip(" ,:")


def _word_set(text: str) -> frozenset[str]:
    return frozenset(stem(word) for word in _WORD.findall(text))


@functools.lru_cache(maxsize=4096)
def _compiled(source: str) -> re.Pattern[str]:
    # Only templates all of whose words occur get this far; compiling all of them at once would be felt.
    return re.compile(source, re.IGNORECASE)


@functools.lru_cache(maxsize=2048)
def _templates(spec: ToolSpec) -> tuple[_Template, ...]:
    slots = slots_of(spec)
    found: list[_Template] = []
    for example in spec.examples:
        pieces = list(_PIECE.finditer(example))
        found.append(_template(pieces, slots, without_file=False))
        short = _pieces_without_file(pieces, slots)
        if short is not None:
            found.append(_template(short, slots, without_file=True))
    return tuple(found)


def _pieces_without_file(pieces: Sequence[re.Match[str]], slots: dict[str, Slot]) -> list[re.Match[str]] | None:
    """Leave out a file and the small word before it: `chart {y} from {file}` → `chart {y}`."""
    for at, piece in enumerate(pieces):
        name = piece[1]
        before = pieces[at - 1][0].lower() if at else ""
        if name in slots and slots[name].kind == "file" and before in {"from", "in", "of", "on", "aus", "dans", "de"}:
            rest = [*pieces[: at - 1], *pieces[at + 1 :]]
            return rest if any(not other[1] for other in rest) else None
    return None


def _template(pieces: Sequence[re.Match[str]], slots: dict[str, Slot], *, without_file: bool) -> _Template:
    names: list[str] = []
    parts: list[str] = []
    literals: list[str] = []
    for piece in pieces:
        slot = slots.get(piece[1]) if piece[1] else None
        if slot is not None:
            parts.append(rf"(?P<g{len(names)}>{slot.pattern})")
            names.append(slot.name)
        elif not _ARTICLE.match(piece[0]):
            literals.append(piece[0].lower().strip(",:?.!"))
            parts.append(_literal(piece[0]))
    gap = rf"[\s,:]+(?:(?:{ARTICLES})\s+)*"
    source = rf"(?:(?:{ARTICLES})\s+)*{gap.join(parts)}"
    stems = frozenset(stem(word) for literal in literals for word in _WORD.findall(literal))
    needed = frozenset(word for word in stems if word not in CLASS)
    letters = sum(2 if literal in CLASS and len(CLASS[literal]) > 2 else 4 + len(literal) for literal in literals)
    if pieces and pieces[-1][1] is None and _ARTICLE.match(pieces[-1][0]):
        source += rf"(?:\s+(?:{ARTICLES}))*"
    opens = pieces[0][1] if pieces and pieces[0][1] in slots else ""
    return _Template(source, tuple(names), needed, letters, without_file, opens or "")


def _literal(word: str) -> str:
    plain = word.lower().strip(",:?.!")
    if plain in CLASS:
        return rf"(?:{'|'.join(CLASS[plain])})"
    short = stem(plain)
    if len(short) < 4 or not short.isalpha():
        return re.escape(plain)
    return rf"{short.replace('ize', 'i[sz]e')}(?:{'|'.join(ENDINGS)})?"


def content_words(text: str) -> frozenset[str]:
    """Return the stems of the words that mean something."""
    return frozenset(stem(word) for word in _WORD.findall(text) if word.lower() not in EMPTY and len(word) > 1)


@functools.lru_cache(maxsize=2048)
def example_words(spec: ToolSpec) -> frozenset[str]:
    """Return the meaningful words of a tool's examples."""
    return content_words(re.sub(r"\{\w+\}", " ", " ".join(spec.examples)))
