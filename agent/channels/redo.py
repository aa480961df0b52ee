"""A request whose words were changed after it had begun: one button does it again with the new words."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from agent.domain.messages import Door, MessageKind, OutboundMessage
from agent.texts import say

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent.domain.messages import InboundMessage
    from agent.domain.run import Run
    from agent.store.protocol import Store

NOT_YOURS = "Only the person who asked may do that."


class RedoDesk(Door):
    """The button `e/<inbox id>/redo`. `hear` takes the new words as a message; `stop` ends the run of the old ones."""

    actions = frozenset({"e"})

    def __init__(
        self,
        store: Store,
        hear: Callable[[InboundMessage], Awaitable[None]],
        stop: Callable[[Run], Awaitable[str]],
    ) -> None:
        self._store = store
        self._hear = hear
        self._stop = stop

    async def obey(self, message: InboundMessage) -> None:
        """There are no commands here."""

    async def press(self, message: InboundMessage) -> str:
        """Stop what the old words began, store the new ones as a message of their own, and hear them."""
        language = message.dest.language
        number = message.action.split("/")[1]
        text = await self._store.get_value(f"edit:{number}") if number.isdecimal() else None
        runs = await self._store.recent_runs(message.dest.session_id, 20)
        run = next((run for run in runs if str(run.inbox_id) == number), None)
        if not text or run is None:
            return say(language, "Too late: this has been settled already.")
        if not message.trusted and run.user_id != message.user_id:
            return say(language, NOT_YOURS)
        again = replace(
            message,
            update_id=f"redo:{number}:{message.update_id}",
            action="",
            text=text,
            message_id=run.dest.reply_to,
            dest=replace(message.dest, reply_to=run.dest.reply_to),
        )
        if run.completed_at is None:
            await self._stop(run)
        stored = await self._store.receive([again])
        await self._store.set_value(f"edit:{number}", "")
        said = {"text": say(language, "Doing it again with the new words.")}
        await self._store.post(OutboundMessage(again.dest, MessageKind.NOTICE, f"edit/{number}", said))
        for fresh in stored:
            await self._hear(fresh)
        return say(language, "Doing it again.")
