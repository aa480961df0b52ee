"""Users for sessions, where the agent is root: each session's processes and files belong to a number of their own.

Root's files are then out of reach even should a wall fail, and the kernel's limit on a user's processes binds, which it
never does for root. The numbers need no entry anywhere.
"""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING

from loguru import logger

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.api import Policy


def user_of(session_id: str, workspace: Path, policy: Policy) -> int | None:
    """Return the session's user, who owns its workspace from now on; None where there cannot be one.

    A workspace keeps the user that it has, so that a change of the range leaves old sessions working.
    """
    if os.geteuid() != 0 or policy.users <= 0:
        return None
    now = workspace.stat().st_uid
    if policy.first_user <= now < policy.first_user + policy.users:
        return now
    digest = hashlib.sha256(session_id.encode()).digest()
    user = policy.first_user + int.from_bytes(digest[:8], "big") % policy.users
    try:
        os.chown(workspace, user, user)
    except OSError as error:  # a container has few users; some file systems have none
        logger.warning("{} cannot belong to user {}: {}", workspace, user, error.strerror)
        return None
    return user


def can_reach(path: Path) -> bool:
    """Tell whether any user gets to a path and may read it: what lies below root's home, say, is out of their reach."""
    real = path.resolve()
    try:
        return all(parent.stat().st_mode & stat.S_IXOTH for parent in real.parents) and bool(
            real.stat().st_mode & stat.S_IROTH
        )
    except OSError:
        return False


def room_within(folder: Path, user: int | None) -> Path:
    """Return where a session's temporary files go: the folder itself, or one of its user's own in it."""
    if user is None:
        return folder
    own = folder / "own"
    own.mkdir(mode=0o700, exist_ok=True)
    os.chown(own, user, user)
    folder.chmod(0o711)
    return own
