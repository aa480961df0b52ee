"""The person's own words: which values stand in them, and which contacts and accounts they name."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from agent.domain.provenance import Provenance

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

WORD = re.compile(r"\w+")
SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://")
BEFORE, AFTER = re.compile(r"[\w@.-]"), re.compile(r"[\w@-]|[./:?#&=%]\w")
ODD = re.compile(r"[^\w\s,.!?'\"-]")
# By intake, channels and replies; a stranger who calls a file so has said nothing by it.
GIVEN = re.compile(r"(quoted|answer|photo|voice|video|animation|audio|document|sticker)-[\d-]{1,24}\.\w{2,4}")
MOST = 4_000  # characters of a value that are looked at
MOST_WORDS = 12  # their order could tell something, so that there may not be many


def typed(value: Any, words: str) -> bool:
    """Say whether a value is made of nothing but what the person has typed.

    An address has to stand there as a whole (`https://` may be left out); of a text every word has to. Such a value
    tells others nothing else, whoever picked it.
    """
    if value is None or isinstance(value, bool) or value == "":
        return True
    if isinstance(value, dict):
        return all(typed(part, words) for part in value.values()) and all(typed(name, words) for name in value)
    if isinstance(value, (list, tuple)):
        return len(value) <= 1 and all(typed(part, words) for part in value)  # an order may tell something, too
    text = str(value).strip().casefold()
    if len(text) > MOST:
        return False
    return stands_in(text, words) or (" " in text and _made_of(text, words))


def stands_in(text: str, words: str) -> bool:
    """Say whether the words hold a text as a whole: not as a part of a longer word, number or address."""
    said = f" {words.casefold()} "
    plain = text.strip().casefold()
    forms = {plain, SCHEME.sub("", plain).rstrip("/")} - {""}
    return any(_alone(said, form) for form in forms)


def _alone(said: str, form: str) -> bool:
    place = said.find(form)
    while place >= 0:
        if not BEFORE.match(said, place - 1) and not AFTER.match(said, place + len(form)):
            return True
        place = said.find(form, place + 1)
    return False


def _made_of(text: str, words: str) -> bool:
    """Say whether a text of a few words only repeats the person's, each at most as often."""
    parts = Counter(WORD.findall(text))
    few = parts.total() <= MOST_WORDS
    return few and parts <= Counter(WORD.findall(words.casefold())) and not ODD.search(text)


def said_of_files(names: Iterable[str], labels: Mapping[str, Provenance], words: str) -> Provenance:
    """Return what a planner takes on that reads the names of files.

    Whoever made a file may have put words into its name. A name that was given here, or that the person's own words
    hold, tells a planner nothing.
    """
    strange = (name for name in names if name in labels and not labels[name].trusted)
    return Provenance.union(labels[name] for name in strange if not (GIVEN.fullmatch(name) or _is_said(name, words)))


def _is_said(name: str, words: str) -> bool:
    stem = name.rpartition("/")[2].rpartition(".")[0] or name
    return stands_in(name, words) or _made_of(" ".join(WORD.findall(stem.casefold().replace("_", " "))), words)


def named(args: Mapping[str, Any], known: Mapping[str, str], words: str) -> set[str]:
    """Return the arguments that equal a known value which the person's words name, by its name or as it is."""
    found = {value for name, value in known.items() if stands_in(name, words) or stands_in(value, words)}
    return {name for name, value in args.items() if _is_one_of(value, found)}


def _is_one_of(value: Any, found: Iterable[str]) -> bool:
    several = value if isinstance(value, (list, tuple)) else [value]
    known = {one.casefold() for one in found}
    return bool(several) and all(isinstance(one, str) and one.casefold() in known for one in several)
