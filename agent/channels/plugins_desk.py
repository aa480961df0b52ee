"""/plugins: what is loaded, what its tools do to the world, and what is broken; for owners."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.domain.messages import Door, MessageKind, OutboundMessage
from agent.texts import mark, retell, say

if TYPE_CHECKING:
    from agent.catalogue import Catalogue
    from agent.domain.messages import Destination, InboundMessage
    from agent.store.protocol import Store
    from plugins.loader import LoadedPlugin

COMMAND, ACTION = "/plugins", "i"
PAGE = 12
TOOLS = 12
REMARK = 300
HELD = mark("held back until you trust it (`dirigent plugins trust {name}`): {what}")
OWNERS_ONLY = "Only an owner may decide this."


class PluginsDesk(Door):
    """The command and its buttons `i/<page>`."""

    commands = frozenset({COMMAND})
    actions = frozenset({ACTION})

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self._store = store
        self._catalogue = catalogue

    async def obey(self, message: InboundMessage) -> None:
        """Show the first page to an owner."""
        key = message.reply_key
        if not message.trusted:
            await self._post(message.dest, key, {"text": say(message.dest.language, OWNERS_ONLY)})
            return
        await self._store.set_value(_newest(message.dest), key)
        await self._show(message.dest, 0)

    async def press(self, message: InboundMessage) -> str:
        """Show another page."""
        page = message.action.partition("/")[2]
        if not message.trusted:
            return say(message.dest.language, OWNERS_ONLY)
        await self._show(message.dest, int(page) if page.isdecimal() else 0)
        return ""

    async def _show(self, dest: Destination, page: int) -> None:
        key = await self._store.get_value(_newest(dest))
        if not key:
            return
        loaded = sorted(self._catalogue.plugins, key=lambda plugin: (not plugin.error, plugin.name))
        pages = -(-len(loaded) // PAGE)
        page = min(page, max(pages - 1, 0))
        lines = [self._line(plugin, dest.language) for plugin in loaded[page * PAGE : (page + 1) * PAGE]]
        turn = [{"label": f"{'◀' if other < page else '▶'} {other + 1}/{pages}", "action": f"{ACTION}/{other}"}
                for other in (page - 1, page + 1) if 0 <= other < pages]  # fmt: skip
        payload: dict[str, Any] = {"text": "\n".join(lines) or say(dest.language, mark("There are no plugins."))}
        await self._post(dest, key, {**payload, **({"buttons": [turn]} if turn else {})})

    def _line(self, plugin: LoadedPlugin, language: str) -> str:
        """Return a plugin's line, and what its owner should know of it."""
        notes = [retell(language, self._catalogue.remark(plugin.name))]
        if plugin.held_back:
            listed = "; ".join(f"{name} {why}" for name, why in plugin.held_back.items())
            notes = [retell(language, plugin.note), say(language, HELD, name=plugin.name, what=listed)]
        return "\n".join([_line(plugin, language), *(f"⚠️ {said[:REMARK]}" for said in notes if said)])

    async def _post(self, dest: Destination, key: str, payload: dict[str, Any]) -> None:
        await self._store.post(OutboundMessage(dest, MessageKind.NOTICE, key, payload, session_id=dest.session_id))


def _line(plugin: LoadedPlugin, language: str) -> str:
    """Return a plugin in a line or two: its tools with a mark on those that change something outside, or its fault."""
    if plugin.error:
        return f"⚠️ {plugin.name}: {say(language, mark('could not be loaded: {why}'), why=plugin.error)[:300]}"
    names = [f"{spec.name}{' 🔐' if spec.effect == 'effect' else ''}" for spec in plugin.tools]
    more = f" +{len(names) - TOOLS}" if len(names) > TOOLS else ""
    return f"🧩 {plugin.name}: {', '.join(names[:TOOLS])}{more}".rstrip(": ")


def _newest(dest: Destination) -> str:
    return f"plugins:newest:{dest.session_id}"
