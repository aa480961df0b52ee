"""Sessions: one per chat and topic, each with its own profile, workspace, memory and history."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from agent.domain.messages import Destination

LIVE = "live"  # what the setting `drafts` says besides true and false; see `Session`
UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class Profile(BaseModel):
    """What a session may use. `"*"` allows all; a name allows a plugin, a single tool or a skill; `denied` wins."""

    model_config = ConfigDict(extra="forbid")

    role: str = "owner"
    plugins: tuple[str, ...] = ("*",)
    tools: tuple[str, ...] = ("*",)
    skills: tuple[str, ...] = ("*",)
    denied: tuple[str, ...] = ()


class HistoryEntry(BaseModel):
    """One finished request in the orchestrator's history: what was asked, what came of it, how it ended.

    `untrusted` names the untrusted sources that the outcome was made of; `private` says that private data was.
    """

    model_config = ConfigDict(extra="forbid")

    at: str
    request: str
    outcome: str
    status: str = "COMPLETED"
    untrusted: tuple[str, ...] = ()
    private: bool = False


class SessionFile(BaseModel):
    """The contents of `SESSION.json`. `history` maps a task key to its newest entries, oldest first, 25 at most."""

    model_config = ConfigDict(extra="forbid")

    id: str
    profile: Profile = Field(default_factory=Profile)
    model: str | None = None
    language: str = "en"
    working_folder: str = "work"
    history: dict[str, list[HistoryEntry]] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Session:
    """A conversation. `id` is its key, such as `telegram:4711` or `telegram:-100123:77` (chat and topic).

    `folder` holds `SESSION.json`, `MEMORY.md` and the workspace; only the workspace is visible inside the sandbox.
    `drafts` says whether answers show while they are written, `live` that they do so in the channel's own drafts where
    it has any.
    """

    id: str
    folder: Path
    profile: Profile
    language: str = "en"
    model: str | None = None
    working_folder: str = "work"
    drafts: bool = True
    live: bool = False

    @property
    def workspace(self) -> Path:
        """The only folder that steps of this session may write."""
        return self.folder / self.working_folder


def folder_name(session_id: str) -> str:
    """Return a safe folder name for a session's id; different ids of our own making never collide."""
    return UNSAFE.sub("_", session_id)


def session_id_of(session: Any, place: Destination) -> str:
    """Return a session's id from a Session, a dictionary or object with an id, or the id itself; else the place's."""
    if isinstance(session, str):
        return session
    found = session.get("id") if isinstance(session, Mapping) else getattr(session, "id", None)
    return str(found) if found else place.session_id
