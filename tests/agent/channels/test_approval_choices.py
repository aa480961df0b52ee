"""How a request for consent looks: what may be decided, and afterwards what was."""

from __future__ import annotations

import time
from typing import Any

import pytest

from agent.channels.telegram.render import view
from agent.channels.terminal.choices import choices_of
from agent.domain.messages import Destination, MessageKind, OutboundMessage

PAYLOAD = {"id": "x", "title": "tickets.reply", "details": {"to": "ada"}, "choices": ["allow", "task", "deny"]}
AT = time.mktime((2026, 11, 21, 14, 2, 0, 0, 0, -1))


def shown(chat_type: str = "private", language: str = "", **more: Any) -> Any:
    dest = Destination("telegram", "1", chat_type=chat_type, language=language)
    return view(OutboundMessage(dest, MessageKind.APPROVAL, "a", {**PAYLOAD, **more}))


def test_a_call_that_admits_it_may_be_allowed_for_the_task():
    labels = [button for row in shown().buttons for button in row]
    assert labels == [("✅ Allow", "a/x/allow"), ("✅ For this task", "a/x/task"), ("❌ Deny", "a/x/deny")]


def test_in_a_terminal_t_stands_for_it():
    keys = [(choice.key, choice.label, choice.action) for choice in choices_of(PAYLOAD)]
    assert keys == [("y", "Allow", "a/x/allow"), ("t", "For this task", "a/x/task"), ("n", "Deny", "a/x/deny")]


@pytest.mark.parametrize(
    ("chat_type", "language", "said"),
    [
        ("private", "", "✅ Allowed for this task by you, 14:02"),
        ("private", "de", "✅ Für diese Aufgabe von dir erlaubt, 14:02"),
        ("group", "", "✅ Allowed for this task"),
    ],
)
def test_the_message_says_what_was_allowed(chat_type: str, language: str, said: str):
    look = shown(chat_type, language, decided="task", by="1", at=AT)
    assert look.parts[0].text.splitlines()[-1] == said
    assert look.buttons == ()


def test_hidden_characters_of_an_argument_are_written_out():
    look = shown(details={"to": "ada\u202eevil\u200b\u2066"})
    assert "to: ada⟨U+202E⟩evil⟨U+200B⟩⟨U+2066⟩" in look.parts[0].text
