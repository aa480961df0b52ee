"""kill -9 while fires are being made: none is lost, none is doubled."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from agent.domain.trigger import FireStatus, Misfire
from agent.store.sql import SqlStore
from agent.testing.engines import journal_of

KILLS = 8
SCHEDULES = 5
CHILD = Path(__file__).with_name("fire_until_killed.py")


@pytest.mark.crash
async def test_kill_9_loses_and_doubles_no_fire(tmp_path: Path, a_trigger):
    home = tmp_path / "home"
    home.mkdir()
    store = SqlStore(journal_of(home))
    await store.open()
    begun = time.time()
    for number in range(SCHEDULES):
        spec = {"every": 1 + number * 0.13}
        kept = {"target": {"request": f"job {number}"}, "misfire": Misfire.ALL, "misfire_cap": 1000}
        await store.create_trigger(
            a_trigger(spec, id=f"t{number}", created_at=begun, next_fire=begun + spec["every"], **kept)
        )
    dice = random.Random(20261120)
    for kill in range(KILLS + 1):
        child = await asyncio.create_subprocess_exec(
            sys.executable, str(CHILD), str(home), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        assert child.stdout is not None
        assert await child.stdout.readline() == b"ready\n"
        await asyncio.sleep(dice.uniform(0.05, 0.6) if kill < KILLS else 1.5)  # the moment of the kill is by chance
        child.kill()
        await child.communicate()
    runs = Counter(run.request for run in await store.recent_runs(limit=10_000))
    for number in range(SCHEDULES):
        every = 1 + number * 0.13
        fires = await store.fires_of(f"t{number}", 10_000)
        due = sorted(fire.due_at for fire in fires)
        assert all(fire.status is FireStatus.STARTED and fire.run_id for fire in fires)
        assert due == pytest.approx([begun + every * (n + 1) for n in range(len(due))], abs=0.001)
        assert len(due) == runs[f"job {number}"]
        assert len(due) > 2
        following = (await store.get_trigger(f"t{number}")).next_fire
        assert following == pytest.approx(begun + every * (len(due) + 1), abs=0.001)
    await store.close()
