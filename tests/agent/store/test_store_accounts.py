"""Contract: reservations, accounts, and what becomes of them when a worker dies."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.domain.ledger import Balance, Cap, Usage

RUN = Cap("run:1", money=1.0, tokens=1_000)
DAY = Cap("day:2026-11-21", money=2.0)


def paid(money: float | None, tokens: int = 0) -> Usage:
    return Usage("answer", "m", prompt_tokens=tokens, money=money)


async def test_what_is_set_aside_stands_on_every_account(store):
    reservation = await store.reserve([RUN, DAY], money=0.4, tokens=100)

    assert reservation.id
    assert reservation.refused == ""
    assert reservation.balances == (
        Balance("run:1", reserved_money=0.4, reserved_tokens=100),
        Balance("day:2026-11-21", reserved_money=0.4, reserved_tokens=100),
    )
    assert await store.balance("run:1") == reservation.balances[0]
    assert await store.balance("nobody") == Balance("nobody")


async def test_a_cap_that_would_be_passed_refuses_on_all_accounts(store):
    await store.reserve([RUN, DAY], money=0.7, tokens=1)
    refused = await store.reserve([RUN, DAY], money=0.4, tokens=1)

    assert (refused.id, refused.refused) == (0, "run:1")
    assert refused.balances[0] == Balance("run:1", reserved_money=0.7, reserved_tokens=1)
    assert (await store.balance(DAY.account)).reserved_money == 0.7


async def test_the_account_that_refuses_is_named(store):
    await store.reserve([Cap("run:2"), DAY], money=1.9, tokens=0)

    assert (await store.reserve([RUN, DAY], money=0.5, tokens=0)).refused == DAY.account
    assert (await store.reserve([RUN], money=0.0, tokens=1_001)).refused == RUN.account


async def test_exactly_the_cap_may_be_spent(store):
    for _ in range(10):  # ten times 0.1 is not 1 in floating point
        assert (await store.reserve([RUN], money=0.1, tokens=100)).id

    assert (await store.reserve([RUN], money=0.000_000_001, tokens=0)).refused == "run:1"


async def test_what_was_used_takes_the_place_of_what_was_set_aside(store, new_run):
    run = await new_run("a")
    reservation = await store.reserve([RUN, DAY], money=0.4, tokens=100, run_id=run.id)

    after = await store.settle(reservation.id, "s", run.id, "a", [paid(0.1, 30)])

    assert after == (Balance("run:1", 0.1, 30), Balance(DAY.account, 0.1, 30))
    assert (await store.spent(run_id=run.id)) == {
        "money": 0.1,
        "prompt_tokens": 30,
        "completion_tokens": 0,
        "calls": 1,
        "unpriced_calls": 0,
    }


async def test_settling_twice_changes_nothing(store):
    reservation = await store.reserve([RUN], money=0.4, tokens=100)
    await store.settle(reservation.id, "s", None, "", [paid(0.1, 30)])

    assert await store.settle(reservation.id, "s", None, "", [paid(0.1, 30)]) == ()
    assert await store.balance("run:1") == Balance("run:1", 0.1, 30)
    assert (await store.spent())["calls"] == 1


async def test_a_call_whose_price_is_unknown_counts_tokens_only(store):
    reservation = await store.reserve([RUN], money=0.0, tokens=100)
    await store.settle(reservation.id, "s", None, "", [paid(None, 30)])

    assert await store.balance("run:1") == Balance("run:1", 0.0, 30)
    assert (await store.spent())["unpriced_calls"] == 1


async def test_what_a_dead_worker_had_set_aside_counts_as_used_when_the_run_is_leased_anew(store, new_run, clock):
    run = await new_run("a")
    account = Cap(f"run:{run.id}", money=1.0)
    held = await store.reserve([account, DAY], money=0.4, tokens=100, run_id=run.id)
    other = await store.reserve([DAY], money=0.1, tokens=1)
    clock.now += 100

    await store.lease_run(run.id, "another", 60)

    assert await store.balance(account.account) == Balance(account.account, 0.4, 100)
    assert await store.balance(DAY.account) == Balance(DAY.account, 0.4, 100, 0.1, 1)
    assert await store.settle(held.id, run.session_id, run.id, "a", [paid(0.2)]) == ()  # the old one's late word
    assert (await store.spent(run_id=run.id))["money"] == 0.4
    assert (await store.spent(session_id=run.session_id))["money"] == 0.4
    assert await store.settle(other.id, "s", None, "", [paid(0.0)]) == (Balance(DAY.account, 0.4, 100),)


async def test_a_lease_that_is_refused_settles_nothing(store, new_run):
    run = await new_run("a")
    held = await store.reserve([RUN], money=0.4, tokens=100, run_id=run.id)

    assert await store.lease_run(run.id, "another", 60) is None
    assert await store.settle(held.id, "s", run.id, "a", [paid(0.2)]) == (Balance("run:1", 0.2, 0),)


async def test_lost_reservations_can_be_settled_by_hand(store, new_run):
    run = await new_run("a")
    for _ in range(2):
        await store.reserve([RUN], money=0.25, tokens=10, run_id=run.id)

    assert await store.settle_lost(run.id) == 2
    assert await store.settle_lost(run.id) == 0
    assert len(await store.audit_entries(kind="settled as lost")) == 2
    assert await store.balance("run:1") == Balance("run:1", 0.5, 20)


async def test_many_at_once_share_commits_and_keep_the_cap(store):
    before = store.commits
    made = await asyncio.gather(*(store.reserve([RUN], money=0.3, tokens=1) for _ in range(20)))

    assert sum(bool(one.id) for one in made) == 3
    assert store.commits - before <= 3


MONEY = st.integers(1, 60).map(lambda cents: cents / 100)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.booleans(), MONEY, st.floats(0, 1)), max_size=25), st.integers(0, 10_000))
def test_spent_and_reserved_never_pass_the_cap_whatever_the_order(tmp_path, steps, number):
    from agent.store.sql import SqlStore

    async def go() -> None:
        store = SqlStore("sqlite://")
        await store.open()
        cap, held = Cap(f"run:{number}", money=1.0, tokens=100), []
        for begins, money, share in steps:
            if begins or not held:
                made = await store.reserve([cap], money=money, tokens=round(money * 50))
                held += [made] if made.id else []
            else:
                one = held.pop(round(share * (len(held) - 1)))
                await store.settle(one.id, "s", None, "", [paid(one.money * share, round(one.tokens * share))])
            stands = await store.balance(cap.account)
            assert stands.money + stands.reserved_money <= 1.0 + 1e-12
            assert stands.tokens + stands.reserved_tokens <= 100
            assert stands.reserved_money == pytest.approx(sum(one.money for one in held))
        await store.close()

    asyncio.run(go())
