"""What a request's words can fill: parameters by type, and the files that a text mentions."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from agent.planning.vocabulary import CHOICES, NUMBERS
from plugins.api import PluginError, ToolSpec
from plugins.api.schemas import fits

PRONOUNS = (
    "it|this|that|them|these|those|the result|the results|the answer|the output|the file|the chart|the picture|"
    "this file|the table|the report|es|das|ihn|sie|das ergebnis|die datei|ça|cela|le résultat|le fichier"
)
_PRONOUN = re.compile(rf"(?:{PRONOUNS})\Z", re.IGNORECASE)
_URL_NAMES = re.compile(r"(?:.*_)?(?:url|link)s?\Z")
_FREE_NAMES = {"text", "code", "content", "message", "body", "note", "sql", "script"}
_FILE_NAME = r"[\w\-.~/()]*[\w\-)]\.[A-Za-z][A-Za-z0-9]{1,7}"
# Web addresses are told from file names by their scheme or their `www.`.
_MENTION = re.compile(
    rf"\"(?P<quoted>[^\"\n]{{1,200}}\.[A-Za-z0-9]{{1,8}})\"|'(?P<single>[^'\n]{{1,200}}\.[A-Za-z0-9]{{1,8}})'|"
    rf"(?<![\w/@:])(?P<plain>{_FILE_NAME})(?![\w@/])",
)
_TOP_DOMAINS = {"com", "org", "net", "io", "de", "fr", "eu", "uk", "dev", "info"}
_QUOTED = re.compile(r"[\"“„«](?P<a>[^\"“”„«»\n]*)[\"”“»]|'(?P<b>[^'\n]*)'|`(?P<c>[^`\n]*)`")
TOKEN = re.compile(r"⟦(\d+)⟧")


@dataclass(frozen=True, slots=True)
class Slot:
    """A parameter as the words of a request see it. `kind`: file, int, number, bool, choice, url or text."""

    name: str
    kind: str
    required: bool
    many: bool = False
    suffixes: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    bound: str = ""
    """A regular expression that the whole of a text must match, or ""."""

    @property
    def free(self) -> bool:
        """True for text that may hold anything, also what looks like another request."""
        return self.kind == "text" and (self.name in _FREE_NAMES or bool(self.bound))

    @property
    def pattern(self) -> str:
        """A regular expression for its value, without groups; `⟦0⟧` stands for a mentioned file."""
        if self.kind == "file":
            return rf"(?:⟦\d+⟧(?:\s*(?:,|and|und|et)\s*⟦\d+⟧)*|{PRONOUNS})" if self.many else rf"(?:⟦\d+⟧|{PRONOUNS})"
        if self.kind == "int":
            return rf"(?:\d{{1,9}}|{'|'.join(NUMBERS)})"
        if self.kind == "number":
            return r"-?\d[\d.,]{0,20}"
        if self.kind == "choice":
            return f"(?:{'|'.join(re.escape(word) for word in sorted(self.words, key=len, reverse=True))})"
        return r"(?:https?://\S+|[\w.-]+\.\w{2,}\S*)" if self.kind == "url" else r"\S(?:.*?\S)?"

    @property
    def words(self) -> dict[str, str]:
        """Word → choice, for a parameter with choices."""
        words = {choice.replace("_", " ").lower(): choice for choice in self.choices if choice}
        for choice in self.choices:
            words.update({word: choice for word in CHOICES.get(choice, ()) if word not in words})
        return words


@dataclass(frozen=True, slots=True)
class Mentions:
    """A text in which each mentioned file is replaced by `⟦0⟧`, `⟦1⟧` and so on.

    `files` holds the files' names, `words` how they were written.
    """

    text: str
    files: tuple[str, ...]
    words: tuple[str, ...]

    def plain(self, text: str) -> str:
        """Return a part of the text as it was written."""
        return TOKEN.sub(lambda match: self.words[int(match[1])], text)


@functools.lru_cache(maxsize=2048)
def slots_of(spec: ToolSpec) -> dict[str, Slot]:
    """Return a tool's parameters by name, in their order; none for a tool whose parameters cannot be described."""
    try:
        schema, files, bounds = spec.parameters, spec.file_parameters, spec.text_patterns
    except PluginError:
        return {}
    required = set(schema.get("required", ()))
    return {
        name: replace(_slot(name, prop, name in required, files.get(name)), bound=bounds.get(name, ""))
        for name, prop in schema.get("properties", {}).items()
    }


def _slot(name: str, prop: dict[str, Any], required: bool, suffixes: tuple[str, ...] | None) -> Slot:  # noqa: FBT001
    kinds = [prop, *prop.get("anyOf", ())]
    types = {kind.get("type") for kind in kinds}
    many = "array" in types
    choices = next((tuple(map(str, kind["enum"])) for kind in kinds if "enum" in kind), ())
    if suffixes is not None:
        return Slot(name, "file", required, many, suffixes)
    if choices:
        return Slot(name, "choice", required, many, choices=choices)
    for json_type, kind in (("string", "text"), ("boolean", "bool"), ("integer", "int"), ("number", "number")):
        if json_type in types:
            url = kind == "text" and _URL_NAMES.match(name)
            return Slot(name, "url" if url else kind, required, many)
    return Slot(name, "text", required, many)


def is_pronoun(text: str) -> bool:
    """Say whether the words stand for what an earlier step made."""
    return _PRONOUN.match(text.strip()) is not None


def unquoted(text: str) -> str:
    """Return the text without quotes around the whole of it."""
    match = _QUOTED.fullmatch(text.strip())
    return next((part for part in match.groups() if part is not None), "") if match else text.strip()


def quoted_texts(text: str) -> list[str]:
    """Return what stands in quotes."""
    return [next(part for part in match.groups() if part is not None) for match in _QUOTED.finditer(text)]


def value_of(slot: Slot, raw: str) -> Any:
    """Return the value that words give to a slot, or None when they do not fit."""
    raw = raw.strip()
    if slot.kind == "int":
        return NUMBERS.get(raw.lower()) or (int(raw) if raw.isdecimal() else None)
    if slot.kind == "number":
        return _number(raw)
    if slot.kind == "choice":
        return slot.words.get(" ".join(raw.lower().split()))
    if slot.kind == "bool":
        return {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}.get(raw.lower())
    if slot.bound and not fits(slot.bound, raw):
        return None
    return unquoted(raw) or None


def _number(raw: str) -> float | int | None:
    try:
        value = float(raw.rstrip(".,").replace(",", "."))
    except ValueError:
        return None
    return int(value) if value.is_integer() and "." not in raw else value


def mentioned_files(text: str, files: Sequence[str]) -> Mentions:
    """Find the files that a text names: exactly, by a name with a suffix, or a workspace file without its suffix."""
    found: list[str] = []
    words: list[str] = []

    def noted(name: str, written: str) -> str:
        found.append(name)
        words.append(written)
        return f"⟦{len(found) - 1}⟧"

    def replaced(match: re.Match[str]) -> str:
        name = match["quoted"] or match["single"] or match["plain"]
        known = _known(name, files)
        if known is None and not _is_file_name(name, quoted=not match["plain"]):
            return match[0]
        return noted(known or name, name)

    text = _with_blanks(TOKEN.sub("", text), files, noted)
    text = _MENTION.sub(replaced, text)
    return Mentions(_by_stem(text, files, noted), tuple(found), tuple(words))


def _with_blanks(text: str, files: Sequence[str], noted: Callable[[str, str], str]) -> str:
    """Replace names with blanks in them, which no pattern can tell from other words."""
    for name in sorted((name for name in files if " " in name), key=len, reverse=True):
        at = text.lower().find(name.lower())
        if at >= 0:
            before, after = text[:at].rstrip("\"'"), text[at + len(name) :].lstrip("\"'")
            text = f"{before}{noted(name, name)}{after}"
    return text


def _known(name: str, files: Sequence[str]) -> str | None:
    lowered = name.lower()
    for file in files:
        if file.lower() == lowered or PurePosixPath(file).name.lower() == lowered:
            return file
    return None


def _is_file_name(name: str, *, quoted: bool) -> bool:
    suffix = name.rpartition(".")[2].lower()
    blanks = quoted and " " in name.rpartition("/")[2].strip()
    return suffix not in _TOP_DOMAINS and not name.lower().startswith("www.") and not blanks


def _by_stem(text: str, files: Sequence[str], noted: Callable[[str, str], str]) -> str:
    """Replace `the sales data`, `the sales file`, or the plain stem of a workspace file, misspelt a little at most."""
    stems = {PurePosixPath(file).stem.lower().replace("_", " ").replace("-", " "): file for file in files}
    for stem, file in stems.items():
        if len(stem) < 3:
            continue
        pattern = r"[\s_-]+".join(re.escape(word) for word in stem.split())
        near = re.compile(
            rf"\b(?:(?:the|my|our|this)\s+)?{pattern}\s+(?:file|data|table|sheet|spreadsheet|csv|datei|daten|fichier)\b|"
            rf"(?<=\bfrom\s){pattern}\b(?!\s*=)|(?<=\baus\s){pattern}\b",
            re.IGNORECASE,
        )
        if match := near.search(text):
            text = f"{text[: match.start()]}{noted(file, match[0])}{text[match.end() :]}"
    return text


def resolved_file(name: str, files: Sequence[str]) -> str:
    """Return the workspace file that a name means: itself, or one that differs by a slip of the keyboard."""
    known = _known(name, files)
    if known is not None or not files:
        return known or name
    from rapidfuzz import fuzz, process

    # `report2.pdf` is not a misspelt `report1.pdf`: figures must agree.
    alike = [file for file in files if _figures(file) == _figures(name) and _suffix(file) == _suffix(name)]
    best = process.extractOne(name.lower(), alike, scorer=fuzz.ratio, processor=str.lower, score_cutoff=84)
    return best[0] if best else name


def _figures(name: str) -> list[str]:
    return re.findall(r"\d+", name)


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def accepts(slot: Slot, file: str) -> bool:
    """Say whether a file parameter takes a file of this name."""
    return not slot.suffixes or _suffix(file) in {suffix.lower() for suffix in slot.suffixes}
