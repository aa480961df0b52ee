"""Files that steps made or a person sent, with their labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from agent.domain.provenance import NOTHING, Provenance


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file in a session's workspace. `path` is relative to it; `size` is in bytes; `sha256` in hex.

    `deliver` says that the person gets it with the answer; other files were made on the way. `created` says that the
    step made it where there was none.
    """

    path: str
    size: int = 0
    sha256: str = ""
    mime: str = "application/octet-stream"
    title: str = ""
    provenance: Provenance = NOTHING
    deliver: bool = True
    created: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the record as the journal keeps it with its step."""
        return {
            "path": self.path,
            "size": self.size,
            "sha256": self.sha256,
            "mime": self.mime,
            "title": self.title,
            "provenance": self.provenance.to_json(),
            "deliver": self.deliver,
            **({"created": True} if self.created else {}),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(**{**stored, "provenance": Provenance.from_json(stored.get("provenance"))})
