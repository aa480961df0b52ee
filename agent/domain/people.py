"""People: who may talk to Dirigent, and as what."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a person is. Only an owner's words are trusted, and only an owner approves; a blocked one is not heard."""

    OWNER = "owner"
    MEMBER = "member"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who was let in. `user_id` is the channel's numeric id: names change hands. Times in seconds since 1970.

    The owners that the settings name have no record.
    """

    channel: str
    user_id: str
    name: str = ""
    role: Role = Role.MEMBER
    language: str = "en"
    paired_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Pairing:
    """What came of a pairing code that somebody sent: a person, or None; `wait` says that there were too many tries."""

    person: Person | None = None
    wait: bool = False
