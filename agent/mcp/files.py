"""Files that come of a call: those in its answer, and those that a server inside has written meanwhile."""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.domain.artifacts import Artifact
from sandbox.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.domain.session import Session
    from sandbox.snapshots import Snapshot

UNKNOWN = "application/octet-stream"
MOST_DELIVERED = 20  # more is no answer, but a server's own business, such as a checkout


def save(session: Session, files: Mapping[str, bytes]) -> tuple[Artifact, ...]:
    """Write files of an answer into the workspace, over none that is there, and return what they are."""
    made = []
    with Workspace(session.workspace) as workspace:
        there = set(workspace.list_files()) if files else set()
        for wanted, data in files.items():
            name = _free(wanted, there)
            there.add(name)
            workspace.write_bytes(name, data)
            sha256 = hashlib.sha256(data).hexdigest()
            made.append(Artifact(name, len(data), sha256, mimetypes.guess_type(name)[0] or UNKNOWN, created=True))
    return tuple(made)


def _free(wanted: str, there: set[str]) -> str:
    stem, dot, ending = wanted.rpartition(".")
    number, name = 2, wanted
    while name in there:
        name, number = f"{stem}-{number}{dot}{ending}", number + 1
    return name


@dataclass(frozen=True, slots=True)
class Changes:
    """What the workspace looked like before a call."""

    session: Session
    before: Snapshot

    @classmethod
    async def begin(cls, session: Session) -> Changes:
        """Look at the workspace now."""
        return cls(session, await asyncio.to_thread(_look, session))

    async def since(self, *, deliver: bool) -> tuple[Artifact, ...]:
        """Return the files that are new or different since; `deliver` says that the person gets them."""
        return await asyncio.to_thread(self._since, deliver=deliver)

    def _since(self, *, deliver: bool) -> tuple[Artifact, ...]:
        with Workspace(self.session.workspace) as workspace:
            changed = workspace.diff(self.before, workspace.snapshot())
        made = [one for one in changed if one.change != "deleted"]
        deliver = deliver and len(made) <= MOST_DELIVERED
        return tuple(
            Artifact(
                one.path,
                one.size,
                one.sha256,
                mimetypes.guess_type(one.path)[0] or UNKNOWN,
                deliver=deliver and not one.path.startswith(".") and "/." not in one.path,
                created=one.change == "added",
            )
            for one in made
        )


def _look(session: Session) -> Snapshot:
    with Workspace(session.workspace) as workspace:
        return workspace.snapshot()
