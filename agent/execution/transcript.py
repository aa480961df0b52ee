"""A task's conversation with its model, as it is put aside in the journal while a person decides."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from agent.domain.artifacts import Artifact
from agent.domain.provenance import Provenance
from agent.llm.protocol import ChatMessage, ToolRequest

if TYPE_CHECKING:
    from agent.domain.ledger import Usage
    from agent.execution.people import Edited

DIGITS = 16


@dataclass(slots=True)
class Transcript:
    """A task's conversation so far, its files, its labels and its use. It is JSON when it is put aside.

    `last` is the digest of the call made last, `times` how often in a row; `came` says of each call how often it has
    come to the same, and to what (a digest). `edited` is what the person has made of the call that comes next.
    """

    messages: list[ChatMessage]
    pending: list[ToolRequest] = field(default_factory=list)
    files: list[Artifact] = field(default_factory=list)
    labels: Provenance = field(default_factory=Provenance)
    usage: list[Usage] = field(default_factory=list)
    rounds: int = 0
    last: str = ""
    times: int = 0
    came: dict[str, tuple[str, int]] = field(default_factory=dict)
    edited: Edited | None = None

    def times_of(self, exact: str) -> int:
        """Return how often a call was wanted in a row, or came to the same, with this time; `exact` is its digest."""
        in_a_row = self.times if exact == self.last else 0
        return 1 + max(in_a_row, self.came.get(exact, ("", 0))[1])

    def note(self, exact: str, said: str | None) -> None:
        """Note a call that was wanted, and what it said; None when it was not made."""
        self.times = self.times + 1 if exact == self.last else 1
        self.last = exact
        before, often = self.came.get(exact, ("", 0))
        now = before if said is None else hashlib.sha256(said.encode()).hexdigest()[:DIGITS]
        self.came[exact] = (now, often + 1 if now == before else 1)

    def to_json(self) -> dict[str, Any]:
        """Return what is kept with the step while it waits."""
        return {
            "messages": [asdict(message) for message in self.messages],
            "pending": [asdict(request) for request in self.pending],
            "files": [file.to_json() for file in self.files],
            "labels": self.labels.to_json(),
            "rounds": self.rounds,
            "last": self.last,
            "times": self.times,
            "came": self.came,
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Transcript:
        """Read what `to_json` wrote."""
        return cls(
            messages=[_message(m) for m in stored["messages"]],
            pending=[ToolRequest(**request) for request in stored["pending"]],
            files=[Artifact.from_json(file) for file in stored["files"]],
            labels=Provenance.from_json(stored["labels"]),
            rounds=stored["rounds"],
            last=stored.get("last", ""),
            times=stored.get("times", 0),
            came={exact: (said, often) for exact, (said, often) in stored.get("came", {}).items()},
        )


def _message(stored: dict[str, Any]) -> ChatMessage:
    requests = tuple(ToolRequest(**request) for request in stored.get("tool_requests", ()))
    return ChatMessage(**{**stored, "tool_requests": requests, "images": ()})
