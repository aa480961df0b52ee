"""/group: when the bot answers in a group; an owner's word, kept for each group."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from agent.channels.telegram.directory import CHANNEL, GROUPS
from agent.domain.messages import Door, MessageKind, OutboundMessage
from agent.texts import mark, say

if TYPE_CHECKING:
    from agent.domain.messages import Destination, InboundMessage
    from agent.store.protocol import Store

COMMAND = "/group"
OWNERS_ONLY = "Only an owner may decide this."
CHOICES = {
    "mention": mark("When mentioned, replied to or commanded"),
    "commands": mark("Commands and replies only"),
    "all": mark("Everything that is said"),
    "never": mark("Not at all"),
}


class GroupDesk(Door):
    """The command and its buttons `g/<policy>`. `policy` is that of groups without their own."""

    commands = frozenset({COMMAND})
    actions = frozenset({"g"})

    def __init__(self, store: Store, policy: str) -> None:
        self._store = store
        self._policy = policy

    async def obey(self, message: InboundMessage) -> None:
        """Show when the bot answers, with buttons to change it."""
        language = message.dest.language
        if message.dest.chat_type == "private" or message.channel != CHANNEL:
            await self._post(message.dest, _reply(message), say(language, "This is about groups: send it in one."))
        elif not message.trusted:
            await self._post(message.dest, _reply(message), say(language, OWNERS_ONLY))
        else:
            await self._store.set_value(_newest(message.dest), _reply(message))
            await self._show(message.dest)

    async def press(self, message: InboundMessage) -> str:
        """Set the policy of the group."""
        language, policy = message.dest.language, message.action.partition("/")[2]
        if not message.trusted:
            return say(language, OWNERS_ONLY)
        if policy not in CHOICES:
            return say(language, "This button is no longer known.")
        policies = json.loads(await self._store.get_value(GROUPS) or "{}")
        policies[message.dest.chat_id] = policy
        await self._store.set_value(GROUPS, json.dumps(policies))
        await self._show(message.dest)
        return say(language, CHOICES[policy])

    async def _show(self, dest: Destination) -> None:
        language = dest.language
        policies = json.loads(await self._store.get_value(GROUPS) or "{}")
        now = policies.get(dest.chat_id, self._policy)
        buttons = [
            [{"label": f"{'✓ ' if name == now else ''}{say(language, words)}", "action": f"g/{name}"}]
            for name, words in CHOICES.items()
        ]
        text = say(language, "When shall I answer in this group?")
        if now == "all":
            text += "\n" + say(
                language, "To see everything, my privacy mode must be off (@BotFather, /setprivacy), or I an admin."
            )
        await self._post(dest, await self._store.get_value(_newest(dest)) or "", text, buttons)

    async def _post(
        self, dest: Destination, key: str, text: str, buttons: list[list[dict[str, str]]] | None = None
    ) -> None:
        if key:
            payload = {"text": text, "buttons": buttons} if buttons else {"text": text}
            await self._store.post(OutboundMessage(dest, MessageKind.NOTICE, key, payload))


def _reply(message: InboundMessage) -> str:
    return message.reply_key


def _newest(dest: Destination) -> str:
    return f"group:newest:{dest.chat_id}"
