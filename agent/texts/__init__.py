"""What Dirigent itself says, in the person's language. English sentences are the keys, so English costs nothing.

`LANGUAGE.po` beside this file holds a language's sentences in GNU gettext's format, which every translation tool reads.
A sentence that a language lacks is said in English; `tests/agent/test_texts.py` finds those, and what is obsolete.

A sentence is marked where it stands: `say(language, "Nothing is running.")`, `say_n(…)` where a number decides the
form, or `mark("…")` in a constant that is said later. Values come in by name: `say(language, "Saved {name}.", name=x)`.
"""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gettext import NullTranslations

LANGUAGES = ("en", "de", "fr", "ru", "zh")
FOLDER = Path(__file__).parent


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


@cache
def _sentences(language: str) -> NullTranslations:
    """Read a language's file once."""
    from gettext import GNUTranslations, NullTranslations

    if language == "en":
        return NullTranslations()
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    compiled = io.BytesIO()
    with (FOLDER / f"{language}.po").open("rb") as file:
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return GNUTranslations(compiled)
