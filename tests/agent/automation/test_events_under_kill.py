"""kill -9 while events are handled and triggers are set: each rule fires once for each event, in order per project."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from pathlib import Path

import pytest

from agent.domain.chain import Chain
from agent.domain.event import Event
from agent.domain.provenance import USER
from agent.domain.trigger import TriggerKind
from agent.store.sql import SqlStore
from agent.testing.engines import journal_of

CHILD = Path(__file__).with_name("fire_until_killed.py")
EVENTS = 120
PROJECTS = ("film", "shop", "")
PIPELINE = """\
name: take
inputs: {n: integer}
steps: [{id: a, use: value, args: {value: "{{ inputs.n }}"}}]
triggers:
  - {event: order.*, inputs: {n: "{{ event.payload.n }}"}}
  - {event: order.created, inputs: {n: "{{ event.payload.n * 1000 }}"}, priority: 9}
"""


@pytest.mark.crash
@pytest.mark.timeout(300)
async def test_kill_9_loses_doubles_and_reorders_nothing(tmp_path: Path, a_trigger):
    home = tmp_path / "home"
    (home / "pipelines").mkdir(parents=True)
    (home / "pipelines" / "take.yaml").write_text(PIPELINE)
    store = SqlStore(journal_of(home))
    await store.open()
    await store.create_chain(Chain("c1", "both", ("take", "take")))
    await store.create_trigger(
        a_trigger(
            {"type": "order.*"},
            kind=TriggerKind.EVENT,
            target={"chain": "both", "inputs": {"n": "{{ event.payload.n }}"}},
        )
    )
    dice = random.Random(20261121)
    published = 0
    for kill in range(200):
        for _ in range(min(20, EVENTS - published)):
            published += 1
            project = PROJECTS[published % 3]
            event = Event("order.created", "t", f"e{published}", {"n": published}, project=project, provenance=USER)
            await store.publish(event)
        if published == EVENTS and not await store.events("new"):
            break
        child = await asyncio.create_subprocess_exec(
            sys.executable, str(CHILD), str(home), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        assert child.stdout is not None
        assert await child.stdout.readline() == b"ready\n"
        await asyncio.sleep(dice.uniform(0.05, 0.6) + kill * 0.2)  # the moment of the kill is by chance
        child.kill()
        await child.communicate()  # reads to the end, so that its pipe is closed with the loop

    assert [(event.key, event.error) for event in await store.events("dead")] == []
    assert len(await store.events("handled")) == EVENTS
    triggers = await store.triggers()
    assert Counter(trigger.source for trigger in triggers) == {"take": 2, "": 1}
    runs = sorted(await store.recent_runs(limit=10_000), key=lambda run: run.id)
    assert len(runs) == 3 * EVENTS
    for trigger in triggers:
        fires = await store.fires_of(trigger.id, 10_000)
        assert len(fires) == EVENTS
        made = {fire.run_id: int(fire.key.removeprefix("event:e")) for fire in fires}
        for project in PROJECTS[:2]:
            numbers = [made[run.id] for run in runs if run.id in made and run.project == project]
            assert numbers == sorted(numbers)
            assert len(numbers) == EVENTS // 3
    await store.close()
