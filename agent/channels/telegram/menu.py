"""The command menu: per kind of chat and language, within what Telegram takes; the rest is under /more."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from loguru import logger
from telegram import BotCommand, BotCommandScopeAllGroupChats, BotCommandScopeAllPrivateChats, BotCommandScopeChat
from telegram.error import BadRequest, TelegramError

from agent.channels.telegram.more import MORE, fitting
from agent.commands import HELP
from agent.texts import LANGUAGES, mark, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from telegram import Bot, BotCommandScope

    from agent.channels.telegram.tasks import Tasks
    from agent.store.protocol import Store

KEPT = "telegram:menu"
MOST_OWNERS = 20
IN_GROUPS = ("/stop", "/plan", "/files", "/status", "/help")
OWNERS = {"/users": mark("who may use me (owners)"), "/plugins": mark("the plugins and their tools (owners)")}
GROUP = {"/group": mark("when I answer in this group (owners)")}
MORE_SAYS = mark("more commands")

Menus = list[tuple[str, str, list[tuple[str, str]]]]


class Menu:
    """Publishes the menus. `plugins` gives the plugins' commands (without slash) and what they do.

    Once `tasks` is ending, what is left out now is done at the next start.
    """

    def __init__(self, bot: Bot, store: Store, plugins: Mapping[str, str], tasks: Tasks) -> None:
        self._bot = bot
        self._store = store
        self._plugins = plugins
        self._tasks = tasks

    async def publish(self, owners: Iterable[int]) -> None:
        """Have Telegram show the menus, unless it has them already. A menu is not worth a retry."""
        menus = self.menus(owners)
        digest = hashlib.sha256(json.dumps(menus).encode()).hexdigest()
        if await self._store.get_value(KEPT) == digest:
            return
        without: set[str] = set()  # owners who have not spoken to the bot: it may not know their chats
        for place, language, commands in menus:
            if self._tasks.ending:
                return
            try:
                if place not in without:
                    await self._set(place, language, commands)
            except BadRequest as error:
                logger.info("The command menu of {} was not set: {}", place, error)
                without.add(place)
            except TelegramError as error:
                logger.warning("The command menu was not set: {}", error)
                return
        if not without:
            await self._store.set_value(KEPT, digest)

    async def _set(self, place: str, language: str, commands: list[tuple[str, str]]) -> None:
        listed = [BotCommand(name, what) for name, what in commands]
        code = "" if language == "en" else language
        await self._bot.set_my_commands(listed, scope=_scope(place), language_code=code)

    def menus(self, owners: Iterable[int]) -> Menus:
        """Return (place, language, commands) of every menu.

        With very many owners they have the ordinary one: a call for each of them and language would take minutes.
        """
        some = sorted(owners)
        group = {name: HELP[name] for name in IN_GROUPS if name in HELP} | GROUP
        made: Menus = []
        for language in LANGUAGES:
            made.append(("private", language, self._listed(HELP, language)))
            made.append(("group", language, self._listed(group, language, plugins=False)))
            made += [
                (str(owner), language, self._listed(HELP | OWNERS, language))
                for owner in some
                if len(some) <= MOST_OWNERS
            ]
        return made

    def _listed(self, own: Mapping[str, str], language: str, *, plugins: bool = True) -> list[tuple[str, str]]:
        told = [(name.lstrip("/"), say(language, what).replace("`", "")) for name, what in own.items()]
        more = (MORE.lstrip("/"), say(language, MORE_SAYS))
        return fitting(told, self._plugins if plugins else {}, more)[0]


def _scope(place: str) -> BotCommandScope:
    if place == "private":
        return BotCommandScopeAllPrivateChats()
    return BotCommandScopeAllGroupChats() if place == "group" else BotCommandScopeChat(int(place))
