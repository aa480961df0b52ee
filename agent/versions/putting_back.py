"""Changes made in a workspace, each file whole or not at all; made again, they change nothing."""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loguru import logger

from agent.domain.versions import Change, KeptFile, same
from agent.versions.kept import Damaged
from sandbox.api import SandboxError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.versions.kept import KeptFiles
    from sandbox.workspace import Workspace


@dataclass(slots=True)
class Outcome:
    """The paths that are now as wanted, and those that were left because they are not what they were."""

    done: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def put_back(workspace: Workspace, kept: KeptFiles, changes: Sequence[Change]) -> Outcome:
    """Make the changes: what goes first, so that a folder may stand where a file was, and the other way round."""
    outcome = Outcome()
    for change in sorted(changes, key=lambda one: one.to is not None):
        made = _made(workspace, kept, change)
        (outcome.done if made else outcome.left).append(change.path)
    return outcome


def _made(workspace: Workspace, kept: KeptFiles, change: Change) -> bool:
    here = there(workspace, change.path)
    if same(here, change.to):
        return True
    if not same(here, change.was):
        return False
    try:
        if change.to is None:
            workspace.remove(change.path)
        else:
            _put(workspace, kept, change.path, change.to)
    except (SandboxError, Damaged, OSError) as error:
        logger.warning("{} could not be put back: {}", change.path, error)
        return False
    return True


def _put(workspace: Workspace, kept: KeptFiles, path: str, wanted: KeptFile) -> None:
    with kept.open(wanted) as file:
        try:
            workspace.put(path, file, wanted.mode, again=f"{wanted.sha256} {path}")
        except SandboxError:
            if any(name.startswith(f"{path}/") for name in workspace.list_files()):
                raise
            workspace.remove(path)  # a folder that has no files left
            file.seek(0)
            workspace.put(path, file, wanted.mode, again=f"{wanted.sha256} {path}")


def there(workspace: Workspace, path: str) -> KeptFile | None:
    """Return what a path holds now, None when it is no regular file."""
    with contextlib.suppress(SandboxError, OSError), workspace.open_read(path) as file:
        status = os.fstat(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # it has readinto
        return KeptFile(digest, status.st_size, status.st_mode & 0o777)
    return None
