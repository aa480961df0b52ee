"""/settings: the language that Dirigent speaks with a person; Telegram's own, until they choose another."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from agent.channels.telegram.directory import SPOKEN
from agent.domain.messages import MessageKind, OutboundMessage
from agent.texts import LANGUAGES, say

if TYPE_CHECKING:
    from agent.domain.messages import Destination, InboundMessage
    from agent.store.protocol import Store

COMMAND = "/settings"
NAMES = {"en": "English", "de": "Deutsch", "fr": "Français", "ru": "Русский", "zh": "中文"}


class SettingsDesk:
    """The command and its buttons `l/<language>`."""

    commands = frozenset({COMMAND})
    actions = frozenset({"l"})

    def __init__(self, store: Store) -> None:
        self._store = store

    async def wish(self, message: InboundMessage) -> bool:  # noqa: ARG002 - the protocol's
        """Leave every message to others."""
        return False

    async def obey(self, message: InboundMessage) -> None:
        """Show the settings with their buttons."""
        await self._store.set_value(_newest(message), f"reply:{message.channel}:{message.update_id}")
        await self._show(message, message.dest)

    async def press(self, message: InboundMessage) -> str:
        """Speak another language with this person."""
        language = message.action.partition("/")[2]
        if language not in LANGUAGES:
            return say(message.dest.language, "This button is no longer known.")
        spoken = json.loads(await self._store.get_value(SPOKEN) or "{}")
        spoken[message.user_id] = language
        await self._store.set_value(SPOKEN, json.dumps(spoken))
        await self._show(message, replace(message.dest, language="" if language == "en" else language))
        return NAMES[language]

    async def _show(self, message: InboundMessage, dest: Destination) -> None:
        key = await self._store.get_value(_newest(message))
        if not key:
            return
        now = dest.language or "en"
        buttons = [
            [{"label": f"{'✓ ' if code == now else ''}{name}", "action": f"l/{code}"}] for code, name in NAMES.items()
        ]
        text = say(now, "Language of buttons, plans and notices. Answers are in the language of the request.")
        payload = {"text": text, "buttons": buttons}
        await self._store.post(OutboundMessage(dest, MessageKind.NOTICE, key, payload))


def _newest(message: InboundMessage) -> str:
    return f"settings:newest:{message.dest.session_id}:{message.user_id}"
