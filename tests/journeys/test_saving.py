"""From a finished request to a pipeline with a schedule, by taps: saved, renamed, looked at, timed, removed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.domain.messages import MessageKind, OutboundMessage
from agent.testing import Bot, step
from plugins.api import Output, tool


@tool
def say(text: str) -> str:
    """Return the text."""
    return text


@tool(effect="effect")
def send(to: str, text: str) -> str:
    """Send a text."""
    return f"sent to {to}"


@tool(effect="read", untrusted=True)
def page(url: str) -> Output:
    """Read a page, which may not be there."""
    raise ValueError("the page says: no")


@pytest.fixture
async def bot(tmp_path: Path) -> AsyncIterator[Bot]:
    zone = {"time": {"time_zone": "Europe/Vienna"}}
    async with Bot(tmp_path / "home", [say, send, page], plugins=zone) as made:
        yield made


async def notices(bot: Bot) -> list[str]:
    return [message.payload["text"] for message in await bot.shown(MessageKind.NOTICE)]


async def shown(bot: Bot, text: str) -> OutboundMessage:
    """Return the newest notice with this text."""
    return next(m for m in reversed(await bot.shown(MessageKind.NOTICE)) if text in m.payload["text"])


async def a_request(bot: Bot, text: str = 'tell "Vienna" about 2024') -> None:
    bot.llm.will_plan(step("s1", "say", text="Vienna"), step("s2", "say", text="{{ s1.text }} in 2024"))
    bot.llm.will_answer("Vienna, Vienna in 2024")
    assert (await bot.hears(text)).status == "COMPLETED"


def pipelines(bot: Bot) -> dict[str, str]:
    folder = bot.config.folder / "pipelines"
    return {file.name: file.read_text() for file in sorted(folder.iterdir())} if folder.exists() else {}


async def test_one_tap_saves_a_finished_request_and_it_runs_again_with_other_values(bot: Bot):
    await a_request(bot)

    assert await bot.taps("Save as pipeline") == "Saved"
    assert (
        "Saved as `vienna-about`: takes text (Vienna), year (2024)." in (await shown(bot, "Saved as")).payload["text"]
    )
    assert list(pipelines(bot)) == ["vienna-about.yaml"]

    bot.llm.will_say("step", "Graz, it says.")
    assert (await bot.hears("/run vienna-about text=Graz year=2025")).text == "Graz, it says."
    outputs = {record.step.id: record.output for record in await bot.steps()}
    assert (outputs["s1"], outputs["s2"]) == ("Graz", "Graz in 2025")


async def test_a_second_tap_and_a_restart_make_no_second_pipeline(bot: Bot, tmp_path: Path):
    await a_request(bot)
    await bot.taps("Save as pipeline")

    assert await bot.taps("Save as pipeline") == "It is saved already"
    await bot.app.stop()
    async with Bot(tmp_path / "home", [say, send, page]) as again:
        assert await again.taps("Save as pipeline") == "It is saved already"
        assert len(pipelines(again)) == 1


async def test_two_taps_at_once_make_one_pipeline(bot: Bot):
    await a_request(bot)

    said = await asyncio.gather(*(bot.taps("Save as pipeline") for _ in range(5)))
    assert set(said) <= {"Saved", "It is saved already"}
    assert len(pipelines(bot)) == 1
    assert await bot.taps("Save as pipeline") == "It is saved already"


async def test_a_saved_pipeline_is_renamed_by_the_next_words_and_its_schedule_follows(bot: Bot):
    await a_request(bot)
    await bot.taps("Save as pipeline")
    await bot.taps("Schedule…")
    await bot.taps("Every weekday 8:00")
    assert "Every weekday at 8:00 Europe/Vienna: “vienna-about”" in (await shown(bot, "Shall I?")).payload["text"]
    assert await bot.taps("Yes") == "Set"

    await bot.taps("Rename")
    heard = await bot.receives("Monthly report")
    await bot.app.reception.hear(heard)

    assert list(pipelines(bot)) == ["Monthly-report.yaml"]
    assert 'name: "Monthly-report"' in pipelines(bot)["Monthly-report.yaml"]
    (trigger,) = await bot.app.store.triggers()
    assert trigger.target == {"pipeline": "Monthly-report"}
    assert "Saved as `Monthly-report`" in (await shown(bot, "Saved as")).payload["text"]
    assert len(await bot.app.store.recent_runs(bot.dest.session_id, 10)) == 1


async def test_the_pipeline_of_a_schedule_runs(bot: Bot):
    bot.llm.will_plan(step("s1", "say", text="Vienna"))
    bot.llm.will_answer("Vienna")
    await bot.hears('say "Vienna"')
    await bot.taps("Save as pipeline")
    await bot.taps("Schedule…")
    await bot.taps("Every day 8:00")
    await bot.taps("Yes")

    (trigger,) = await bot.app.store.triggers()
    await bot.app.automation.fire(trigger.id)
    answer = await bot.answer()

    assert (answer.text, answer.status) == ("Vienna", "COMPLETED")
    answers = await bot.shown(MessageKind.ANSWER)
    assert ["buttons" in message.payload for message in answers] == [True, False]


async def test_another_time_is_said_in_words(bot: Bot):
    await a_request(bot)
    await bot.taps("Save as pipeline")
    await bot.taps("Schedule…")
    await bot.taps("Other…")

    await bot.receives("whenever you like")
    assert "I don't understand this time." in (await notices(bot))[-1]
    await bot.receives("every Friday at 9")
    assert "Every Friday at 9:00 Europe/Vienna" in (await shown(bot, "Shall I?")).payload["text"]
    await bot.taps("Yes")

    (trigger,) = await bot.app.store.triggers()
    assert (trigger.spec["cron"], trigger.target) == ("0 9 * * 5", {"pipeline": "vienna-about"})


async def test_what_is_cancelled_takes_no_words(bot: Bot):
    await a_request(bot)
    await bot.taps("Save as pipeline")
    await bot.taps("Rename")
    await bot.taps("Cancel")

    await a_request(bot)
    assert list(pipelines(bot)) == ["vienna-about.yaml"]


async def test_a_name_that_is_taken_is_refused_and_asked_again(bot: Bot):
    await a_request(bot)
    await bot.taps("Save as pipeline")
    await a_request(bot)
    await bot.taps("Save as pipeline")
    assert list(pipelines(bot)) == ["vienna-about-2.yaml", "vienna-about.yaml"]

    await bot.taps("Rename")
    await bot.receives("vienna-about")
    assert "There is a pipeline “vienna-about” already." in (await notices(bot))[-1]
    await bot.receives("другое")
    assert "cannot be a name" in (await notices(bot))[-1]
    await bot.receives("second")
    assert list(pipelines(bot)) == ["second.yaml", "vienna-about.yaml"]


async def test_save_as_a_command_with_a_name_and_without_anything_to_save(bot: Bot):
    await bot.receives("/save")
    assert "There is nothing to save here yet." in (await notices(bot))[-1]

    await a_request(bot)
    await bot.receives("/save cities")
    assert list(pipelines(bot)) == ["cities.yaml"]
    await bot.receives("/save towns")
    assert list(pipelines(bot)) == ["towns.yaml"]


async def test_an_input_is_made_a_constant(bot: Bot):
    await a_request(bot)
    await bot.taps("Save as pipeline")
    await bot.taps("Inputs")

    assert await bot.taps("year") == "year stays as it is"
    assert "year:" not in pipelines(bot)["vienna-about.yaml"]
    assert "in 2024" in pipelines(bot)["vienna-about.yaml"]
    assert await bot.taps("🔓 year") == "year is an input"
    assert "year:" in pipelines(bot)["vienna-about.yaml"]


async def test_the_yaml_is_shown_and_the_pipeline_removed(bot: Bot):
    await a_request(bot)
    await bot.taps("Save as pipeline")

    await bot.taps("Show YAML")
    assert (await notices(bot))[-1] == f"```yaml\n{pipelines(bot)['vienna-about.yaml']}```"
    assert await bot.taps("Remove") == "Removed"
    assert pipelines(bot) == {}


async def test_a_pipeline_with_schedules_is_not_removed(bot: Bot):
    await a_request(bot)
    await bot.taps("Save as pipeline")
    await bot.taps("Schedule…")
    await bot.taps("Every Monday 8:00")
    await bot.taps("Yes")

    assert "has 1 schedule(s). Delete them first" in await bot.taps("Remove")
    assert len(pipelines(bot)) == 1


async def test_what_was_planned_after_outside_text_was_read_is_shown_and_asked_about(bot: Bot):
    bot.llm.will_plan(step("s1", "page", url="https://example.org"))
    bot.llm.will_plan(step("s2", "say", text="chosen by the page"))
    bot.llm.will_answer("done")
    assert (await bot.hears("do what the page says")).status == "COMPLETED"

    assert await bot.taps("Save as pipeline") == "Look at it first"
    assert pipelines(bot) == {}
    asked = await shown(bot, "Save it as it stands here?")
    assert "chosen after reading" in asked.payload["text"]
    assert "chosen by the page" in (await shown(bot, "```yaml")).payload["text"]
    assert await bot.taps("Don't") == "Not saved"
    assert pipelines(bot) == {}

    await bot.taps("Save as pipeline")
    assert await bot.taps("Save it") == "Saved"
    assert len(pipelines(bot)) == 1


async def test_effects_are_named_and_only_owners_save(bot: Bot):
    bot.llm.will_plan(step("s1", "send", to="ada@example.org", text="hi"))
    bot.llm.will_answer("sent")
    await bot.hears("send hi to ada@example.org")
    (approval,) = await bot.app.store.approvals_of((await bot.last_run()).id)
    await bot.presses(f"a/{approval.id}/allow")
    assert (await bot.answer()).status == "COMPLETED"

    assert await bot.taps("Save as pipeline", trusted=False) == "Only an owner may save and change pipelines."
    assert pipelines(bot) == {}
    await bot.taps("Save as pipeline")
    assert "It changes something outside: send." in (await shown(bot, "Saved as")).payload["text"]


async def test_a_button_of_another_chat_saves_nothing(bot: Bot):
    await a_request(bot)
    run = await bot.last_run()
    bot.dest = type(bot.dest)("test", "2")

    assert await bot.presses(f"s/{run.ref}/save") == "This run is no longer there."
    assert await bot.presses("s/none/save") == "This run is no longer there."
    assert pipelines(bot) == {}


async def test_what_was_no_work_has_no_button(bot: Bot):
    bot.llm.will_plan(step("s1", ask="Which?"))
    await bot.hears("hm")
    bot.llm.will_answer("so")
    await bot.hears("this one")

    assert not any("buttons" in message.payload for message in await bot.shown(MessageKind.ANSWER))
