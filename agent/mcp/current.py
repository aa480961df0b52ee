"""The servers as they are configured and accepted now: what `dirigent mcp` writes counts in processes that run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from loguru import logger

from agent.config import Installation, load_config
from agent.errors import ConfigError
from agent.mcp.accepted import FOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.config import AppConfig
    from agent.config.mcp import McpServer

SETTINGS = "dirigent.toml"
LATE = "it is there after a restart of `dirigent`"
Stamp = tuple[tuple[int, int, int], ...]


class Current:
    """A configuration whose `mcp` and `tools` are those of the home's files as they are now; all else stays.

    One that was not read from files keeps its servers, and only what is accepted of them changes. `late` says what a
    server needs that this process was not started with, by the server's name.
    """

    def __init__(self, config: AppConfig) -> None:
        self._began = config
        # What was read from files may have changed since it was, so these are looked at once in any case.
        self._stamp = () if isinstance(config, Installation) else _stamp(config.folder)
        self.config = config
        self.late: Mapping[str, str] = {}

    def changed(self) -> bool:
        """Look at the files, and say whether they differ from the last time. Files with mistakes change nothing."""
        now = _stamp(self._began.folder)
        if now == self._stamp:
            return False
        self._stamp = now
        if isinstance(self._began, Installation):
            try:
                told = load_config(home=self._began.home)
            except ConfigError as error:
                logger.warning("the settings were changed, and can't be used; the old ones stay in use: {}", error)
                return False
            self.config = self._began.model_copy(update={"mcp": told.mcp, "tools": told.tools})
            self.late = {name: why for name, one in told.mcp.items() if (why := self._missing(one))}
        return True

    def _missing(self, settings: McpServer) -> str:
        """Return what boxes that are there already do not show, and secrets that logs and results do not hide yet."""
        shown = set(self._began.server_folders)
        for folder in settings.folders:
            if Path(folder).expanduser().absolute() not in shown:
                return f"the folder {folder} is not shown inside yet: {LATE}"
        for name in settings.shown_secrets:
            if name not in self._began.secrets:
                return f"the secret {name} is not known yet: {LATE}"
        return ""


def _stamp(home: Path) -> Stamp:
    """Return what changes when the settings do, or the files that hold what is accepted, which are only replaced."""
    return tuple(_of(path) for path in (home / SETTINGS, home / FOLDER))


def _of(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)
