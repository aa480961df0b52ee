"""People in the journal: who was let in by which code, and how often codes may be tried."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from agent.domain.messages import InboundMessage, OutboundMessage
from agent.domain.people import Person, Role
from agent.store.people import TRIES_OF_ALL, TRIES_OF_ONE, WINDOW
from agent.store.sql import SqlStore

ADA = Person("telegram", "99", "Ada", language="de")


async def test_a_code_lets_one_person_in_with_its_role(store: SqlStore):
    await store.add_pairing_code("d1", Role.OWNER, 600)
    paired = await store.pair(ADA, "d1")
    assert paired.person is not None
    assert (paired.person.role, paired.person.name, paired.person.language) == (Role.OWNER, "Ada", "de")
    assert await store.people("telegram") == [paired.person]
    assert (await store.pair(Person("telegram", "98"), "d1")).person is None
    assert [person.user_id for person in await store.people()] == ["99"]


async def test_the_same_person_may_send_their_used_code_again(store: SqlStore):
    await store.add_pairing_code("d1", Role.MEMBER, 600)
    first = await store.pair(ADA, "d1")
    assert await store.pair(ADA, "d1") == first


async def test_a_code_is_over_after_its_time(store: SqlStore, clock):
    await store.add_pairing_code("d1", Role.MEMBER, 600)
    clock.now += 601
    assert (await store.pair(ADA, "d1")).person is None


async def test_two_who_use_a_code_at_once_are_not_both_let_in(store: SqlStore):
    await store.add_pairing_code("d1", Role.MEMBER, 600)
    both = await asyncio.gather(*(store.pair(Person("telegram", str(number)), "d1") for number in (1, 2)))
    assert sorted(paired.person is not None for paired in both) == [False, True]


async def test_one_person_may_guess_five_times_in_ten_minutes(store: SqlStore, clock):
    for _ in range(TRIES_OF_ONE):
        assert not (await store.pair(ADA, "wrong")).wait
    await store.add_pairing_code("d1", Role.MEMBER, 600)
    assert (await store.pair(ADA, "d1")).wait
    assert (await store.pair(Person("telegram", "98"), "d1")).person is not None
    clock.now += WINDOW + 1
    await store.add_pairing_code("d2", Role.MEMBER, 600)
    assert (await store.pair(ADA, "d2")).person is not None


async def test_all_together_may_guess_thirty_times_in_ten_minutes(store: SqlStore):
    await store.add_pairing_code("d1", Role.MEMBER, 600)
    for number in range(TRIES_OF_ALL):
        assert not (await store.pair(Person("telegram", str(1000 + number)), "wrong")).wait
    assert (await store.pair(ADA, "d1")).wait


async def test_a_code_for_members_takes_nothing_from_an_owner_and_frees_nobody_who_is_blocked(store: SqlStore):
    await store.put_person(Person("telegram", "1", role=Role.OWNER))
    await store.put_person(Person("telegram", "2", role=Role.BLOCKED))
    await store.add_pairing_code("d1", Role.MEMBER, 600)
    assert (await store.pair(Person("telegram", "2"), "d1")).person is None
    paired = await store.pair(Person("telegram", "1"), "d1")
    assert paired.person is not None
    assert paired.person.role is Role.OWNER


async def test_a_person_is_changed_and_removed(store: SqlStore):
    await store.put_person(ADA)
    await store.put_person(Person("telegram", "99", "Ada L.", Role.BLOCKED, "fr"))
    [person] = await store.people("telegram")
    assert (person.name, person.role, person.language) == ("Ada L.", Role.BLOCKED, "fr")
    assert await store.remove_person("telegram", "99")
    assert not await store.remove_person("telegram", "99")
    assert await store.people() == []


async def test_people_of_another_channel_are_others(store: SqlStore):
    await store.put_person(ADA)
    assert await store.people("terminal") == []


# --- chats ----------------------------------------------------------------------------------------------------------
async def test_what_was_given_up_because_a_chat_was_closed_is_sent_when_it_is_open(
    store: SqlStore, clock, notice: Callable[..., OutboundMessage]
):
    for key, error in (("old", "closed: x"), ("a", "closed: x"), ("b", "refused")):
        await store.post(notice(key))
        message = await store.get_message(key)
        assert message is not None
        await store.mark_failed(message.id, error, retry_at=None)
        clock.now += 100 if key == "old" else 1
    for session, error in (("telegram:471", "closed"), ("telegram:47", "closed"), ("telegram:4711", "other")):
        await store.revive(session, error, 60)
    assert await store.due_messages("telegram") == []
    store.outbox_changed.clear()
    await store.revive("telegram:4711", "closed", 60)
    assert [message.key for message in await store.due_messages("telegram")] == ["a"]
    assert store.outbox_changed.is_set()


async def test_a_message_is_found_by_its_id_in_the_chat(store: SqlStore, message: Callable[..., InboundMessage]):
    await store.receive([message("1", "one", message_id="7"), message("2", "press", message_id="8", action="a/1")])
    found = await store.find_message("telegram", "telegram:4711", "7")
    assert found is not None
    assert found.text == "one"
    assert await store.find_message("telegram", "telegram:4711", "8") is None
    assert await store.find_message("telegram", "telegram:4712", "7") is None


@pytest.mark.parametrize("kind", ["voice", ""])
async def test_a_files_kind_and_length_are_kept(store: SqlStore, message: Callable[..., InboundMessage], kind: str):
    from agent.domain.messages import Attachment

    await store.receive([message(attachments=(Attachment("v.ogg", kind=kind, seconds=3.5),))])
    [stored] = await store.unheard("telegram")
    assert stored.attachments == (Attachment("v.ogg", kind=kind, seconds=3.5),)
