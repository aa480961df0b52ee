"""Pipelines, chains, projects and events as an owner meets them in a chat, and a story that events tell."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.domain.event import Event
from agent.domain.messages import Destination, MessageKind
from agent.domain.project import Project
from agent.domain.provenance import USER
from agent.domain.states import Status
from agent.policy.grants import grants_of
from agent.testing import Bot
from plugins.api import tool

DEST = Destination("test", "1")


@tool
def say(text: str) -> str:
    """Return the text."""
    return text


@tool(effect="once", standing=True)
def move(queue: str) -> str:
    """Move something to a queue."""
    return queue


@pytest.fixture
async def bot(tmp_path: Path) -> AsyncIterator[Bot]:
    settings = {"automation": {"report_to": "test:1"}}
    async with Bot(tmp_path / "home", [say, move], offline=True, **settings) as made:
        (made.config.folder / "pipelines").mkdir()
        yield made


def write(bot: Bot, name: str, text: str) -> None:
    (bot.config.folder / "pipelines" / f"{name}.yaml").write_text(f"name: {name}\n{text}")


async def the_list(bot: Bot) -> str:
    return (await bot.shown(MessageKind.NOTICE))[-1].payload["text"]


async def press(bot: Bot, label: str, **fields) -> str:
    (message, *_) = reversed(await bot.shown(MessageKind.NOTICE))
    for button in (button for row in message.payload["buttons"] for button in row):
        assert len(button["action"].encode()) <= 64
        if label in button["label"]:
            return await bot.presses(button["action"], **fields)
    raise AssertionError(f"there is no button {label}")


async def test_a_project_is_paused_and_goes_on_where_it_is_listed(bot: Bot):
    await bot.receives("/projects")
    assert (await the_list(bot)).startswith("There are no projects")
    await bot.app.store.put_project(Project("film-" + "x" * 59, "test:1", DEST, 20.0))
    await bot.receives("/projects")
    assert "0.00 $ of 20.00 $ spent" in await the_list(bot)

    assert await press(bot, "Pause 1") == "Paused: its events are kept"
    assert "(paused)" in await the_list(bot)
    assert await press(bot, "Resume 1") == "Goes on"
    assert "(paused)" not in await the_list(bot)


async def test_a_dead_event_is_tried_again_or_dropped_where_it_is_listed(bot: Bot):
    write(
        bot,
        "p",
        "inputs: {n: integer}\nsteps: [{id: a, use: say, args: {text: '{{ inputs.n }}'}}]\ntriggers: [{event: x, inputs: {n: '{{ event.payload.n }}'}}]\n",
    )
    await bot.app.scheduled.set_schedules()
    for key, payload in (("e1", {}), ("e2", {}), ("e3", {"n": 3})):
        await bot.app.automation.publish(Event("x", "test", key, payload, provenance=USER))
    await bot.app.automation._round()
    assert (await bot.answer()).text == "3"
    await bot.receives("/events")
    assert (await the_list(bot)).count("⚠️") == 2
    assert "{{ event.payload.n }}" in await the_list(bot)

    assert await press(bot, "Retry 1") == "It is tried again"
    await bot.app.automation._round()
    assert (await bot.app.store.get_event("e1")).status == "dead"
    assert await press(bot, "Drop") == "Dropped"
    assert [event.status for event in await bot.app.store.newest_events()] == ["handled", "handled", "dead"]


async def test_a_chain_is_run_where_it_is_listed_and_its_success_is_counted(bot: Bot):
    write(bot, "one", "steps: [{id: a, use: say, args: {text: first}}]\noutputs: {said: '{{ steps.a.output }}'}\n")
    write(
        bot,
        "two",
        "inputs: {said: text}\nsteps: [{id: a, use: say, args: {text: '{{ inputs.said }}, then second'}}]\noutputs: {said: '{{ steps.a.output }}'}\n",
    )
    chain = await bot.app.chains.create_chain("Both", ["one", "two"])
    await bot.receives("/chains")
    assert await the_list(bot) == "1. Both: one → two"

    assert await press(bot, "Run 1") == "Started"
    answer = await bot.answer()

    assert (answer.text, answer.status) == ("first, then second", "COMPLETED")
    assert (await bot.last_run()).source == f"chain:{chain.id}"
    assert (await bot.hears("/run Both")).text == "first, then second"
    history = await bot.app.chains.history("Both")
    assert (history.success_rate, len(history.executions)) == (1.0, 2)
    assert history.last_execution.id == (await bot.last_run()).id


async def test_a_pipeline_is_switched_off_and_on_where_it_is_listed(bot: Bot):
    write(
        bot,
        "p",
        "description: Say hello\nsteps: [{id: a, use: say, args: {text: hello}}]\ntriggers: [{schedule: every hour}]\n",
    )
    await bot.app.scheduled.set_schedules()
    await bot.hears("/run p")
    await bot.receives("/pipelines")
    assert await the_list(bot) == (
        "`p` — Say hello. Takes no inputs.\n   last run completed · 1 of 1 runs succeeded\n   starts: every hour"
    )
    assert await press(bot, "Off: p") == "Its triggers are off"
    assert not (await bot.app.store.triggers())[0].enabled
    assert await press(bot, "On: p") == "Its triggers are on"
    assert (await bot.app.store.triggers())[0].enabled


SORTING = "steps: [{id: sort, use: move, args: {queue: A}, consent: {}}]\ntriggers: [{schedule: {every: 1h}}]\n"


async def grants(bot: Bot) -> list[str]:
    return [grant.by for grant in await grants_of(bot.app.store, "sort")]


async def test_switching_a_pipeline_on_asks_for_the_yes_to_what_it_changes_and_off_takes_it_back(bot: Bot):
    write(bot, "sort", SORTING)
    await bot.app.scheduled.set_schedules()
    await bot.receives("/pipelines")
    await press(bot, "Off: sort")

    assert await press(bot, "On: sort") == "It asks for your yes first"
    assert 'move: queue "A"' in await the_list(bot)
    assert not (await bot.app.store.triggers())[0].enabled
    assert await press(bot, "Agree", trusted=False) == "Only an owner may do that."
    assert await grants(bot) == []
    assert await press(bot, "Agree") == "Its triggers are on"
    assert len(await grants(bot)) == 1
    assert (await bot.app.store.triggers())[0].enabled

    await bot.receives("/pipelines")
    assert await press(bot, "Off: sort") == "Its triggers are off"
    assert await grants(bot) == []


async def test_a_pipeline_can_be_switched_on_without_a_yes_and_a_changed_one_is_not_agreed_to(bot: Bot):
    write(bot, "sort", SORTING)
    await bot.app.scheduled.set_schedules()
    await bot.receives("/pipelines")
    await press(bot, "Off: sort")
    await press(bot, "On: sort")
    write(bot, "sort", SORTING.replace("queue: A", "queue: B"))

    assert await press(bot, "Agree") == "It has changed since: tap On again."
    assert not (await bot.app.store.triggers())[0].enabled
    assert await press(bot, "each change asks") == "Its triggers are on"
    assert (await bot.app.store.triggers())[0].enabled
    assert await grants(bot) == []


@pytest.mark.parametrize("command", ["/projects", "/events", "/chains", "/pipelines"])
async def test_only_owners_see_and_change_what_runs_by_itself(bot: Bot, command: str):
    await bot.receives(command, trusted=False)
    assert "Only an owner" in await the_list(bot)
    for action in ("j/pause/x", "v/drop/1", "c/run/x", "y/off/x"):
        assert await bot.presses(action, trusted=False) == "Only an owner may do that."
    assert (
        await bot.presses("v/drop/1") == "There is no event '1'. `dirigent events` lists the newest with their numbers."
    )
    assert await bot.presses("c/run/x") == "There is no chain 'x'. `dirigent chains create` makes one."


async def test_pipelines_hand_work_on_by_events_within_a_project_in_order(bot: Bot):
    """A scene is written, then planned: the second pipeline starts by the event that the first one publishes."""
    await bot.app.store.put_project(Project("film", "test:1", DEST, 20.0))
    write(
        bot,
        "write",
        "inputs: {scene: integer}\n"
        "steps:\n"
        "  - {id: text, use: say, args: {text: 'scene {{ inputs.scene }}'}}\n"
        "  - {id: tell, use: publish, args: {type: scene.written, payload: {text: '{{ steps.text.output }}'}}}\n"
        "triggers: [{event: scene.wanted, inputs: {scene: '{{ event.payload.scene }}'}}]\n",
    )
    write(
        bot,
        "plan",
        "inputs: {text: text}\nquiet: true\n"
        "steps: [{id: shots, use: say, args: {text: 'shots of {{ inputs.text }}'}}]\n"
        "triggers: [{event: scene.written, inputs: {text: '{{ event.payload.text }}'}, priority: 8}]\n",
    )
    await bot.app.automation.start()
    await bot.app.scheduled.set_schedules()
    for scene in (1, 2, 3):
        await bot.app.automation.publish(
            Event("scene.wanted", "test", f"s{scene}", {"scene": scene}, project="film", provenance=USER)
        )
    runs = await ended(bot, 6)

    planned = [run for run in runs if run.title == "plan"]
    assert [run.given["inputs"]["text"] for run in planned] == ["scene 1", "scene 2", "scene 3"]
    assert {(run.project, run.priority, run.status) for run in planned} == {("film", 8, Status.COMPLETED)}
    assert all(run.provenance.trusted for run in runs)
    status = await bot.app.store.project_status("film")
    assert (status.runs, status.events) == ({"COMPLETED": 6}, {"handled": 6})


async def ended(bot: Bot, count: int) -> list:
    """Wait until so many runs have ended; return them, oldest first."""
    import asyncio

    finished = asyncio.Event()
    bot.app.orchestrator.when_finished.append(lambda _run: finished.set())
    async with asyncio.timeout(60):
        while True:
            finished.clear()
            runs = await bot.app.store.recent_runs(limit=100)
            if sum(run.status is Status.COMPLETED for run in runs) >= count:
                return list(reversed(runs))
            await finished.wait()
