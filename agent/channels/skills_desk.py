"""/skills: which skills there are, and what is wrong with the others; /skill NAME WORDS: a request with one of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agent.commands import parse
from agent.domain.messages import Door, MessageKind, OutboundMessage
from agent.errors import DirigentError
from agent.texts import mark, say

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent.domain.messages import InboundMessage
    from agent.domain.run import Run
    from agent.memory.session_file import SessionFolders
    from agent.skills import Skills
    from agent.store.protocol import Store

SHOWN, DESCRIPTION = 30, 160
NONE = mark("There are no skills: put a folder with a SKILL.md into `skills/` of the home.")
HOW = mark("`/skill NAME WORDS` has a request done with one; I also choose by myself.")
WHICH = mark("Which one? `/skill NAME WORDS`; /skills lists them.")


class SkillsDesk(Door):
    """The two commands. `begin` opens a run for a message."""

    commands = frozenset({"/skills", "/skill"})

    def __init__(
        self, store: Store, sessions: SessionFolders, skills: Skills, begin: Callable[[InboundMessage], Awaitable[Run]]
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._skills = skills
        self._begin = begin

    async def obey(self, message: InboundMessage) -> None:
        """List the skills, or begin a request with one."""
        command = parse(message.text)
        if command is None or command.name == "/skills":
            await self._say(message, await self._listed(message))
            return
        name, _, _ = command.rest.partition(" ")
        if not name:
            await self._say(message, say(message.dest.language, WHICH))
            return
        session = await self._sessions.open(message.dest.session_id, message.language)
        try:
            await asyncio.to_thread(self._skills.find, name, session.profile)
        except DirigentError as error:
            await self._say(message, f"{error.message}\n{error.hint}".strip())
            return
        await self._begin(message)

    async def _listed(self, message: InboundMessage) -> str:
        session = await self._sessions.open(message.dest.session_id, message.language)
        language = message.dest.language
        usable = await asyncio.to_thread(self._skills.usable, session.profile)
        lines = [f"`{skill.name}` — {_short(skill.description)}" for skill in usable[:SHOWN]]
        if len(usable) > SHOWN:
            lines.append(say(language, mark("… and {n} more"), n=len(usable) - SHOWN))
        lines = [*lines, "", say(language, HOW)] if lines else [say(language, NONE)]
        if message.trusted:
            lines += [f"⚠️ {error.message}" for error in await asyncio.to_thread(self._skills.broken)][:SHOWN]
        return "\n".join(lines)

    async def _say(self, message: InboundMessage, text: str) -> None:
        key = message.reply_key
        session = message.dest.session_id
        await self._store.post(OutboundMessage(message.dest, MessageKind.NOTICE, key, {"text": text}, session))


def _short(text: str) -> str:
    return text if len(text) <= DESCRIPTION else f"{text[: DESCRIPTION - 1]}…"
