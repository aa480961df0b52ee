"""Who may use Dirigent, in a chat: /users lists them with buttons, and makes codes that let others in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.channels.base import Alert
from agent.channels.pairing import make_code
from agent.domain.messages import Door, MessageKind, OutboundMessage
from agent.domain.people import Person, Role
from agent.texts import mark, say

if TYPE_CHECKING:
    from collections.abc import Collection

    from agent.domain.messages import Destination, InboundMessage
    from agent.store.protocol import Store

USERS = "/users"
PAIR = "/pair"
OWNERS_ONLY = mark("Only an owner may decide this.")
CHANNEL = "telegram"
SHOWN = 20
ROLES = {Role.OWNER: mark("owner"), Role.MEMBER: mark("member"), Role.BLOCKED: mark("blocked")}


class PeopleDesk(Door):
    """The commands and buttons about people. `owners` are those that the settings name, who can't be removed here."""

    commands = frozenset({USERS, PAIR})
    actions = frozenset({"u"})

    def __init__(self, store: Store, owners: Collection[int]) -> None:
        self._store = store
        self._owners = tuple(str(owner) for owner in owners)

    async def obey(self, message: InboundMessage) -> None:
        """Show the people, or tell somebody who is in already that they are."""
        if message.text.split()[0].partition("@")[0].casefold() == PAIR:
            await self._say(message, say(message.dest.language, "You are in already."))
        elif not message.trusted:
            await self._say(message, say(message.dest.language, OWNERS_ONLY))
        elif message.dest.chat_type != "private":
            await self._say(message, say(message.dest.language, "Ask me that in a private chat."))
        else:
            await self._store.set_value(_newest(message.dest), f"users:{message.channel}:{message.update_id}")
            await self._show(message.dest)

    async def press(self, message: InboundMessage) -> str:
        """Act on `u/<user id>/<verb>`, or on `u/new/<role>`, which shows a code once and stores only its hash."""
        language = message.dest.language
        _, _, rest = message.action.partition("/")
        who, _, verb = rest.partition("/")
        if not message.trusted or message.dest.chat_type != "private":
            return say(language, OWNERS_ONLY)
        if who == "new":
            return await self._new_code(message, verb)
        person = next((p for p in await self._store.people(CHANNEL) if p.user_id == who), None)
        if person is None:
            return say(language, "This person is no longer there.")
        await self._change(person, verb)
        await self._store.audit("people", message.dest.session_id, {"person": who, "verb": verb, "by": message.user_id})
        await self._show(message.dest)
        return say(language, "Done.")

    async def _new_code(self, message: InboundMessage, role: str) -> str:
        language = message.dest.language
        if role not in {Role.OWNER, Role.MEMBER}:
            return say(language, "This button is no longer known.")
        code = await make_code(self._store, Role(role))
        await self._store.audit("pairing code", message.dest.session_id, {"role": role, "by": message.user_id})
        kind = say(language, ROLES[Role(role)])
        said = say(language, "Code for one {role}, good for 10 minutes. They send me:", role=kind)
        return Alert(f"{said}\n/pair {code}")

    async def _change(self, person: Person, verb: str) -> None:
        if verb == "remove":
            await self._store.remove_person(person.channel, person.user_id)
        elif verb in set(Role):
            await self._store.put_person(
                Person(person.channel, person.user_id, person.name, Role(verb), person.language, person.paired_at)
            )

    # --- the list -----------------------------------------------------------------------------------------------
    async def _show(self, dest: Destination) -> None:
        key = await self._store.get_value(_newest(dest))
        if not key:
            return
        language = dest.language
        people = await self._store.people(CHANNEL)
        named = say(language, "owner, by the settings")
        lines = [f"{number}. {owner}: {named}" for number, owner in enumerate(self._owners, 1)]
        buttons = []
        for number, person in enumerate(people[:SHOWN], len(lines) + 1):
            lines.append(f"{number}. {described(person, language)}")
            other = Role.MEMBER if person.role is not Role.MEMBER else Role.OWNER
            buttons.append(
                [
                    _button(f"{number} → {say(language, ROLES[other])}", person.user_id, other),
                    _button(f"🗑 {say(language, 'Remove')} {number}", person.user_id, "remove"),
                ]
            )
        if len(people) > SHOWN:
            lines.append(say(language, "… and {n} more: `dirigent people` lists them.", n=len(people) - SHOWN))
        buttons.append(
            [
                _button(f"➕ {say(language, ROLES[Role.MEMBER])}", "new", Role.MEMBER),
                _button(f"➕ {say(language, ROLES[Role.OWNER])}", "new", Role.OWNER),
            ]
        )
        text = "\n".join(lines) or say(language, "Nobody yet.")
        payload = {"text": text, "buttons": buttons}
        await self._store.post(OutboundMessage(dest, MessageKind.NOTICE, key, payload, session_id=dest.session_id))

    async def _say(self, message: InboundMessage, text: str) -> None:
        key = message.reply_key
        await self._store.post(
            OutboundMessage(message.dest, MessageKind.NOTICE, key, {"text": text}, session_id=message.dest.session_id)
        )


def described(person: Person, language: str = "en") -> str:
    """Return a person in a line: name, id and role."""
    return f"{person.name or '?'} ({person.user_id}): {say(language, ROLES[person.role])}"


def _button(label: str, who: str, verb: str) -> dict[str, str]:
    return {"label": label, "action": f"u/{who}/{verb}"}


def _newest(dest: Destination) -> str:
    return f"users:newest:{dest.session_id}"
