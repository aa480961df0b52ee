"""Why a call asks, in the languages of chats: the journal keeps the English sentences, a channel retells them."""

from __future__ import annotations

import re
from functools import cache

from agent.texts import mark, retell, say, say_n

BETWEEN = " · "
YOURS = mark("your message")
AFTER = mark("chosen after reading {origins}")
COMES, COME = mark("{names} comes from {origins}"), mark("{names} come from {origins}")
COULD_READ = mark("it could read what comes from {origins}")
PRIVATE = mark("{names} may hold private data")
DEPENDS = mark("whether it happens depends on {origins}")
TEMPLATES = (AFTER, COMES, COME, COULD_READ, PRIVATE, DEPENDS)
VALUES = {"names": r"\w+(?:, \w+)*(?: and \w+)?", "origins": r"[^\n]*"}
SLOT = re.compile(r"\{(\w+)\}")
TWO, TIMES, MORE = re.compile(r"^(.+) and (\w+)$"), re.compile(r" \((\d+) times\)(?=,|$)"), re.compile(r", (\d+) more$")


def retold(language: str, because: str) -> str:
    """Return a reason of `consent.py` in a language; what is none of its sentences is retold as any other text."""
    return BETWEEN.join(_part(language, part) for part in because.split(BETWEEN))


def _part(language: str, part: str) -> str:
    for template in TEMPLATES:
        if found := _pattern(template).fullmatch(part):
            tell = {"names": _names, "origins": _origins}
            return say(
                language, template, **{name: tell[name](language, text) for name, text in found.groupdict().items()}
            )
    return retell(language, part)


@cache
def _pattern(template: str) -> re.Pattern[str]:
    pieces = SLOT.split(template)
    return re.compile(
        "".join(re.escape(piece) if at % 2 == 0 else f"(?P<{piece}>{VALUES[piece]})" for at, piece in enumerate(pieces))
    )


def _names(language: str, names: str) -> str:
    found = TWO.match(names)
    return say(language, "{first} and {last}", first=found[1], last=found[2]) if found else names


def _origins(language: str, origins: str) -> str:
    """Return names of origins as they are, with the words of ours between and after them in a language."""
    counted = TIMES.sub(lambda found: _times(language, int(found[1])), origins)
    return MORE.sub(lambda found: ", " + say_n(language, "{n} more", "{n} more", int(found[1])), counted)


def _times(language: str, number: int) -> str:
    return " (" + say_n(language, "{n} time", "{n} times", number) + ")"
