"""What the REST API gives of sessions: their settings, files and facts. Times are seconds since 1970."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel

from agent.web.shapes import named

if TYPE_CHECKING:
    from agent.domain.session import Session, SessionFile
    from agent.memory.entries import Entry


class FileShape(BaseModel):
    """A file: its path in the workspace, its size in bytes."""

    path: str
    size: int
    changed_at: float


class SessionShort(BaseModel):
    """A session in lists."""

    id: str
    created_at: float
    seen_at: float

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """Return a session's shape."""
        return cls(**{name: row[name] for name in SessionShort.model_fields})


class SessionShape(SessionShort):
    """A session with what it may use and its history, by task."""

    profile: dict[str, Any]
    model: str | None
    language: str
    history: dict[str, list[dict[str, Any]]]

    @classmethod
    def whole(cls, row: dict[str, Any], session: Session, file: SessionFile) -> Self:
        """Return a session's shape."""
        history = {key: [one.model_dump(mode="json") for one in entries] for key, entries in file.history.items()}
        return cls(
            **{name: row[name] for name in SessionShort.model_fields},
            profile=session.profile.model_dump(mode="json"),
            model=session.model,
            language=session.language,
            history=history,
        )


class MemoryShape(BaseModel):
    """A fact that is remembered. `line` is how it stands in the file, and how it is named to be forgotten."""

    text: str
    tag: str
    date: str
    source: str
    trusted: bool
    line: str

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """Return a fact's shape."""
        return cls(**named(cls, entry, {"line": entry.line()}))
