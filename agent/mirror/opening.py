"""The mirror that an installation's settings ask for."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from agent.mirror.mirror import Mirror
from agent.mirror.objects import open_objects

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.config import AppConfig
    from agent.config.sessions import Sessions
    from agent.mirror.single import Merge

FOLDER = "mirror"


def open_mirror(config: AppConfig, merges: Mapping[str, Merge], settings: Sessions | None = None) -> Mirror:
    """Return the mirror of `[sessions]`, or of other `settings`; what is known of another storage stays apart.

    Nothing is called yet. Raises StorageUnusable for settings that cannot be.
    """
    chosen = settings or config.sessions
    storage = hashlib.sha256(f"{chosen.endpoint} {chosen.address}".encode()).hexdigest()[:16]
    return Mirror(open_objects(chosen), config.folder / FOLDER / storage, merges, transfers=chosen.transfers)
