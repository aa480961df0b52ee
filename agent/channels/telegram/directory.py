"""What is known of people and chats: who may do what, how groups want to be treated, which chats moved or closed.

It is read anew with every batch of updates, so what another process changed (`dirigent people`) holds at once.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

from agent.domain.people import Role
from agent.texts import known

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from agent.domain.people import Person
    from agent.store.protocol import Store

CHANNEL = "telegram"
GROUPS = "telegram:groups"
MOVED = "telegram:moved"
CLOSED = "telegram:closed"
SPOKEN = "telegram:languages"
CLOSED_TO_US = "The chat is closed to the bot"
KEPT_SECONDS = 86_400.0
POLICIES = ("mention", "commands", "all", "never")


class Directory:
    """People and chats. `owners` are those that the settings name; `groups` is the policy of a group without its own.

    `moved` leads from the id under which a group began to its present one: inside, a group keeps the id that it
    began with, and with it its session. `closed` holds when a chat was closed to the bot, in seconds since 1970.
    """

    def __init__(
        self, owners: Collection[int], groups: str = "mention", *, wall: Callable[[], float] = time.time
    ) -> None:
        self.owners = frozenset(owners)
        self.people: dict[int, Person] = {}
        self.policies: dict[str, str] = {}
        self.moved: dict[str, str] = {}
        self.closed: dict[str, float] = {}
        self.spoken: dict[str, str] = {}
        self._groups = groups
        self._read = False
        self._wall = wall
        self._changing = asyncio.Lock()  # what is noted while everything is read must not be lost by it

    async def refresh(self, store: Store) -> None:
        """Read everything anew."""
        async with self._changing:
            await self._refresh(store)

    async def _refresh(self, store: Store) -> None:
        self.people = {int(p.user_id): p for p in await store.people(CHANNEL) if p.user_id.isdigit()}
        self.policies = json.loads(await store.get_value(GROUPS) or "{}")
        self.moved = json.loads(await store.get_value(MOVED) or "{}")
        self.closed = json.loads(await store.get_value(CLOSED) or "{}")
        self.spoken = json.loads(await store.get_value(SPOKEN) or "{}")
        self._read = True

    async def read_once(self, store: Store) -> None:
        """Read everything, if nothing has been read yet."""
        if not self._read:
            await self.refresh(store)

    # --- people -------------------------------------------------------------------------------------------------
    def role(self, user_id: int) -> Role | None:
        """Return what a person is; None for a stranger."""
        if user_id in self.owners:
            return Role.OWNER
        person = self.people.get(user_id)
        return None if person is None else person.role

    def all_owners(self) -> list[int]:
        """Return the ids of all owners."""
        return sorted(self.owners | {i for i, person in self.people.items() if person.role is Role.OWNER})

    def language(self, user_id: int, told: str | None) -> str:
        """Return the language to speak with a person: the one they chose, else the one that Telegram tells."""
        return self.spoken.get(str(user_id)) or known(told or "")

    # --- chats --------------------------------------------------------------------------------------------------
    def policy(self, chat_id: str) -> str:
        """Return when the bot answers in a group."""
        return self.policies.get(chat_id, self._groups)

    def inside(self, chat_id: str) -> str:
        """Return the id under which a chat is known inside."""
        return next((old for old, new in self.moved.items() if new == chat_id), chat_id)

    def outside(self, chat_id: str) -> str:
        """Return the id under which Telegram knows the chat now."""
        return self.moved.get(chat_id, chat_id)

    async def move(self, store: Store, old: str, new: str) -> None:
        """Note that a group became a supergroup, which has another id."""
        async with self._changing:
            first = self.inside(old)
            if self.moved.get(first) != new:
                self.moved[first] = new
                await store.set_value(MOVED, json.dumps(self.moved))

    async def close(self, store: Store, chat_id: str) -> None:
        """Note that the chat is closed to the bot: it was blocked, thrown out, or the chat is gone."""
        async with self._changing:
            if chat_id not in self.closed:
                self.closed[chat_id] = self._wall()
                await store.set_value(CLOSED, json.dumps(self.closed))

    async def open(self, store: Store, chat_id: str) -> None:
        """Note that the bot may write there again, and have what waited sent."""
        async with self._changing:
            if self.closed.pop(chat_id, None) is None:
                return
            await store.set_value(CLOSED, json.dumps(self.closed))
            await store.revive(f"{CHANNEL}:{chat_id}", CLOSED_TO_US, KEPT_SECONDS)
