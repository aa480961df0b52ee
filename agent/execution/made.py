"""The files that a run has made where there were none: what can be thrown away when nobody wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.execution.toolbox import fingerprint
from sandbox.api import SandboxError
from sandbox.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.domain.run import StepRecord
    from agent.domain.session import Session


def made_here(session: Session, records: Iterable[StepRecord]) -> list[str]:
    """Return the files that these steps created and that are still as they left them.

    What was there before, and what anybody has changed since, is not among them.
    """
    created: dict[str, None] = {}
    newest: dict[str, str] = {}
    for record in sorted(records, key=lambda one: one.completed_at or 0.0):
        for file in record.files:
            if file.get("created"):
                created[file["path"]] = None
            newest[file["path"]] = str(file.get("sha256"))
    return [path for path in created if _digest(session, path) == newest[path]]


def throw_away(session: Session, paths: Iterable[str]) -> None:
    """Remove files from the workspace; one that is gone is passed over."""
    with Workspace(session.workspace) as workspace:
        for path in paths:
            if _digest(session, path):
                workspace.remove(path)


def _digest(session: Session, path: str) -> str:
    """Return the SHA-256 of a workspace file in hex, "" when it can't be read."""
    try:
        return fingerprint(session, path)[1]
    except (OSError, SandboxError):
        return ""
