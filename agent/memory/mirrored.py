"""What keeps sessions' files where every host has them: implemented by `agent.mirror`, given to `SessionFolders`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from agent.domain.session import Session


class SessionMirror(Protocol):
    """Every call waits for a storage that cannot be reached, for `patience` seconds (else for ever).

    After that it raises StorageFailed or StorageUnusable.
    """

    async def check(self) -> None:
        """See that the storage works, at once."""

    async def take_up(self, session: Session, holder: object) -> None:
        """Fetch the session's files; work goes on in them here until `let_go(holder)`."""

    def let_go(self, holder: object) -> None:
        """Say that the work is done."""

    async def fetch(self, session: Session, *, more: Collection[str] = (), patience: float = math.inf) -> None:
        """Bring the files here up to date; `more` are areas beyond the session's own files and workspace."""

    async def keep(
        self,
        session: Session,
        *,
        may: Callable[[], Awaitable[None]] | None = None,
        report: Callable[[float, float], None] | None = None,
        patience: float = math.inf,
    ) -> None:
        """Bring what has changed here into the storage; `may` raises where this host may not write any more."""

    def writing(
        self, session: Session, *, more: Collection[str] = (), patience: float = math.inf
    ) -> AbstractAsyncContextManager[None]:
        """Fetch, and keep what the block writes."""
        ...

    async def refresh(self, folder: Path, name: str, *, patience: float = math.inf) -> None:
        """Bring one file at the top of a session's folder up to date."""

    async def change(self, folder: Path, name: str, changed: Callable[[str], str]) -> str:
        """Change one file at the top of a session's folder, here and there, whoever else changes it."""
        ...
