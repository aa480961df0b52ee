"""/start: what this is, and for owners whether everything is there that it needs, with buttons to go on."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from agent.domain.messages import Door, MessageKind, OutboundMessage
from agent.texts import mark, say

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent.domain.messages import InboundMessage
    from agent.store.protocol import Store

COMMAND = "/start"
FACTS = "telegram:facts"
BUTTONS = ((("Try an example", "example"),), (("What can you do?", "help"), ("Settings", "settings")))
LABELS = (mark("Try an example"), mark("What can you do?"), mark("Settings"))


@dataclass(frozen=True, slots=True)
class Checks:
    """What an owner wants to know at first. `reachable` None: there is no model; `remedy` is for the sandbox."""

    model: str
    reachable: bool | None
    voice: bool
    sandbox: str
    remedy: str = ""


class StartDesk(Door):
    """The command and its buttons `w/<what>`. `hear` takes what a button stands for as the person's message."""

    commands = frozenset({COMMAND})
    actions = frozenset({"w"})

    def __init__(
        self,
        store: Store,
        hear: Callable[[InboundMessage], Awaitable[None]],
        checks: Callable[[], Awaitable[Checks]],
        examples: Callable[[], list[str]],
    ) -> None:
        self._store = store
        self._hear = hear
        self._checks = checks
        self._examples = examples

    async def obey(self, message: InboundMessage) -> None:
        """Say what this is; to an owner in private also what works."""
        language = message.dest.language
        lines = [say(language, "👋 I plan tasks, ask when unsure, then do them.")]
        if message.trusted and message.dest.chat_type == "private":
            lines += told(language, await self._checks(), json.loads(await self._store.get_value(FACTS) or "{}"))
        examples = self._examples()
        rows = [[{"label": label, "action": f"w/{what}"} for label, what in row] for row in BUTTONS]
        if not examples:
            rows = rows[1:]
        else:
            lines += ["", say(language, "For example:"), f"“{examples[0]}”"]
        payload = {"text": "\n".join(lines), "buttons": rows}
        key = message.reply_key
        await self._store.post(
            OutboundMessage(message.dest, MessageKind.NOTICE, key, payload, session_id=message.dest.session_id)
        )

    async def press(self, message: InboundMessage) -> str:
        """Hear what the button stands for, as if the person had typed it."""
        what = message.action.partition("/")[2]
        examples = self._examples()
        texts = {"help": "/help", "settings": "/settings", **({"example": examples[0]} if examples else {})}
        if what not in texts:
            return say(message.dest.language, "This button is no longer known.")
        typed = replace(message, update_id=f"start:{message.update_id}", action="", text=texts[what], message_id="")
        for fresh in await self._store.receive([typed]):
            await self._hear(fresh)
        return ""


def told(language: str, checks: Checks, facts: dict[str, Any]) -> list[str]:
    """Return the checks in words, each fault with its way on."""
    model = f"{say(language, 'Model: {name}', name=checks.model)} {_tick(works=checks.reachable is not False)}"
    lines = [model]
    if checks.reachable is None:
        lines.append(say(language, "Without a model, commands and simple requests work; `dirigent init` adds one."))
    elif not checks.reachable:
        lines.append(say(language, "The model server can't be reached; `dirigent doctor` says more."))
    voice = f"{say(language, 'Voice')} {_tick(works=checks.voice)}"
    lines.append(f"{say(language, 'Files')} ✓ · {voice} · {say(language, 'Sandbox')}: {checks.sandbox}")
    lines += [checks.remedy] if checks.remedy else []
    if facts.get("topics"):
        lines.append(say(language, "Topics: each is a conversation of its own."))
    if facts:
        reads_all = mark("Groups: privacy mode is off, I see every message; /group says when I answer.")
        own_only = mark("Groups: privacy mode is on, I see only what is meant for me.")
        lines.append(say(language, reads_all if facts.get("reads_groups") else own_only))
    return lines


def _tick(*, works: bool) -> str:
    return "✓" if works else "✗"
