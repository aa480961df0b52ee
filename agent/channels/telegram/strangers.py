"""People who are not let in: one polite line a day, and the door for those who were given a code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loguru import logger

from agent.channels.pairing import digest
from agent.domain.messages import Destination, MessageKind, OutboundMessage
from agent.domain.people import Person, Role
from agent.texts import known, say

if TYPE_CHECKING:
    from agent.channels.telegram.directory import Directory
    from agent.channels.telegram.updates import Stranger
    from agent.store.protocol import Store

CHANNEL = "telegram"


class Doorkeeper:
    """Meets strangers. What it does is idempotent: a redelivered update changes nothing."""

    def __init__(self, store: Store, directory: Directory) -> None:
        self._store = store
        self._directory = directory

    async def meet(self, stranger: Stranger) -> None:
        """Try their code, or tell them, once a day, whom to ask."""
        if stranger.code:
            await self._try(stranger)
            return
        key = f"telegram/stranger/{stranger.user_id}/{stranger.day}"
        if await self._store.get_message(key) is not None:
            return
        logger.warning("User {} is not known and was turned away", stranger.user_id)
        text = say(
            stranger.dest.language,
            "Hello! I work for my owner only. Your Telegram id is {id}; the owner can let you in with a code from "
            "`dirigent pair`, which you send me here as /pair CODE.",
            id=stranger.user_id,
        )
        await self._post(stranger.dest, key, text)

    async def _try(self, stranger: Stranger) -> None:
        language = stranger.dest.language
        person = Person(CHANNEL, str(stranger.user_id), stranger.name, language=known(language))
        paired = await self._store.pair(person, await digest(stranger.code))
        if paired.person is None:
            logger.warning("User {} sent a code that is not good", stranger.user_id)
            said = say(language, "This code is not good (any more). Ask for a new one.")
            if paired.wait:
                said = say(language, "That were too many tries. Wait ten minutes.")
            key = f"telegram/code/{stranger.user_id}/{'wait/' + stranger.day if paired.wait else stranger.update_id}"
            await self._post(stranger.dest, key, said)
            return
        logger.info("User {} was let in as {}", stranger.user_id, paired.person.role)
        await self._store.audit("paired", stranger.dest.session_id, {"person": str(stranger.user_id)})
        await self._directory.refresh(self._store)
        await self._welcome(stranger, paired.person)

    async def _welcome(self, stranger: Stranger, person: Person) -> None:
        language = stranger.dest.language
        text = say(language, "Welcome! Tell me what you need. /help shows what I understand.")
        if person.role is Role.MEMBER:
            text += " " + say(language, "What changes something outside, an owner has to allow.")
        await self._post(stranger.dest, f"telegram/paired/{stranger.user_id}/{person.paired_at:.0f}", text)
        for owner in self._directory.all_owners():
            if owner == stranger.user_id:
                continue
            dest = Destination(CHANNEL, str(owner))
            told = f"{person.name or '?'} ({person.user_id}) was let in as {person.role}. /users shows everybody."
            await self._post(dest, f"telegram/paired/{stranger.user_id}/{person.paired_at:.0f}/{owner}", told)

    async def _post(self, dest: Destination, key: str, text: str) -> None:
        await self._store.post(OutboundMessage(dest, MessageKind.NOTICE, key, {"text": text}))
