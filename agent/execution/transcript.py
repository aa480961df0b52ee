"""A task's conversation with its model, as it is put aside in the journal while a person decides."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from agent.domain.artifacts import Artifact
from agent.domain.provenance import Provenance
from agent.llm.protocol import ChatMessage, ToolRequest

if TYPE_CHECKING:
    from agent.domain.ledger import Usage
    from agent.execution.people import Edited


@dataclass(slots=True)
class Transcript:
    """A task's conversation so far, its files, its labels and its use. It is JSON when it is put aside.

    `last` is the digest of the call made last, `times` how often in a row; `edited` what the person has made of the
    call that comes next.
    """

    messages: list[ChatMessage]
    pending: list[ToolRequest] = field(default_factory=list)
    files: list[Artifact] = field(default_factory=list)
    labels: Provenance = field(default_factory=Provenance)
    usage: list[Usage] = field(default_factory=list)
    rounds: int = 0
    last: str = ""
    times: int = 0
    edited: Edited | None = None

    def times_of(self, exact: str) -> int:
        """Return how often in a row a call has been wanted, with this time; `exact` is its digest."""
        return self.times + 1 if exact == self.last else 1

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
        )


def _message(stored: dict[str, Any]) -> ChatMessage:
    requests = tuple(ToolRequest(**request) for request in stored.get("tool_requests", ()))
    return ChatMessage(**{**stored, "tool_requests": requests, "images": ()})
