"""Which process hears a message: claimed with the insert, kept by saying so, taken over when nobody says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.domain.messages import Claim, Destination
from agent.errors import NotFound

ONE, OTHER = Claim("one", 10.0), Claim("other", 10.0)


async def stored_by(store, claim, *messages):
    fresh, taken = await store.receive_and_claim(messages, "offset", "9", claim)
    assert await store.get_value("offset") == "9"
    assert fresh == taken
    return taken


async def test_what_one_process_stored_another_does_not_take_up_until_its_claim_has_run_out(store, message, clock):
    [stored] = await stored_by(store, ONE, message())
    assert await store.take_unheard("telegram", OTHER) == []
    clock.now += 9
    assert await store.take_unheard("telegram", OTHER) == []
    clock.now += 1
    assert await store.take_unheard("telegram", OTHER) == [stored]
    assert await store.take_unheard("telegram", ONE) == []


async def test_a_claim_that_is_renewed_is_good_for_another_while(store, message, clock):
    [stored] = await stored_by(store, ONE, message())
    clock.now += 9
    assert await store.renew_claims([stored.id], ONE) == {stored.id}
    clock.now += 9
    assert await store.take_unheard("telegram", OTHER) == []


async def test_who_has_lost_a_message_is_told(store, message, clock):
    two = await stored_by(store, ONE, message("1"), message("2"))
    clock.now += 10
    await store.heard(two[0].id)
    assert await store.take_unheard("telegram", OTHER) == [two[1]]
    assert await store.renew_claims([one.id for one in two], ONE) == {two[0].id}
    assert await store.renew_claims([one.id for one in two], OTHER) == {two[1].id}


async def test_messages_of_before_claims_are_taken_up_oldest_first_and_once(store, message):
    stored = await store.receive([message("1"), message("2")])
    assert await store.take_unheard("terminal", ONE) == []
    assert await store.take_unheard("telegram", ONE) == stored
    assert await store.take_unheard("telegram", OTHER) == []


async def test_what_is_given_back_is_anybodys_at_once_and_what_was_heard_is_nobodys(store, message):
    heard, left = await stored_by(store, ONE, message("1"), message("2"))
    await store.heard(heard.id)
    await store.release_claims("telegram", OTHER)
    assert await store.take_unheard("telegram", OTHER) == []
    await store.release_claims("telegram", ONE)
    assert await store.take_unheard("telegram", OTHER) == [left]


async def test_without_a_claim_everything_unheard_is_seen_as_before(store, message):
    stored = await stored_by(store, ONE, message())
    assert await store.unheard("telegram") == stored


async def test_a_message_is_nobodys_while_another_has_an_earlier_one_of_its_session(store, message, clock):
    [one] = await stored_by(store, ONE, message("1"))
    fresh, taken = await store.receive_and_claim(
        [message("2"), replace(message("3"), dest=Destination("telegram", "b"))], "offset", "4", OTHER
    )
    assert [found.update_id for found in fresh] == ["2", "3"]
    assert taken == fresh[1:]
    assert await store.claimants("telegram") == {one.id: "one", fresh[0].id: "", fresh[1].id: "other"}
    assert await store.take_unheard("telegram", OTHER) == []
    await store.heard(one.id)
    assert await store.take_unheard("telegram", OTHER) == fresh[:1]


async def test_what_comes_next_in_a_session_brings_what_was_left_there_before_it(store, message, clock):
    [one] = await stored_by(store, ONE, message("1"))
    [two], none = await store.receive_and_claim([message("2")], "offset", "3", OTHER)
    assert none == []
    clock.now += 10
    fresh, taken = await store.receive_and_claim([message("3")], "offset", "4", OTHER)
    assert taken == [one, two, *fresh]


async def test_what_does_not_wait_its_turn_neither_waits_nor_holds_up(store, message):
    fresh, _ = await store.receive_and_claim(
        [message("1", action="a/1/allow"), message("2", text="Stop!")], "offset", "3", ONE
    )
    [two] = await stored_by(store, OTHER, message("3"))
    assert await stored_by(store, ONE, message("4", text="стоп"), message("5", action="a/2/deny"))
    assert (await store.receive_and_claim([message("6")], "offset", "7", ONE))[1] == []
    assert set(await store.claimants("telegram")) > {two.id, *(one.id for one in fresh)}


async def test_what_is_of_a_claimant_that_is_gone_is_taken_up_in_order(store, message):
    three = await stored_by(
        store, ONE, message("1"), message("2"), replace(message("3"), dest=Destination("telegram", "b"))
    )
    assert await store.take_unheard("telegram", OTHER, {"another"}) == []
    assert await store.take_unheard("telegram", OTHER, {"one"}) == three


async def test_the_text_of_a_message_is_the_one_that_it_has_by_now(store, message):
    [one] = await store.receive([message(text="one")])
    assert await store.text_of(one.id) == "one"
    assert await store.edit_message(one.id, "two")
    assert await store.text_of(one.id) == "two"
    with pytest.raises(NotFound, match="no message 99"):
        await store.text_of(99)
