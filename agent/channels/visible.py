"""What can't be seen, or looks like something else, written out in what a person is to agree to.

A zero-width character in an address makes another address of it that looks the same, and so does a Cyrillic `а`.
"""

from __future__ import annotations

import re

HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ufeff\uffa0\U000e0000-\U000e007f]"
)
JOINER = "\u200d"  # makes one picture of several; between letters it hides something
ADDRESS = re.compile(r"\S*(?:@|://)\S*")
ONE_WORD = re.compile(r"\S*\.\S*")
SHOWN = 6


def visible(text: str) -> str:
    """Return an argument with each character that can't be seen as `⟨U+200B⟩`, and addresses' strange letters named."""
    strange = ONE_WORD if len(text.split()) == 1 else ADDRESS
    named = strange.sub(lambda found: _named(found[0]), text) if not text.isascii() else text
    return HIDDEN.sub(lambda found: _written(named, found), named)


def _written(text: str, found: re.Match[str]) -> str:
    if found[0] == JOINER and not (text[: found.start()][-1:].isalnum() or text[found.end() :][:1].isalnum()):
        return found[0]
    return f"⟨U+{ord(found[0]):04X}⟩"


def _named(address: str) -> str:
    """Return an address, and after it the letters that are none of a to z with their numbers."""
    strange = dict.fromkeys(char for char in address if char.isalnum() and not char.isascii())
    if not strange:
        return address
    names = [f"{char} U+{ord(char):04X}" for char in list(strange)[:SHOWN]]
    return f"{address} ⟨{', '.join(names)}{', …' if len(strange) > SHOWN else ''}⟩"
