"""What a person is shown tells apart what is different, however much it was made to look alike."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.channels.telegram.render import view
from agent.channels.terminal.face import details_lines
from agent.channels.visible import visible
from agent.domain.messages import Destination, MessageKind, OutboundMessage

ADA = "ada@home.example"
ALIKE = (
    "ada\u200b@home.example",
    "ada@home.example\u200d",
    "\u2060ada@home.example",
    "ada@home\u00ad.example",
    "ada@home.example\u3164",
    "\u202eada@home.example",
    "ada@home.example\ufeff",
    "\u0430da@home.example",  # a Cyrillic letter
    "ada@h\u03bfme.example",  # a Greek one
    "ada@home.ex\uff41mple",  # a wide one
    "ada@home.example\x7f",
    "ada@home.example\u2028",
)


def on_telegram(value: str) -> str:
    message = OutboundMessage(
        Destination("telegram", "1"), MessageKind.APPROVAL, "a", {"id": "x", "details": {"to": value}}
    )
    (text, *_) = view(message).parts
    return str(getattr(text, "text", ""))


def in_the_terminal(value: str) -> str:
    return "\n".join(details_lines({"details": {"to": value}}))


@pytest.mark.parametrize("shows", [on_telegram, in_the_terminal])
@pytest.mark.parametrize("other", ALIKE, ids=[json.dumps(value) for value in ALIKE])
def test_an_address_that_looks_alike_is_told_apart(shows, other: str):
    assert shows(ADA) != shows(other)
    assert f"U+{next(ord(char) for char in other if not (char.isascii() and char.isprintable())):04X}" in shows(other)


@pytest.mark.parametrize(
    "text",
    [
        "Grüße, Jürgen.",
        "Привет!\nДо завтра.",
        "你好。",
        "👩‍🚀 flies",
        "two\n\nparagraphs\tand a tab",
        "50 €, 3 × 4",
        "https://a.b/c?d=e",
    ],
)
def test_ordinary_words_are_as_they_are(text: str):
    assert visible(text) == text


@given(st.text(max_size=60), st.text(max_size=60))
def test_different_words_look_different(one: str, other: str):
    """Whatever is not the same is not shown the same, but for who writes the marks out by hand."""
    if one != other and "⟨" not in one + other:
        assert visible(one) != visible(other)
