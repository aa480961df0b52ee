"""What a chat is asked for in words after a press: a name, a time. The person's next message is the answer."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.domain.messages import Destination, InboundMessage
    from agent.store.protocol import Store

SECONDS = 600.0
CHARS = 200


@dataclass(frozen=True, slots=True)
class Awaited:
    """Keeps what is awaited in the journal: one thing for each person in each chat, for ten minutes."""

    store: Store
    clock: Callable[[], float] = time.time

    async def expect(self, dest: Destination, user_id: str, door: str, what: dict[str, Any], prompt: str) -> None:
        """Await a message of this person; `prompt` is the key of the message that asks for it."""
        kept = {"door": door, "what": what, "prompt": prompt, "until": self.clock() + SECONDS}
        await self.store.set_value(_key(dest, user_id), json.dumps(kept))

    async def forget(self, dest: Destination, user_id: str) -> None:
        """Await nothing any more."""
        await self.store.set_value(_key(dest, user_id), "")

    async def taken(self, message: InboundMessage, door: str) -> dict[str, Any]:
        """Return what a message answers, {} when it answers nothing of this door's.

        The same message heard twice is the same answer both times. In a group it has to be a reply.
        """
        key = _key(message.dest, message.user_id)
        kept = json.loads(await self.store.get_value(key) or "{}")
        if not kept or kept["door"] != door or len(message.text) > CHARS or "\n" in message.text.strip():
            return {}
        if kept.get("by"):
            return dict(kept["what"]) if kept["by"] == _name(message) else {}
        if kept["until"] < self.clock() or not await self._meant(message, kept["prompt"]):
            return {}
        await self.store.set_value(key, json.dumps({**kept, "by": _name(message)}))
        return dict(kept["what"])

    async def _meant(self, message: InboundMessage, prompt: str) -> bool:
        if not message.reply_to:
            return message.dest.chat_type == "private"
        shown = await self.store.get_message(prompt)
        return shown is not None and shown.message_id == message.reply_to


def _key(dest: Destination, user_id: str) -> str:
    return f"awaited:{dest.session_id}:{user_id}"


def _name(message: InboundMessage) -> str:
    return f"{message.channel}:{message.update_id}"
