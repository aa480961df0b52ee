"""Pipelines that publish events: once each, with the label of what they are made of."""

from __future__ import annotations

import asyncio
from pathlib import Path
from textwrap import dedent

import pytest

from agent.domain.messages import MessageKind
from agent.testing import Bot
from plugins.api import tool


def write(home: Path, name: str, text: str) -> None:
    (home / "pipelines").mkdir(parents=True, exist_ok=True)
    (home / "pipelines" / f"{name}.yaml").write_text(f"name: {name}\n{dedent(text)}")


async def test_a_step_publishes_an_event_and_wakes_the_automation(bot: Bot):
    woken: list[int] = []
    bot.app.orchestrator.when_published.append(lambda: woken.append(1))
    write(
        bot.config.home,
        "scene",
        """
        inputs: {scene: integer}
        steps:
          - {id: text, use: echo, args: {text: "A door opens."}}
          - {id: tell, use: publish, args: {type: scene.written, project: film, payload: {scene: "{{ inputs.scene }}", text: "{{ steps.text.output }}"}}}
        """,
    )

    await bot.hears("/run scene scene=3", trusted=True)

    (event,) = await bot.app.store.events("new")
    run = await bot.last_run()
    assert (event.type, event.source, event.project) == ("scene.written", "pipeline:scene", "film")
    assert event.payload == {"scene": 3, "text": "A door opens."}
    assert event.key == f"run:{run.ref}:tell"
    assert event.label.trusted
    assert woken
    assert {r.step.id: r.output for r in await bot.steps()}["tell"] == {"key": event.key, "type": "scene.written"}


async def test_an_event_carries_the_label_of_what_it_is_made_of(tmp_path: Path):
    @tool(untrusted=True)
    def page() -> str:
        """Read a page."""
        return "told by a stranger"

    write(
        tmp_path / "home",
        "leak",
        "steps: [{id: p, use: page}, {id: e, use: publish, args: {type: a.b, payload: {t: '{{ steps.p.output }}'}}}]",
    )
    async with Bot(tmp_path / "home", [page]) as bot:
        await bot.hears("/run leak", trusted=True)
        (event,) = await bot.app.store.events("new")

    assert event.label.untrusted_names == ("test.page#p",)


async def test_each_entry_of_a_list_publishes_its_own_event(bot: Bot):
    write(
        bot.config.home,
        "each",
        "steps: [{id: e, use: publish, foreach: [1, 2, 3], args: {type: n, payload: {n: '{{ item }}'}}}]",
    )

    await bot.hears("/run each", trusted=True)

    assert sorted(event.payload["n"] for event in await bot.app.store.events("new")) == [1, 2, 3]


async def test_an_event_with_a_key_of_its_own_is_published_once_by_all_runs(bot: Bot):
    write(bot.config.home, "daily", "steps: [{id: e, use: publish, args: {type: day, key: monday}}]")

    await bot.hears("/run daily", trusted=True)
    again = await bot.hears("/run daily", trusted=True)

    (event,) = await bot.app.store.events("new")
    assert event.key == "pipeline:daily:monday"
    assert "was published before" in again.text


async def test_publishing_asks_nobody_and_waits_for_its_checkpoint(bot: Bot):
    write(bot.config.home, "gate", "steps: [{id: e, use: publish, approval: Tell?, args: {type: told}}]")

    await bot.hears("/run gate", trusted=True)
    assert await bot.app.store.events("new") == []
    (asked,) = await bot.shown(MessageKind.APPROVAL)
    await bot.presses(f"a/{asked.payload['id']}/allow")
    await bot.answer()

    assert [event.type for event in await bot.app.store.events("new")] == ["told"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("{type: '{{ 1 }} {{ 2 }}'}", "'1 2' is no event type"),
        ("{type: a, payload: '{{ [1] }}'}", "the payload is list, and must be values by name"),
        ("{type: a, key: '{{ \"x\" * 200 }}'}", "`key` is a text of at most 100 characters"),
        ("{type: a, payload: {t: '{{ \"x\" * 300000 }}'}}", "200,000 are allowed"),
    ],
)
async def test_an_event_that_cannot_be_is_an_error_that_says_why(bot: Bot, args: str, said: str):
    write(bot.config.home, "bad", f"steps: [{{id: e, use: publish, args: {args}}}]")

    answer = await bot.hears("/run bad", trusted=True)

    assert said in answer.text
    assert await bot.app.store.events("new") == []


async def test_an_event_with_a_budget_begins_its_project_where_the_run_reports(bot: Bot):
    write(
        bot.config.home,
        "begin",
        "inputs: {money: number}\n"
        "steps: [{id: e, use: publish, args: {type: film.begun, project: reef, budget: '{{ inputs.money }}'}}]",
    )

    await bot.hears("/run begin money=2.5", trusted=True)
    await bot.hears("/run begin money=4", trusted=True)

    (project,) = await bot.app.store.projects()
    assert (project.name, project.budget) == ("reef", 4.0)
    assert (project.session_id, project.dest) == (bot.dest.session_id, bot.dest)
    assert [event.project for event in await bot.app.store.events("new")] == ["reef", "reef"]


@pytest.mark.parametrize(
    ("args", "trusted", "said"),
    [
        ("{type: a, budget: 2}", True, "a budget is a project's"),
        ("{type: a, project: p, budget: -2}", True, "a number of US dollars above 0"),
        ("{type: a, project: p, budget: '{{ inputs.money }}'}", False, "comes from what others wrote"),
    ],
)
async def test_a_budget_that_cannot_be_makes_no_project(bot: Bot, args: str, trusted: bool, said: str):
    write(bot.config.home, "begin", f"inputs: {{money: number}}\nsteps: [{{id: e, use: publish, args: {args}}}]")

    answer = await bot.hears("/run begin money=9", trusted=trusted)

    assert said in answer.text
    assert await bot.app.store.projects() == []
    assert await bot.app.store.events("new") == []


async def test_pipelines_that_start_each_other_in_a_circle_come_to_an_end(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("agent.execution.publishing.MAX_HOPS", 3)
    home = tmp_path / "home"
    write(home, "ping", "steps: [{id: e, use: publish, args: {type: pong}}]\ntriggers: [{event: ping}]")
    write(home, "pong", "steps: [{id: e, use: publish, args: {type: ping}}]\ntriggers: [{event: pong}]")
    async with Bot(home, [page_()], automation={"report_to": "test:1"}) as bot:
        ended: asyncio.Queue[int] = asyncio.Queue()
        await bot.app.scheduled.set_schedules()
        bot.app.orchestrator.when_finished.append(ended.put_nowait)
        await bot.app.automation.start()
        await bot.receives("/run ping", trusted=True)
        runs = [await bot.app.store.get_run(await ended.get()) for _ in range(4)]
        await bot.idle()

        assert [run.status.value for run in runs] == ["COMPLETED", "COMPLETED", "COMPLETED", "FAILED"]
        assert "after 3 events that each led to the next one" in runs[-1].answer
        assert len(await bot.app.store.recent_runs(limit=10)) == 4


def page_():
    @tool
    def page() -> str:
        """Return nothing."""
        return ""

    return page
