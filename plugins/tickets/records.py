"""What every ticket system has in common: tickets, notes, queries, changes, and the protocol of an adapter."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Protocol

from plugins.api import ToolFailure

Sender = Literal["agent", "customer", "system"]
LONGEST = 20_000
MOST_CHARS = 1_500_000
SORTED = "Sorted by Dirigent."  # how the note begins that says why a ticket was changed
MARKER = re.compile(r"\[dirigent:[0-9a-f]{16}\]")
VALUE = re.compile(r"""\"([^"]*)\"|'([^']*)'|([^\s,"']+)""")
ONE = VALUE.pattern.replace("(", "(?:")
TOKEN = re.compile(rf'(?P<key>[A-Za-z]{{2,12}}):(?P<values>(?:{ONE})(?:,(?:{ONE}))*)|"(?P<phrase>[^"]*)"|\S+')
KEYS = {
    "queue": "queues",
    "group": "queues",
    "state": "states",
    "status": "states",
    "priority": "priorities",
    "prio": "priorities",
    "tag": "tags",
    "tags": "tags",
}


class TicketFailure(ToolFailure):
    """A ticket system did not do what it was asked.

    `status` is the HTTP status or 0, `code` the system's own error code, `unknown` says that the thing may have been
    done nevertheless.
    """

    def __init__(self, message: str, *, hint: str = "", status: int = 0, code: str = "", unknown: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code
        self.unknown = unknown


@dataclass(frozen=True, slots=True)
class Note:
    """An article of a ticket: a message or a note. `created` is as the system writes it."""

    id: str
    body: str
    subject: str = ""
    sender: Sender = "customer"
    internal: bool = False
    created: str = ""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket. `body` is the customer's first message as it came, perhaps HTML; names are those of the system.

    `sorted` says that a note tells so, also where the notes were left out.
    """

    id: str
    title: str
    body: str = ""
    number: str = ""
    customer: str = ""
    queue: str = ""
    priority: str = ""
    state: str = ""
    tags: tuple[str, ...] = ()
    created: str = ""
    changed: str = ""
    notes: tuple[Note, ...] = ()
    sorted: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON: lists, objects and texts."""
        lists = {"tags": list(self.tags), "notes": [asdict(note) for note in self.notes]}
        return {**asdict(self), **lists, "sorted": was_sorted(self)}


@dataclass(frozen=True, slots=True)
class Query:
    """Which tickets are meant: any of each kind, all kinds at once; `words` are searched in the texts."""

    queues: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    priorities: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Query:
        """Read `state:new,open queue:"2nd Level" tag:vpn printer`; what has no key is searched for."""
        found: dict[str, list[str]] = {name: [] for name in (*KEYS.values(), "words")}
        for match in TOKEN.finditer(text):
            kind = KEYS.get((match["key"] or "").lower())
            if kind is None:
                found["words"].append(match["phrase"] if match["phrase"] is not None else match[0])
            else:
                found[kind] += ["".join(value.groups("")) for value in VALUE.finditer(match["values"])]
        return cls(**{name: tuple(filter(None, map(_unquoted, values))) for name, values in found.items()})

    def as_text(self) -> str:
        """Return the words that `parse` reads this from."""
        kinds = {"queue": self.queues, "state": self.states, "priority": self.priorities, "tag": self.tags}
        parts = [f'{key}:"{value}"' for key, values in kinds.items() for value in values]
        return " ".join([*parts, *(f'"{word}"' for word in self.words)])

    def admits(self, ticket: Ticket) -> bool:
        """Say whether queue, state and priority of a ticket are among those asked for, in any case."""
        pairs = ((self.queues, ticket.queue), (self.states, ticket.state), (self.priorities, ticket.priority))
        return all(not wanted or _plain(has) in map(_plain, wanted) for wanted, has in pairs)

    def found_in(self, ticket: Ticket) -> bool:
        """Say whether a ticket has one of the tags and all of the words; for systems that cannot search."""
        tags = {_plain(tag) for tag in ticket.tags}
        said = [text for note in ticket.notes for text in (note.subject, note.body)]
        texts = _plain("\n".join((ticket.title, ticket.body, ticket.number, ticket.customer, *said)))
        tagged = not self.tags or any(_plain(tag) in tags for tag in self.tags)
        return tagged and all(_plain(word) in texts for word in self.words)


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be set on a ticket; empty leaves it. `tags` are added to those that it has."""

    queue: str = ""
    priority: str = ""
    state: str = ""
    tags: tuple[str, ...] = ()
    named: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        named = {"queue": self.queue, "priority": self.priority, "state": self.state}
        object.__setattr__(self, "named", {name: value for name, value in named.items() if value})

    def __bool__(self) -> bool:
        return bool(self.named or self.tags)

    def fulfilled_by(self, ticket: Ticket) -> bool:
        """Say whether the ticket is already as it should be."""
        has = {"queue": ticket.queue, "priority": ticket.priority, "state": ticket.state}
        tags = {_plain(tag) for tag in ticket.tags}
        named = all(_plain(has[name]) == _plain(value) for name, value in self.named.items())
        return named and all(_plain(tag) in tags for tag in self.tags)


class TicketSystem(Protocol):
    """An adapter. Every method raises TicketFailure with the system's name, the operation and the ticket."""

    name: str

    def fetch(self, query: Query, limit: int) -> AsyncIterator[list[Ticket]]:
        """Yield pages of tickets, `limit` at most together, the oldest first."""

    async def get(self, ticket_id: str) -> Ticket:
        """Return one ticket with all its notes; `#` before the id means the number that people see."""

    async def update(self, ticket_id: str, change: Change) -> Ticket:
        """Set what the change says and return the ticket; doing it twice is doing it once."""

    async def add_note(self, ticket_id: str, subject: str, body: str, *, internal: bool) -> bool:
        """Add a note whose body ends with a marker (`marked`); return False when it was there before."""

    async def aclose(self) -> None:
        """Free connections."""


def briefly(tickets: Sequence[Ticket]) -> list[Ticket]:
    """Return tickets for a list: without notes, long messages cut, and no more than a step may pass on at once."""
    kept, chars = [], 0
    for ticket in tickets:
        body = ticket.body if len(ticket.body) <= LONGEST else f"{ticket.body[:LONGEST]}\n… cut"
        brief = replace(ticket, body=body, notes=(), title=ticket.title[:LONGEST], sorted=was_sorted(ticket))
        chars += len(json.dumps(brief.to_json()))
        if chars > MOST_CHARS:
            break
        kept.append(brief)
    return kept


def marked(ticket_id: str, subject: str, body: str, key: str = "") -> str:
    """Return the note's body with the line that tells it from any other: the same words on the same ticket are one."""
    parts = (ticket_id.lstrip("#"), subject, body.strip(), key)
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{MARKER.sub('', body).rstrip()}\n\n[dirigent:{digest}]"


def marker_of(body: str) -> str:
    """Return the last marker in a note's body, or an empty text."""
    found = MARKER.findall(body)
    return found[-1] if found else ""


def holds(notes: tuple[Note, ...], body: str) -> bool:
    """Say whether an agent's note carries the marker of `body`. A customer who copies a marker silences nothing."""
    marker = marker_of(body)
    return bool(marker) and any(note.sender == "agent" and marker_of(note.body) == marker for note in notes)


def was_sorted(ticket: Ticket) -> bool:
    """Say whether an agent's note tells that a ticket was sorted before; what a customer writes does not count."""
    notes = (note for note in ticket.notes if note.sender == "agent" and note.body.startswith(SORTED))
    return ticket.sorted or any(marker_of(note.body) for note in notes)


def first_message(notes: tuple[Note, ...]) -> str:
    """Return the customer's first words, or the first of anyone's."""
    of_customer = next((note.body for note in notes if note.sender == "customer"), None)
    return of_customer if of_customer is not None else next((note.body for note in notes), "")


def _unquoted(text: str) -> str:
    return text.replace('"', "").strip()


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
