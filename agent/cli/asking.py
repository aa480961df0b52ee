"""Questions that a command asks in a terminal."""

from __future__ import annotations

import getpass

from agent.errors import ConfigError

YES = frozenset({"y", "yes", "j", "ja", "o", "oui", "д", "да", "是"})


def line(label: str, default: str) -> str:
    """Return what is typed, or the default, which is shown."""
    return input(f"{label}{f' [{default}]' if default else ''}: ").strip() or default


def secret(label: str, known: str = "") -> str:
    """Return what is typed unseen; empty for nothing. `known` stands for what there is already."""
    return getpass.getpass(f"{label}{f' [{known}]' if known else ''}: ").strip()


def agreed(question: str) -> bool:
    """Return whether the answer is yes; nothing typed means no, and so does the end of the input."""
    try:
        return input(f"{question} y/N: ").strip().lower() in YES
    except EOFError:
        return False


def numbers(text: str) -> list[int]:
    """Return the Telegram user ids in a text. Raises ConfigError."""
    try:
        return [int(part) for part in text.replace(",", " ").split()]
    except ValueError:
        raise ConfigError(
            f"{text!r} is no list of Telegram user ids.",
            hint="Ids are numbers such as 4711; @userinfobot tells yours. Start again.",
        ) from None
