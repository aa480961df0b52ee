"""/settings: the language that Dirigent speaks with a person (Telegram's own at first), and what a chat sets itself."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from agent import commands
from agent.channels import chat_settings
from agent.channels.telegram.directory import SPOKEN
from agent.domain.messages import Door, MessageKind, OutboundMessage
from agent.errors import DirigentError
from agent.texts import LANGUAGES, say

if TYPE_CHECKING:
    from agent.channels.chat_settings import ChatSettings
    from agent.domain.messages import Destination, InboundMessage
    from agent.store.protocol import Store

COMMAND = "/settings"
NAMES = {"en": "English", "de": "Deutsch", "fr": "Français", "ru": "Русский", "zh": "中文"}


class SettingsDesk(Door):
    """The command and its buttons: `l/<language>`, and those of `chat`, the chat's own settings."""

    commands = frozenset({COMMAND})
    actions = frozenset({"l", chat_settings.ACTION})

    def __init__(self, store: Store, chat: ChatSettings | None = None) -> None:
        self._store = store
        self._chat = chat

    async def obey(self, message: InboundMessage) -> None:
        """Show the settings with their buttons; `/settings zone NAME` sets the time zone first."""
        given = commands.parse(message.text)
        try:
            if self._chat is not None and given is not None:
                await self._chat.typed(message, given.rest)
        except DirigentError as error:
            key, payload = message.reply_key, {"text": str(error)}
            await self._store.post(OutboundMessage(message.dest, MessageKind.NOTICE, key, payload))
            return
        await self._store.set_value(_newest(message), message.reply_key)
        await self._show(message, message.dest)

    async def press(self, message: InboundMessage) -> str:
        """Speak another language with this person, or change what the chat sets itself."""
        if self._chat is not None and message.action.startswith(f"{chat_settings.ACTION}/"):
            said = await self._chat.press(message)
            await self._show(message, message.dest)
            return said
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
        if self._chat is not None:
            more, rows = await self._chat.shown(message, now)
            is_menu = rows[-1][-1]["action"] == f"{chat_settings.ACTION}/back"
            text, buttons = (more, rows) if is_menu else (f"{text}\n\n{more}", [*buttons, *rows])
        payload = {"text": text, "buttons": buttons}
        await self._store.post(OutboundMessage(dest, MessageKind.NOTICE, key, payload))


def _newest(message: InboundMessage) -> str:
    return f"settings:newest:{message.dest.session_id}:{message.user_id}"
