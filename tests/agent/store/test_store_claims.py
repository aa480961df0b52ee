"""Which process hears a message: claimed with the insert, kept by saying so, taken over when nobody says so."""

from __future__ import annotations

from agent.domain.messages import Claim

ONE, OTHER = Claim("one", 10.0), Claim("other", 10.0)


async def test_what_one_process_stored_another_does_not_take_up_until_its_claim_has_run_out(store, message, clock):
    [stored] = await store.receive_and_set([message()], "offset", "2", ONE)
    assert await store.take_unheard("telegram", OTHER) == []
    clock.now += 9
    assert await store.take_unheard("telegram", OTHER) == []
    clock.now += 1
    assert await store.take_unheard("telegram", OTHER) == [stored]
    assert await store.take_unheard("telegram", ONE) == []


async def test_a_claim_that_is_renewed_is_good_for_another_while(store, message, clock):
    [stored] = await store.receive_and_set([message()], "offset", "2", ONE)
    clock.now += 9
    assert await store.renew_claims([stored.id], ONE) == {stored.id}
    clock.now += 9
    assert await store.take_unheard("telegram", OTHER) == []


async def test_who_has_lost_a_message_is_told(store, message, clock):
    two = await store.receive_and_set([message("1"), message("2")], "offset", "3", ONE)
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
    heard, left = await store.receive_and_set([message("1"), message("2")], "offset", "3", ONE)
    await store.heard(heard.id)
    await store.release_claims("telegram", OTHER)
    assert await store.take_unheard("telegram", OTHER) == []
    await store.release_claims("telegram", ONE)
    assert await store.take_unheard("telegram", OTHER) == [left]


async def test_without_a_claim_everything_unheard_is_seen_as_before(store, message):
    stored = await store.receive_and_set([message()], "offset", "2", ONE)
    assert await store.unheard("telegram") == stored
