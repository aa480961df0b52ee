"""Files that steps made or a person sent, with their labels."""

from __future__ import annotations

from dataclasses import dataclass

from agent.domain.provenance import NOTHING, Provenance


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file in a session's workspace. `path` is relative to it; `size` is in bytes; `sha256` in hex."""

    path: str
    size: int = 0
    sha256: str = ""
    mime: str = "application/octet-stream"
    title: str = ""
    provenance: Provenance = NOTHING

    @property
    def is_picture(self) -> bool:
        """True for what a chat shows as a photo."""
        return self.mime in {"image/png", "image/jpeg", "image/webp"}
