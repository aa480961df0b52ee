"""Files whose fate is unknown: the person is asked whether they arrived, since sending them twice may be wrong, too."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from agent.domain.messages import MessageKind, OutboundMessage

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.store.protocol import Store

INTERRUPTED = "interrupted"


class Doubts:
    """The question and its buttons `o/<outbox id>/…`. `wall` gives seconds since 1970."""

    def __init__(self, store: Store, wall: Callable[[], float]) -> None:
        self._store = store
        self._wall = wall

    async def press(self, action: str) -> str | None:
        """Act on a press of `o/<outbox id>/again` or `…/arrived`; return what to show, None when it is not ours."""
        kind, _, rest = action.partition("/")
        number, _, verb = rest.partition("/")
        if kind != "o" or not number.isdigit() or verb not in {"again", "arrived"}:
            return None
        noted = await self._store.get_value(_asked_about(int(number)))
        if not noted:
            return "Too late: this has been settled already."
        await self._store.set_value(_asked_about(int(number)), "")
        await self._settle(int(number), json.loads(noted), again=verb == "again")
        return "Sending it again." if verb == "again" else "Good."

    async def ask(self, message: OutboundMessage, error: str) -> None:
        """Give the files up and ask the person; the question comes first, so that a crash in between asks again."""
        names = ", ".join(str(path).rsplit("/", 1)[-1] for path in message.payload.get("paths", ()))
        attempt = message.attempts + (message.state != "sending")
        ask = OutboundMessage(
            dest=message.dest,
            kind=MessageKind.NOTICE,
            key=f"{message.key}/interrupted/{message.message_id}/{attempt}",
            payload={
                "text": f"The connection ended while I was sending {names}. I don't know whether everything arrived.",
                "buttons": [
                    [
                        {"label": "Send again", "action": f"o/{message.id}/again"},
                        {"label": "It arrived", "action": f"o/{message.id}/arrived"},
                    ]
                ],
            },
            session_id=message.session_id,
            run_id=message.run_id,
        )
        noted = {"version": message.version, "key": ask.key}
        await self._store.set_value(_asked_about(message.id), json.dumps(noted))
        await self._store.post(ask)
        await self._store.mark_failed(message.id, error, retry_at=None)

    async def _settle(self, outbox_id: int, noted: dict[str, str], *, again: bool) -> None:
        if again:
            await self._store.mark_failed(outbox_id, "asked for again", retry_at=self._wall())
        else:
            await self._store.mark_sent(outbox_id, int(noted["version"]), "")
        ask = await self._store.get_message(noted["key"])
        if ask is not None:
            said = "Sent again." if again else "It arrived."
            text = f"{ask.payload['text']}\n{said}"
            await self._store.post(replace(ask, payload={"text": text}))
        self._store.outbox_changed.set()


def _asked_about(outbox_id: int) -> str:
    return f"outbox:asked:{outbox_id}"
