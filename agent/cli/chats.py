"""Which chat a command means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.errors import ConfigError

if TYPE_CHECKING:
    from agent.app import App
    from agent.domain.messages import Destination


async def destination(app: App, wanted: str) -> Destination:
    """Return a known chat by its id, or where automation reports when none is named.

    Raises ConfigError, naming the chats that there are.
    """
    from agent.domain.messages import Destination

    if not wanted:
        return await app.scheduled.destination()
    chats = {str(session["id"]): session["dest"] for session in await app.store.sessions()}
    if wanted not in chats:
        hint = f"There are {', '.join(sorted(chats))}." if chats else "Say hello to it first."
        raise ConfigError(f"There is no chat {wanted!r}.", hint=hint)
    return Destination.from_json(chats[wanted])
