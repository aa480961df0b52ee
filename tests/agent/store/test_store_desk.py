"""The desk: one of all processes at a database has it, and the next one takes it over when that is gone."""

from __future__ import annotations

import asyncio

from agent.store.desk import Desk
from agent.testing.postgres import PostgresServer

SECONDS = 60.0


async def has_it(desk: Desk, got: asyncio.Event, leave: asyncio.Event) -> bool:
    """Take the desk and keep it until told to leave; return whether it was lost."""
    async with desk.taken() as lost:
        got.set()
        ends = [asyncio.create_task(one.wait()) for one in (lost, leave)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in ends:
            task.cancel()
        return lost.is_set()


async def test_one_has_the_desk_and_the_next_takes_it_over(postgres: PostgresServer):
    url = postgres.new_database()
    first, second, leave = asyncio.Event(), asyncio.Event(), asyncio.Event()
    one = asyncio.create_task(has_it(Desk(url), first, leave))
    await asyncio.wait_for(first.wait(), SECONDS)
    other = asyncio.create_task(has_it(Desk(url), second, asyncio.Event()))
    asking = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dirigent_desk'"
    async with asyncio.timeout(SECONDS):
        while await asyncio.to_thread(postgres.execute, asking) != "2\n":
            await asyncio.sleep(0.05)
    assert not second.is_set()
    leave.set()
    assert not await one
    await asyncio.wait_for(second.wait(), SECONDS)
    other.cancel()
    await asyncio.wait([other])


async def test_who_loses_the_desk_to_another_is_told(postgres: PostgresServer):
    url = postgres.new_database()
    name = url.rsplit("/", 1)[-1]
    got = asyncio.Event()
    one = asyncio.create_task(has_it(Desk(url), got, asyncio.Event()))
    await asyncio.wait_for(got.wait(), SECONDS)
    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
    takes_it = f"{cut}; SELECT pg_advisory_lock(5340871218); SELECT pg_sleep(5)"
    holder = asyncio.create_task(asyncio.to_thread(postgres.execute, takes_it, name))
    assert await asyncio.wait_for(one, SECONDS), "another has the desk, and the first does not know"
    await holder


async def test_who_loses_only_the_connection_keeps_the_desk(postgres: PostgresServer):
    url = postgres.new_database()
    name = url.rsplit("/", 1)[-1]
    got, leave = asyncio.Event(), asyncio.Event()
    one = asyncio.create_task(has_it(Desk(url), got, leave))
    await asyncio.wait_for(got.wait(), SECONDS)
    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    await asyncio.to_thread(postgres.execute, cut)
    here = f"(SELECT oid FROM pg_database WHERE datname = '{name}')"
    held = f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = {here}"
    async with asyncio.timeout(SECONDS):
        while await asyncio.to_thread(postgres.execute, held) != "1\n":
            await asyncio.sleep(0.05)
    leave.set()
    assert not await one
