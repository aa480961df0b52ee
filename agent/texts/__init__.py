"""What Dirigent itself says, in the person's language. English sentences are the keys, so English costs nothing.

`LANGUAGE.po` beside this file holds a language's sentences in GNU gettext's format, which every translation tool reads.
One with the comment `#. said only` is not looked for in finished texts: it is too like what people write themselves.
A sentence that a language lacks is said in English; `tests/agent/test_texts.py` finds those, and what is obsolete.

A sentence is marked where it stands: `say(language, "Nothing is running.")`, `say_n(…)` where a number decides the
form, or `mark("…")` in a constant that is said later. Values come in by name: `say(language, "Saved {name}.", name=x)`.
"""

from __future__ import annotations

import io
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gettext import NullTranslations

    from babel.messages.catalog import Catalog

LANGUAGES = ("en", "de", "fr", "ru", "zh")
FOLDER = Path(__file__).parent
SLOT = re.compile(r"\{(\w+)\}")
BETWEEN = re.compile(r"(?<=[.!?”]) (?=[A-ZÄÖÜ“`])")
LONGEST = 1_000  # characters of a line that is looked at sentence by sentence
MOST_CUTS = 6
MOST_PARTS = 12
SAID_ONLY = "said only"
OURS = frozenset(
    {"account", "expected", "limit", "problems", "way", "why"}
)  # values that are sentences or names of ours
LEAST = 6  # letters of its own that a sentence with values needs to be recognised


def known(language: str) -> str:
    """Return the language of ours that a code such as `de-AT` or `zh_Hans` means; `en` for one that we lack."""
    code = language.replace("_", "-").partition("-")[0].casefold()
    return code if code in LANGUAGES else "en"


def mark(text: str) -> str:
    """Return the text as it is: it is a sentence that is said later."""
    return text


def say(language: str, text: str, /, **values: Any) -> str:
    """Return an English sentence in a language, with its values."""
    said = _sentences(known(language)).gettext(text) if text else text
    return said.format_map(values) if values else said


def say_n(language: str, one: str, many: str, n: int, /, **values: Any) -> str:
    """Return the form of a sentence that a number asks for; `{n}` in it is the number."""
    return _sentences(known(language)).ngettext(one, many, n).format_map({"n": n, **values})


def retell(language: str, text: str) -> str:
    """Return an English sentence that was made where the language was not known, with its values, in a language.

    It is recognised whole, or line by line; what is none of ours, such as a person's own words, stays as it is.
    """
    chosen = known(language)
    if chosen == "en" or not text:
        return text
    whole = _with_a_way_on(chosen, text) or _recognised(chosen, text)
    if whole is not None:
        return whole
    if "\n" in text:
        return "\n".join(retell(chosen, line) for line in text.split("\n"))
    return _sentence_by_sentence(chosen, text) if len(text) <= LONGEST else text


def _recognised(language: str, text: str) -> str | None:
    """Return one of our sentences in a language, with its values; None for any other text."""
    said = _sentences(language).gettext(text)
    if said != text:
        return said
    if (listed := _part_by_part(language, text)) is not None:
        return listed
    for pattern, template in _templates(language):
        if found := pattern.fullmatch(text):
            values = {name: _value(language, name, value) for name, value in found.groupdict().items()}
            return _sentences(language).gettext(template).format_map(values)
    return None


def _value(language: str, name: str, value: str) -> str:
    """Return a value of a sentence: retold where it is ours, a list of sentences each by itself."""
    if name != "problems":
        return retell(language, value) if name in OURS else value
    told = ((part, _recognised(language, part) or _recognised(language, f"{part}.")) for part in value.split("; "))
    return "; ".join((said or part).rstrip(".。") for part, said in told) + "."


def _part_by_part(language: str, text: str) -> str | None:
    """Return a list of problems such as `a is missing; b is missing`, when every one of them is known."""
    parts = text.split("; ")
    if not 1 < len(parts) <= MOST_PARTS:
        return None
    told = [_recognised(language, part) for part in parts]
    return "; ".join(part for part in told if part) if all(told) else None


def _with_a_way_on(language: str, text: str) -> str | None:
    """Return a sentence that another one without values follows: a value of the first must not swallow the second."""
    if len(text) > LONGEST:
        return None
    said = _sentences(language).gettext(text)
    if said != text:
        return said
    for cut in [found.start() for found in BETWEEN.finditer(text)][-MOST_CUTS:]:
        first, rest = text[:cut], text[cut + 1 :]
        follows = _sentences(language).gettext(rest)
        if follows != rest and (known_first := _recognised(language, first)) is not None:
            return f"{known_first} {follows}"
    return None


def _sentence_by_sentence(language: str, text: str) -> str:
    """Return a line of several sentences, such as an error and the way on, with those of ours in a language."""
    for cut in [found.start() for found in BETWEEN.finditer(text)][:MOST_CUTS]:
        first, rest = text[:cut], text[cut + 1 :]
        if (known_first := _recognised(language, first)) is not None:
            return f"{known_first} {retell(language, rest)}"
        if (known_rest := _recognised(language, rest)) is not None:
            return f"{first} {known_rest}"
    return text


@cache
def _templates(language: str) -> list[tuple[re.Pattern[str], str]]:
    """Return what recognises the sentences with values, those with the most words of their own first."""
    entries = [entry for entry in catalogue(language) if SAID_ONLY not in entry.auto_comments]
    ids = [entry.id for entry in entries if isinstance(entry.id, str)]
    known_ones = [key for key in ids if SLOT.search(key) and "\n" not in key]
    known_ones.sort(key=lambda key: -len(SLOT.sub("", key)))
    return [(re.compile(_pattern(key)), key) for key in known_ones if len(SLOT.sub("", key)) >= LEAST]


def _pattern(template: str) -> str:
    """Return the regular expression for a sentence with values; a value that comes twice is the same both times."""
    seen: set[str] = set()
    made = ""
    for at, part in enumerate(SLOT.split(template)):  # what stands between the names, and the names
        made += re.escape(part) if at % 2 == 0 else f"(?P={part})" if part in seen else f"(?P<{part}>[^\\n]*)"
        seen |= {part} if at % 2 else set()
    return made


@cache
def _sentences(language: str) -> NullTranslations:
    """Compile a language's file, once."""
    from gettext import GNUTranslations, NullTranslations

    if language == "en":
        return NullTranslations()
    from babel.messages.mofile import write_mo

    compiled = io.BytesIO()
    write_mo(compiled, catalogue(language))
    compiled.seek(0)
    return GNUTranslations(compiled)


@cache
def catalogue(language: str) -> Catalog:
    """Read a language's file, once."""
    from babel.messages.pofile import read_po

    with (FOLDER / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language)
