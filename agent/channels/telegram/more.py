"""Which commands find room in the menu, and /more, which lists the others a page at a time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agent.commands import HELP
from agent.domain.messages import Door, MessageKind, OutboundMessage
from agent.texts import say

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.domain.messages import Destination, InboundMessage
    from agent.store.protocol import Store

MORE = "/more"
NAME = re.compile(r"[a-z0-9_]{1,32}")
MOST = 100
BYTES = 7_800
LONGEST = 120
PAGE = 25

Listed = list[tuple[str, str]]


def fitting(own: Listed, plugins: Mapping[str, str], more: tuple[str, str]) -> tuple[Listed, Listed]:
    """Return what goes into the menu, and what is left for /more, which then is in the menu too.

    Telegram takes 100 commands and about 7.8 kB in all; its names are `a-z`, digits and `_`.
    """
    wanted = [(name, " ".join(what.split())[:LONGEST] or name) for name, what in sorted(plugins.items())]
    menu, rest = list(own), [entry for entry in wanted if not NAME.fullmatch(entry[0])]
    room = BYTES - sum(_size(entry) for entry in [*own, more])
    for entry in wanted:
        if entry in rest:
            continue
        if len(menu) < MOST - 1 and _size(entry) <= room:
            menu.append(entry)
            room -= _size(entry)
        else:
            rest.append(entry)
    return ([*menu, more] if rest else menu), rest


def _size(entry: tuple[str, str]) -> int:
    return len(entry[0].encode()) + len(entry[1].encode())


class MoreDesk(Door):
    """The command /more and its buttons `m/<page>`. `plugins` gives the plugins' commands and what they do."""

    commands = frozenset({MORE})
    actions = frozenset({"m"})

    def __init__(self, store: Store, plugins: Callable[[], Mapping[str, str]]) -> None:
        self._store = store
        self._plugins = plugins

    async def obey(self, message: InboundMessage) -> None:
        """Show the first page."""
        await self._store.set_value(_newest(message.dest), message.reply_key)
        await self._show(message.dest, 0)

    async def press(self, message: InboundMessage) -> str:
        """Show another page."""
        page = message.action.partition("/")[2]
        await self._show(message.dest, int(page) if page.isdecimal() else 0)
        return ""

    async def _show(self, dest: Destination, page: int) -> None:
        key = await self._store.get_value(_newest(dest))
        if not key:
            return
        own = [(name.lstrip("/"), what) for name, what in HELP.items()]
        rest = fitting(own, self._plugins(), (MORE.lstrip("/"), "more"))[1]
        at = page * PAGE
        lines = [f"/{name} — {what}" for name, what in rest[at : at + PAGE]]
        arrows = [("◂", page - 1)] if page else []
        arrows += [("▸", page + 1)] if at + PAGE < len(rest) else []
        row = [{"label": arrow, "action": f"m/{number}"} for arrow, number in arrows]
        text = "\n".join(lines) or say(dest.language, "There are no more commands than those of the menu.")
        payload = {"text": text, "buttons": [row]} if row else {"text": text}
        await self._store.post(OutboundMessage(dest, MessageKind.NOTICE, key, payload))


def _newest(dest: Destination) -> str:
    return f"more:newest:{dest.session_id}"
