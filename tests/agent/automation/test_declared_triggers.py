"""What pipelines' files declare is what the journal holds, whatever happened to either in between."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.automation.pipelines import PipelineOrchestrator
from agent.domain.messages import MessageKind
from agent.domain.plan import OUTPUTS
from agent.domain.states import Status
from agent.domain.trigger import Misfire, Overlap, TriggerKind
from agent.errors import NotFound, PlanError
from agent.testing import Bot
from plugins.api import tool

STEPS = "steps: [{id: a, use: say, args: {text: hello}}]"


@tool
def say(text: str) -> str:
    """Return the text."""
    return text


@pytest.fixture
async def bot(tmp_path: Path) -> AsyncIterator[Bot]:
    settings = {"plugins": {"time": {"time_zone": "Europe/Vienna"}}, "automation": {"report_to": "test:1"}}
    async with Bot(tmp_path / "home", [say], offline=True, **settings) as made:
        (made.config.folder / "pipelines").mkdir()
        yield made


@pytest.fixture
def scheduled(bot: Bot) -> PipelineOrchestrator:
    return bot.app.scheduled


def write(bot: Bot, name: str, triggers: str = "", more: str = "", steps: str = STEPS) -> Path:
    file = bot.config.folder / "pipelines" / f"{name}.yaml"
    listed = f"triggers:\n{textwrap.indent(textwrap.dedent(triggers), '  ')}\n" if triggers else ""
    file.write_text(f"name: {name}\n{more}\n{steps}\n{listed}")
    return file


async def stored(bot: Bot) -> dict:
    return {trigger.name: trigger for trigger in await bot.app.store.triggers()}


async def test_each_kind_of_trigger_is_set_with_its_terms_and_setting_them_again_changes_nothing(bot, scheduled):
    (bot.config.folder / "in").mkdir()
    write(
        bot,
        "p",
        """\
        - {name: words, schedule: every Friday at 9, misfire: all, misfire_cap: 3}
        - {name: interval, schedule: {interval: 5, unit: minutes}, overlap: queue}
        - {name: cron, schedule: 30 8 * * 1-5}
        - {name: files, file: {folder: in, pattern: "*.csv", afterwards: move, trusted: true}}
        - {name: orders, event: order.*, priority: 8, project: shop, budget: 0.5, approval: "Sure?"}
        - {name: calls, webhook: incoming}
        - {name: later, schedule: every hour, enabled: false}
        """,
    )

    first = await scheduled.set_schedules()
    made = await stored(bot)
    again = await scheduled.set_schedules()

    assert first.problems == {}
    assert first.created == ("words", "interval", "cron", "files", "orders", "calls", "later")
    assert again == type(again)()
    assert await stored(bot) == made
    words, files, orders = made["words"], made["files"], made["orders"]
    assert (words.spec["cron"], words.spec["zone"], words.overlap) == ("0 9 * * 5", "Europe/Vienna", Overlap.SKIP)
    assert (words.misfire, words.misfire_cap, words.source) == (Misfire.ALL, 3, "p")
    assert (made["interval"].spec["every"], made["interval"].overlap) == (300, Overlap.QUEUE)
    assert (made["cron"].spec["cron"], made["cron"].session_id) == ("30 8 * * 1-5", "test:1")
    assert files.spec["folder"] == str((bot.config.folder / "in").resolve())
    assert (files.spec["afterwards"], files.spec["trusted"], files.overlap) == ("move", True, Overlap.ALLOW)
    assert (orders.priority, orders.project, orders.budget, orders.approval) == (8, "shop", 0.5, "Sure?")
    assert (made["calls"].kind, made["calls"].spec["type"]) == (TriggerKind.WEBHOOK, "webhook.incoming")
    assert not made["later"].enabled


async def test_a_changed_trigger_keeps_its_history_and_a_gone_one_is_deleted(bot, scheduled):
    write(bot, "p", "- schedule: every 2 hours\n- event: a.b\n")
    await scheduled.set_schedules()
    schedule, event = sorted(await bot.app.store.triggers(), key=lambda one: one.kind.value, reverse=True)
    await bot.app.automation.fire(schedule.id)
    await bot.app.automation.fire(event.id)
    fired = (await bot.app.automation.get(schedule.id)).last_fired

    write(
        bot,
        "p",
        "- {event: a.b, inputs: {n: 3}}\n- {schedule: every 2 hours, priority: 9}\n",
        "inputs: {n: {default: '1'}}",
    )
    changes = await scheduled.set_schedules()
    same = await bot.app.automation.get(schedule.id)
    assert sorted(changes.changed) == ["p", "p"]
    assert (same.priority, same.next_fire, same.last_fired) == (9, schedule.next_fire, fired)
    assert (await bot.app.automation.get(event.id)).target["inputs"] == {"n": 3}
    assert len(await bot.app.store.fires_of(event.id)) == 1

    write(bot, "p", "- schedule: every 5 hours")
    changes = await scheduled.set_schedules()
    assert (changes.changed, changes.deleted) == (("p",), ("p",))
    moved = await bot.app.automation.get(schedule.id)
    assert moved.spec["every"] == 18000
    assert moved.next_fire != schedule.next_fire
    assert moved.last_fired == fired

    (bot.config.folder / "pipelines" / "p.yaml").unlink()
    assert (await scheduled.set_schedules()).deleted == ("p",)
    assert await bot.app.store.triggers() == []


async def test_a_file_that_is_wrong_is_reported_and_stops_neither_the_others_nor_its_own_triggers(bot, scheduled):
    write(bot, "good", "- schedule: every hour")
    write(bot, "bad", "- schedule: every hour")
    await scheduled.set_schedules()
    write(bot, "bad", "- schedule: evry hour")
    write(bot, "worse", "- schedule: every hour", steps="steps: [{id: a, use: nothing}]")
    write(bot, "other", "- schedule: every day at 8")

    changes = await scheduled.set_schedules()

    assert changes.created == ("other",)
    assert sorted(await stored(bot)) == ["bad", "good", "other"]
    assert changes.problems["bad"].startswith(
        "bad.yaml:5:5: “evry hour” is no time that comes again and again. Write it as"
    )
    assert changes.problems["worse"].startswith("worse.yaml:3:17: There is no tool 'nothing'.")
    assert set(scheduled.build_pipelines()) == {"good", "bad", "other"}
    assert list(scheduled.problems) == ["worse"]


@pytest.mark.parametrize(
    ("trigger", "said"),
    [
        ("- schedule: tomorrow at 9", "“tomorrow at 9” is no time that comes again"),
        ("- schedule: {cron: '0 9 30 2 *'}", "Bad day-of-month"),
        ("- schedule: {say: every day at 9, zone: Europe/Wien}", "There is no time zone 'Europe/Wien'."),
        ("- file: nowhere", "is not there. Make it first."),
        ("- schedule: {every: 0.1}", "An interval of 0.1 seconds cannot be kept."),
    ],
)
async def test_what_cannot_be_waited_for_is_told(bot, scheduled, trigger, said):
    write(bot, "p", trigger)
    assert said in (await scheduled.set_schedules()).problems["p"]
    assert await bot.app.store.triggers() == []


async def test_a_trigger_that_a_person_paused_stays_paused_until_the_file_itself_switches_it(bot, scheduled):
    write(bot, "p", "- schedule: every hour")
    await scheduled.set_schedules()
    (trigger,) = await bot.app.store.triggers()
    await bot.app.automation.disable(trigger.id)

    write(bot, "p", "- {schedule: every hour, priority: 7}")
    await scheduled.set_schedules()
    assert ((await stored(bot))["p"].enabled, (await stored(bot))["p"].priority) == (False, 7)

    write(bot, "p", "- {schedule: every hour, enabled: false}")
    await scheduled.set_schedules()
    write(bot, "p", "- schedule: every hour")
    await scheduled.set_schedules()
    assert (await stored(bot))["p"].enabled


async def test_shipped_pipelines_start_nothing_until_they_are_switched_on(bot, scheduled, tmp_path):
    folder = tmp_path / "shop" / "pipelines"
    folder.mkdir(parents=True)
    (folder / "night.yaml").write_text(f"name: night\n{STEPS}\ntriggers: [{{schedule: every day at 3}}]\n")
    write(bot, "mine", "- schedule: every hour")
    bot.app.pipelines.__dict__["_shipped"] = [("shop", folder)]
    await scheduled.set_schedules()
    assert {name: trigger.enabled for name, trigger in (await stored(bot)).items()} == {"mine": True}

    assert await scheduled.switch("shop", on=True) == ["night"]
    assert await scheduled.switch("mine", on=False) == ["mine"]
    assert {name: trigger.enabled for name, trigger in (await stored(bot)).items()} == {"mine": False, "night": True}
    assert (await scheduled.set_schedules()).changed == ()
    await scheduled.switch("night", on=False)
    assert not (await stored(bot))["night"].enabled
    with pytest.raises(NotFound, match=r"There is no pipeline 'nigth'\. Did you mean 'night'"):
        await scheduled.switch("nigth", on=True)


async def test_a_plugin_is_switched_as_a_whole_also_when_one_of_its_pipelines_has_its_name(bot, scheduled, tmp_path):
    folder = tmp_path / "shop" / "pipelines"
    folder.mkdir(parents=True)
    (folder / "shop.yaml").write_text(f"name: shop\n{STEPS}\n")
    (folder / "night.yaml").write_text(f"name: night\n{STEPS}\ntriggers: [{{schedule: every day at 3}}]\n")
    bot.app.pipelines.__dict__["_shipped"] = [("shop", folder)]
    await scheduled.set_schedules()

    assert sorted(await scheduled.switch("shop", on=True)) == ["night", "shop"]
    assert (await stored(bot))["night"].enabled


async def test_a_changed_file_counts_while_it_runs_and_a_mistake_is_told_in_the_chat(bot, scheduled):
    file = write(bot, "p", "- schedule: every hour")
    await bot.app.automation.start()
    await until(bot, lambda found: len(found) == 1)

    file.write_text(file.read_text().replace("every hour", "every 2 hours"))
    await until(bot, lambda found: found and found[0].spec["every"] == 7200)

    bot.app.store.outbox_changed.clear()
    file.write_text(file.read_text().replace("every 2 hours", "now and then"))
    async with asyncio.timeout(60):
        await bot.app.store.outbox_changed.wait()
    (told,) = await bot.shown(MessageKind.NOTICE)
    assert told.payload["text"].startswith("⚠️ The pipeline 'p' is wrong; its triggers stay as they were.\np.yaml:5:")


async def until(bot: Bot, true) -> None:
    async with asyncio.timeout(60):
        while not true(await bot.app.store.triggers()):
            await asyncio.sleep(0.05)  # the system tells of changes to files when it likes


# --- one ticket ---------------------------------------------------------------------------------------------------
TICKETS = """\
name: ticket
inputs: {ticket_id: text, loud: {type: boolean, default: false}}
steps:
  - {id: look, use: say, args: {text: "ticket {{ inputs.ticket_id }}"}}
  - {id: shout, use: say, args: {text: "{{ steps.look.output | upper }}"}, when: inputs.loud}
outputs: {said: "{{ steps.look.output }}"}
"""


async def test_a_pipeline_is_run_for_a_ticket_and_its_context_comes_back(bot, scheduled):
    (bot.config.folder / "pipelines" / "ticket.yaml").write_text(TICKETS)

    context = await scheduled.process_ticket("T-7", "ticket")

    assert (context.ticket_id, context.status, context.outputs) == ("T-7", Status.COMPLETED, {"said": "ticket T-7"})
    assert {name: one["status"] for name, one in context.results.items()} == {
        "look": "ok",
        "shout": "skipped",
        OUTPUTS: "ok",
    }
    assert (context.run.source, context.run.given["inputs"]) == ("pipeline:ticket", {"ticket_id": "T-7", "loud": False})
    ready = scheduled.build_pipelines()["ticket"]
    assert (await scheduled.process_ticket("T-8", ready.pipeline, {"loud": True})).results["shout"][
        "output"
    ] == "TICKET T-8"
    assert (await scheduled.process_ticket("T-9", ready)).outputs == {"said": "ticket T-9"}
    assert (await bot.app.store.outcomes("pipeline:ticket"))[Status.COMPLETED] == 3


async def test_a_ticket_whose_pipeline_fails_says_so_and_one_that_cannot_begin_is_refused(bot, scheduled):
    write(
        bot,
        "p",
        more="inputs: {ticket_id: text, n: number}",
        steps="steps: [{id: a, use: say, args: {text: '{{ fail(1) }}'}}]",
    )

    context = await scheduled.process_ticket("T-1", "p", {"n": 1})
    assert context.status is Status.FAILED
    assert context.results["a"]["status"] == "error"
    with pytest.raises(PlanError, match="input 'n' is missing"):
        await scheduled.process_ticket("T-1", "p")


async def test_a_scheduled_run_of_a_ticket_pipeline_is_about_no_ticket(bot, scheduled):
    (bot.config.folder / "pipelines" / "ticket.yaml").write_text(f"{TICKETS}triggers: [{{schedule: every hour}}]\n")
    await scheduled.set_schedules()
    (trigger,) = await bot.app.store.triggers()

    await bot.app.automation.fire(trigger.id)
    answer = await bot.answer()

    assert (answer.status, (await bot.last_run()).given["inputs"]["ticket_id"]) == ("COMPLETED", "")


# --- what is shown ------------------------------------------------------------------------------------------------
async def test_a_quiet_pipeline_shows_only_its_failures(bot, scheduled):
    steps = "steps: [{id: a, use: say, args: {text: '{{ inputs.n }}'}}, {id: b, use: say, args: {text: '{{ fail(\"broken\") }}'}, when: inputs.n == 2}]"
    write(bot, "p", "- {event: x, inputs: {n: '{{ event.payload.n }}'}}", "quiet: true\ninputs: {n: integer}", steps)
    await scheduled.set_schedules()
    (trigger,) = await bot.app.store.triggers()
    await bot.app.automation.update(trigger.id, target={"pipeline": "p", "inputs": {"n": 1}})

    await bot.app.automation.fire(trigger.id)
    assert (await bot.answer()).status == "COMPLETED"
    assert await bot.shown() == []

    await bot.app.automation.update(trigger.id, target={"pipeline": "p", "inputs": {"n": 2}})
    await bot.app.automation.fire(trigger.id)
    assert (await bot.answer()).status == "FAILED"
    assert {message.kind for message in await bot.shown()} == {MessageKind.PLAN, MessageKind.ANSWER}


async def test_a_run_that_asks_first_begins_when_a_person_agrees(bot, scheduled):
    write(bot, "p", "- {schedule: every hour, approval: 'Begin {{ trigger.name }} with {{ \"{{ x }}\" }}?'}")
    await scheduled.set_schedules()
    (trigger,) = await bot.app.store.triggers()

    await bot.app.automation.fire(trigger.id)
    await bot.answer()
    (asked,) = await bot.shown(MessageKind.APPROVAL)
    assert asked.payload["details"]["text"] == "Begin p with { { x }}?"
    assert [record.status for record in await bot.steps()] == [Status.WAITING_APPROVAL, Status.PENDING]

    await bot.presses(f"a/{asked.payload['id']}/allow", trusted=True)
    answer = await bot.answer()
    assert (answer.status, answer.text) == ("COMPLETED", "hello")


async def test_a_run_that_a_person_does_not_agree_to_does_nothing(bot, scheduled):
    write(bot, "p", "- {schedule: every hour, approval: Begin?}")
    await scheduled.set_schedules()
    (trigger,) = await bot.app.store.triggers()
    await bot.app.automation.fire(trigger.id)
    await bot.answer()
    (asked,) = await bot.shown(MessageKind.APPROVAL)

    await bot.presses(f"a/{asked.payload['id']}/deny", trusted=True)
    answer = await bot.answer()

    assert answer.status == "FAILED"
    assert "a" not in {record.step.id for record in await bot.steps() if record.status is Status.COMPLETED}


async def test_reports_go_to_the_first_owner_to_the_terminal_or_where_the_setting_says(bot):
    def at(**settings) -> PipelineOrchestrator:
        config = bot.config.model_copy(update={"automation": bot.config.automation.model_copy(update=settings)})
        return PipelineOrchestrator(config, bot.app.store, bot.app.pipelines, bot.app.automation, bot.app.orchestrator)

    assert (await at(report_to="").destination()).session_id == "terminal:main"
    group = await at(report_to="telegram:-100:7").destination()
    assert (group.session_id, group.chat_type) == ("telegram:-100:7", "group")
    known = replace(group, chat_type="supergroup")
    await bot.app.store.touch_session(known.session_id, bot.config.folder, known.to_json())
    assert await at(report_to="telegram:-100:7").destination() == known
    owned = bot.config.model_copy(
        update={"telegram_token": object(), "owners": (4711,), "automation": type(bot.config.automation)()}
    )
    made = PipelineOrchestrator(owned, bot.app.store, bot.app.pipelines, bot.app.automation, bot.app.orchestrator)
    assert (await made.destination()).session_id == "telegram:4711"
