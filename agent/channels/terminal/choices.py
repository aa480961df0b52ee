"""Buttons in a terminal: each has a key to type, its label, or a word that means it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

KEYS = {"you": "d", "skip": "s", "allow": "y", "deny": "n", "revise": "r", "back": "b", "task": "t"}
KEYS |= {"edit": "e", "each": "o", "all": "l"}
SIGNS = "✅❌🔎✏\ufe0f "  # a terminal shows words
SPOKEN = {"yes": "y", "allow": "y", "approve": "y", "no": "n", "deny": "n", "reject": "n"}
CONSENT = {"allow": "Allow", "task": "For this task", "revise": "Revise", "deny": "Deny"}
CHECKPOINT = {"allow": "Approve", "revise": "Revise", "deny": "Reject"}


@dataclass(frozen=True, slots=True)
class Choice:
    """A button as a key: what to type, what it says, what it does."""

    key: str
    label: str
    action: str


def choices_of(payload: dict[str, Any]) -> tuple[Choice, ...]:
    """Return a message's buttons with the keys that stand for them: numbers, and letters for the usual ones."""
    choices: list[Choice] = []
    number = 0
    for button in (button for row in payload.get("buttons") or _buttons(payload) for button in row):
        key = KEYS.get(str(button["action"]).rsplit("/", 1)[-1], "")
        if not key or any(choice.key == key for choice in choices):
            number += 1
            key = str(number)
        choices.append(Choice(key, str(button["label"]).lstrip(SIGNS), str(button["action"])))
    return tuple(choices)


def _buttons(payload: dict[str, Any]) -> list[list[dict[str, str]]]:
    """Return the buttons of a question or an approval that brings none of its own."""
    asked_id = payload.get("id", "")
    if "question" in payload:
        options = [_button(label, f"q/{asked_id}/{n}") for n, label in enumerate(payload.get("options", ()))]
        return [options, [_button("You decide", f"q/{asked_id}/you"), _button("Skip", f"q/{asked_id}/skip")]]
    if "details" in payload:
        words = CHECKPOINT if payload.get("checkpoint") else CONSENT
        choices = payload.get("choices") or ("allow", "deny")
        said = [_button(words[choice], f"a/{asked_id}/{choice}") for choice in choices if choice in words]
        return [[*said, *([_button("Edit", f"a/{asked_id}/edit")] if payload.get("editable") else [])]]
    return []


def _button(label: str, action: str) -> dict[str, str]:
    return {"label": label, "action": action}


def pick(choices: Sequence[Choice], text: str) -> Choice | None:
    """Return the choice that a typed text means: its label, its key, or yes and no. A label wins over a key."""
    said = text.casefold()
    by_label = next((choice for choice in choices if choice.label.casefold() == said), None)
    spoken = SPOKEN.get(said, said)
    return by_label or next((choice for choice in choices if choice.key == spoken), None)
