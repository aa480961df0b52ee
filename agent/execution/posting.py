"""Where a run's messages go: to the outbox at once, or, at its end, into the transaction that ends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loguru import logger

from agent.domain.messages import MessageKind, OutboundMessage
from sandbox.api import SandboxError
from sandbox.workspace import Workspace, safe_name

if TYPE_CHECKING:
    from agent.domain.messages import Bot, Destination
    from agent.domain.session import Session
    from agent.store.protocol import Store

MOST_FILES = 100


class Outbox:
    """The plainest Bot: what it is given goes to the journal, from where a channel's sender takes it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def post(self, message: OutboundMessage) -> None:
        """Journal the message."""
        await self._store.post(message)

    def busy(self, dest: Destination, *, on: bool) -> None:
        """Show nothing: nobody is looking."""


def put_aside(session: Session, run_id: int, files: list[dict[str, Any]], within: str = "") -> list[dict[str, Any]]:
    """Copy the files of an answer to where no later step can change them, and add each copy's `place`.

    What is sent is what the answer speaks of, and what a channel opens is never a link that was put in its place. One
    that is gone, or no regular file any more, is left out; of very many only the first are sent, and that is said.
    `within` is a folder of their own.
    """
    folder = session.folder / "delivered" / str(run_id) / within
    placed: dict[str, dict[str, Any]] = {}
    for file in files[:MOST_FILES]:
        name = safe_name(file["path"])
        while name in placed:
            name = f"{len(placed)}-{name}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with Workspace(session.workspace) as workspace:
                workspace.copy_out(file["path"], folder / name)
        except (OSError, SandboxError) as error:
            logger.warning("{} cannot be delivered: {}", file["path"], error)
            continue
        placed[name] = {**file, "place": str(folder / name)}
    if len(files) > MOST_FILES and placed:
        first = next(iter(placed.values()))
        said = f"The first {MOST_FILES} of {len(files)} files; /files lists them."
        first["title"] = f"{first.get('title') or ''}\n{said}".strip()
    return list(placed.values())


class LastMessages:
    """A Bot that passes drafts on and keeps what must be posted in the transaction that ends the run."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot
        self.kept: list[OutboundMessage] = []

    async def post(self, message: OutboundMessage) -> None:
        """Keep final answers and files; pass everything else on that goes anywhere."""
        if message.kind is MessageKind.FILES or message.payload.get("final"):
            self.kept.append(message)
        elif message.dest.chat_id:
            await self._bot.post(message)

    def busy(self, dest: Destination, *, on: bool) -> None:
        """Pass the sign of life on."""
        self._bot.busy(dest, on=on)
