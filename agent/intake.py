"""What people send along: files and quoted words, copied into the workspace with a label of where they come from."""

from __future__ import annotations

import hashlib
import mimetypes
import re
from pathlib import Path
from typing import TYPE_CHECKING

from agent.domain.artifacts import Artifact
from agent.domain.provenance import Provenance
from agent.execution.toolbox import fingerprint
from sandbox.api import SandboxError
from sandbox.workspace import Workspace

if TYPE_CHECKING:
    from agent.domain.messages import Attachment, InboundMessage
    from agent.domain.session import Session
    from agent.memory.session_file import SessionFolders
    from agent.store.protocol import Store

UNFIT = re.compile(r"[^\w-]+")


class Intake:
    """Takes files in. A file that is there already with the same bytes is kept as it is."""

    def __init__(self, store: Store, sessions: SessionFolders) -> None:
        self._store = store
        self._sessions = sessions

    async def keep_quote(self, session: Session, message: InboundMessage) -> str:
        """Keep quoted and forwarded text, which is somebody else's, as a file with that label; return its name."""
        if not message.quoted:
            return ""
        name = f"quoted-{UNFIT.sub('-', message.message_id or message.update_id)}.txt"
        async with self._sessions.writing(session):
            with Workspace(session.workspace) as workspace:
                workspace.write_bytes(name, message.quoted.encode())
        label = Provenance.of(f"quoted:{name}", trusted=False, private=True)
        file = Artifact(name, len(message.quoted.encode()), "", "text/plain", provenance=label)
        await self._store.add_artifacts(session.id, None, "", [file])
        return name

    async def take_files(self, session: Session, message: InboundMessage) -> list[str]:
        """Copy attachments into the workspace, labelled; a file that is there already with the same bytes is kept."""
        saved: list[str] = []
        for attachment in message.attachments:
            if not attachment.path:
                continue
            trusted = attachment.trusted and message.trusted
            saved.append(await self.take_file(session, attachment, trusted=trusted))
        return saved

    async def take_file(self, session: Session, attachment: Attachment, *, trusted: bool) -> str:
        source = Path(attachment.path)
        digest = _sha256(source)
        async with self._sessions.writing(session):
            name = _same_file(session, attachment.name, digest)
            if not name:
                with Workspace(session.workspace) as workspace:
                    name = workspace.copy_in(source, attachment.name)
        mime = attachment.mime or mimetypes.guess_type(name)[0] or "application/octet-stream"
        label = Provenance.of(f"file:{name}", trusted=trusted, private=True)
        size = source.stat().st_size  # noqa: ASYNC240  # one short call
        await self._store.add_artifacts(session.id, None, "", [Artifact(name, size, digest, mime, provenance=label)])
        return name


def about_files(names: list[str]) -> str:
    """Return what is said of files that came without words."""
    listed = ", ".join(names)
    return (
        f"Saved {listed}. What should I do with it?"
        if len(names) == 1
        else f"Saved {listed}. What should I do with them?"
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _same_file(session: Session, name: str, digest: str) -> str:
    """Return `name` when the workspace has that file with these bytes."""
    try:
        return name if fingerprint(session, name)[1] == digest else ""
    except (OSError, SandboxError):
        return ""
