"""Half characters: what JSON can write and UTF-8 cannot."""

from __future__ import annotations


def without_surrogates(text: str) -> str:
    """Return a text that can be encoded: surrogate pairs joined, single ones replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def ends_in_half(text: str) -> bool:
    """Return True when the last character is the first half of a surrogate pair."""
    return bool(text) and "\ud800" <= text[-1] <= "\udbff"
