"""Who is let in, by which code, and what those are told who are not."""

from __future__ import annotations

import pytest

from agent.channels.pairing import ALPHABET, digest, make_code
from agent.channels.people import PeopleDesk
from agent.domain.messages import Destination, InboundMessage
from agent.domain.people import Person, Role

from .conftest import OWNER

STRANGER = 99
GROUP = -1001


async def _shown(rig, chat, text):
    return await rig.server.wait_for(lambda: [m for m in rig.server.bot_messages(chat) if text in m.text][-1])


async def test_a_code_lets_a_stranger_in_as_a_member_whose_words_are_not_trusted(rig):
    code = await make_code(rig.store, Role.MEMBER)
    async with rig.up():
        rig.server.user_says(STRANGER, f"/pair {code.lower()}")
        await _shown(rig, STRANGER, "Welcome!")
        rig.server.user_says(STRANGER, "hello")
        await _shown(rig, OWNER, f"({STRANGER}) was let in as member")
        await rig.hearer.until(lambda: rig.hearer.heard)
    [heard] = rig.hearer.heard
    assert (heard.text, heard.trusted, heard.user_id) == ("hello", False, str(STRANGER))
    assert code not in (await rig.store.get_message(f"telegram/paired/{STRANGER}/0") or "")
    assert (await rig.store.people("telegram"))[0].role is Role.MEMBER


async def test_an_owners_code_makes_an_owner_who_is_trusted_and_may_press(rig):
    code = await make_code(rig.store, Role.OWNER)
    async with rig.up():
        rig.server.user_says(STRANGER, f"/pair {code}")
        await _shown(rig, STRANGER, "Welcome!")
        rig.server.user_says(STRANGER, "hello")
        await rig.hearer.until(lambda: rig.hearer.heard)
    assert rig.hearer.heard[0].trusted


async def test_a_code_works_once_and_a_wrong_one_is_told_so(rig):
    code = await make_code(rig.store, Role.MEMBER)
    async with rig.up():
        rig.server.user_says(98, f"/pair {code}")
        await _shown(rig, 98, "Welcome!")
        rig.server.user_says(STRANGER, f"/pair {code}")
        await _shown(rig, STRANGER, "not good")
        rig.server.user_says(STRANGER, "hello")
        await _shown(rig, STRANGER, "Your Telegram id is 99")
    assert [person.user_id for person in await rig.store.people()] == ["98"]
    assert rig.hearer.heard == []


async def test_guessing_ends_after_five_tries(rig):
    async with rig.up():
        for number in range(6):
            rig.server.user_says(STRANGER, f"/pair AAAA-000{number}")
        await _shown(rig, STRANGER, "too many tries")
    assert await rig.store.people() == []


async def test_a_code_that_was_written_in_a_group_is_not_taken_there(rig):
    code = await make_code(rig.store, Role.MEMBER)
    rig.server.add_group(GROUP)
    async with rig.up():
        rig.server.user_says(GROUP, f"/pair {code}", user_id=STRANGER)
        await _shown(rig, GROUP, "Your Telegram id is 99")
    assert await rig.store.people() == []


async def test_somebody_who_is_blocked_hears_nothing_and_is_not_heard(rig):
    await rig.store.put_person(Person("telegram", str(STRANGER), role=Role.BLOCKED))
    code = await make_code(rig.store, Role.MEMBER)
    async with rig.up():
        for text in ("hello", f"/pair {code}"):
            rig.server.user_says(STRANGER, text)
        rig.server.user_says(OWNER, "mine")
        await rig.hearer.until(lambda: rig.hearer.heard)
    assert rig.hearer.texts == ["mine"]
    assert rig.server.bot_messages(STRANGER) == []


async def test_who_is_removed_elsewhere_is_a_stranger_with_the_next_message(rig):
    await rig.store.put_person(Person("telegram", str(STRANGER)))
    async with rig.up():
        rig.server.user_says(STRANGER, "one")
        await rig.hearer.until(lambda: rig.hearer.texts == ["one"])
        await rig.store.remove_person("telegram", str(STRANGER))
        rig.server.user_says(STRANGER, "two")
        await _shown(rig, STRANGER, "Your Telegram id is 99")
    assert rig.hearer.texts == ["one"]


async def test_a_stranger_is_spoken_to_in_their_language_once_a_day(rig):
    async with rig.up():
        for text in ("hallo", "hallo?"):
            rig.server.user_says(STRANGER, text, language="de")
        shown = await _shown(rig, STRANGER, "99")
        rig.server.user_says(OWNER, "mine")
        await rig.hearer.until(lambda: rig.hearer.heard)
    assert rig.server.bot_messages(STRANGER) == [shown]


async def test_codes_have_eight_plain_characters_and_are_stored_as_a_hash(store):
    code = await make_code(store, Role.MEMBER)
    assert len(code.replace("-", "")) == 8
    assert set(code.replace("-", "")) <= set(ALPHABET)
    assert await digest(f" {code.lower()} ") == await digest(code.replace("-", ""))
    assert code.replace("-", "") not in await digest(code)


# --- /users -------------------------------------------------------------------------------------------------------
def _message(**fields) -> InboundMessage:
    return InboundMessage("telegram", "1", Destination("telegram", str(OWNER)), str(OWNER), **fields)


async def test_owners_see_everybody_and_change_them_with_buttons(store):
    desk = PeopleDesk(store, (OWNER,))
    await store.put_person(Person("telegram", "99", "Ada", paired_at=1.0))
    await desk.obey(_message(text="/users"))
    shown = await store.get_message("users:telegram:1")
    assert shown.payload["text"].splitlines() == ["1. 11: owner, by the settings", "2. Ada (99): member"]
    actions = [button["action"] for row in shown.payload["buttons"] for button in row]
    assert actions == ["u/99/owner", "u/99/remove", "u/new/member", "u/new/owner"]
    assert await desk.press(_message(action="u/99/owner")) == "Done."
    assert (await store.people())[0].role is Role.OWNER
    await desk.press(_message(action="u/99/remove"))
    assert await store.people() == []
    assert "Ada" not in (await store.get_message("users:telegram:1")).payload["text"]
    assert await desk.press(_message(action="u/99/remove")) == "This person is no longer there."


async def test_a_new_code_is_shown_in_a_dialog_and_kept_nowhere(store):
    desk = PeopleDesk(store, (OWNER,))
    said = await desk.press(_message(action="u/new/member"))
    code = said.split()[-1]
    assert len(said) <= 200
    assert (await store.pair(Person("telegram", "99"), await digest(code))).person.role is Role.MEMBER
    assert await store.messages_of("telegram:11") == []


@pytest.mark.parametrize("action", ["u/99/owner", "u/new/owner", "u/99/remove"])
async def test_a_member_changes_nobody(store, action):
    desk = PeopleDesk(store, (OWNER,))
    await store.put_person(Person("telegram", "99"))
    assert "owner" in await desk.press(_message(action=action, trusted=False))
    await desk.obey(_message(text="/users", trusted=False))
    assert "owner" in (await store.get_message("reply:telegram:1")).payload["text"]
    assert [(p.user_id, p.role) for p in await store.people()] == [("99", Role.MEMBER)]
