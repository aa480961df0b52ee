"""The journal's methods about people, and about what waits and which process hears it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.store import backlog, daily, inbox, outbox, people
from agent.store.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from agent.domain.backlog import Backlog
    from agent.domain.days import Day
    from agent.domain.messages import Claim, InboundMessage
    from agent.domain.people import Pairing, Person


class Registry(Journal):
    """What `SqlStore` does about people and their chats; see `Store`."""

    async def people(self, channel: str = "") -> list[Person]:
        return await self._read(people.listed, channel)

    async def put_person(self, person: Person) -> None:
        await self._do(people.put, people.person_row(person, self._clock()))

    async def remove_person(self, channel: str, user_id: str) -> bool:
        return await self._do(people.remove, channel, user_id)

    async def add_pairing_code(self, digest: str, role: str, seconds: float) -> None:
        now = self._clock()
        await self._do(people.add_code, digest, str(role), now, now + seconds)

    async def pair(self, person: Person, digest: str) -> Pairing:
        now = self._clock()
        return await self._do(people.pair, digest, people.person_row(person, now), now)

    async def revive(self, session_id: str, error: str, seconds: float) -> None:
        chat = (session_id, f"{session_id}:")
        await self._do(outbox.revive, chat, error, self._clock() - seconds, rings=True)

    async def find_message(self, channel: str, session_id: str, message_id: str) -> InboundMessage | None:
        return await self._read(inbox.find, channel, session_id, message_id)

    async def claimants(self, channel: str) -> dict[int, str]:
        return await self._read(inbox.claimants, channel, self._clock())

    async def take_unheard(self, channel: str, claim: Claim, gone: Collection[str] = ()) -> list[InboundMessage]:
        return await self._do(inbox.take_unheard, channel, claim, self._clock(), tuple(gone))

    async def renew_claims(self, inbox_ids: Sequence[int], claim: Claim) -> set[int]:
        return await self._do(inbox.renew_claims, tuple(inbox_ids), claim, self._clock())

    async def release_claims(self, channel: str, claim: Claim) -> None:
        await self._do(inbox.release_claims, channel, claim)

    async def backlog(self) -> Backlog:
        return await self._read(backlog.backlog, self._clock())

    async def daily(self, days: Sequence[float]) -> list[Day]:
        return await self._read(daily.daily, tuple(days))
