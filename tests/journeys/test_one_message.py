"""Whole stories through the front door, with a scripted model and an in-process channel."""

from __future__ import annotations

from agent.domain.messages import MessageKind
from agent.domain.plan import OnFailure
from agent.testing import Bot, step


async def test_a_plan_runs_and_the_answer_comes_back(bot: Bot):
    bot.llm.will_plan(step("s1", "echo", text="hi"))
    bot.llm.will_answer("It said hi.")

    answer = await bot.hears("say hi")

    assert answer.text == "It said hi."
    assert answer.status == "COMPLETED"
    assert bot.statuses == {"s1": "COMPLETED"}


async def test_a_failed_step_is_planned_anew(bot: Bot):
    bot.llm.will_plan(step("first", "boom"))
    bot.llm.will_plan(step("second", "echo", text="hi"))
    bot.llm.will_answer("hi")

    answer = await bot.hears("say hi")

    assert answer.text == "hi"
    assert bot.statuses == {"first": "FAILED", "second": "COMPLETED"}


async def test_a_value_travels_from_step_to_step_without_the_model(bot: Bot):
    bot.llm.will_plan(step("s1", "echo", text="carried"), step("s2", "echo", text="{{ s1.output }}!"))
    bot.llm.will_answer("done")

    await bot.hears("go")

    assert [record.output for record in await bot.steps()] == ["carried", "carried!"]


async def test_a_question_waits_as_a_row_and_its_answer_continues_the_run(bot: Bot):
    bot.llm.will_plan(
        step("s1", ask="Which budget?", options=("low", "high")),
        step("s2", "echo", text="{{ s1.output }}"),
    )
    bot.llm.will_answer("low it is")

    first = await bot.hears("buy")
    assert first.text == ""
    assert first.status == "WAITING_APPROVAL"
    answer = await bot.chooses("low")

    assert answer.text == "low it is"
    assert bot.statuses == {"s1": "COMPLETED", "s2": "COMPLETED"}


async def test_a_typed_text_answers_the_open_question(bot: Bot):
    bot.llm.will_plan(step("s1", ask="What name?"), step("s2", "echo", text="{{ s1.output }}"))
    bot.llm.will_answer("Hello Ada")

    await bot.hears("greet me")
    answer = await bot.hears("Ada")

    assert answer.text == "Hello Ada"
    assert [record.output for record in await bot.steps()] == ["Ada", "Ada"]


async def test_files_come_with_the_answer(bot: Bot):
    bot.llm.will_plan(step("s1", "note", name="a.txt", outputs=("a.txt",)))
    bot.llm.will_answer("Here it is.")

    answer = await bot.hears("write a file")

    assert answer.files == ("a.txt",)


async def test_a_step_that_promised_a_file_and_made_none_has_failed(bot: Bot):
    bot.llm.will_plan(step("s1", "echo", text="x", outputs=("chart.png",), on_failure=OnFailure.STOP))
    bot.llm.will_answer("It failed.")

    answer = await bot.hears("chart")

    assert answer.status == "FAILED"
    assert bot.statuses == {"s1": "FAILED"}


async def test_an_effect_asks_first_and_runs_once_after_the_yes(bot: Bot):
    bot.llm.will_plan(step("s1", "send", to="ada@example.org", text="hi"))
    bot.llm.will_answer("Sent.")

    await bot.hears("write to Ada")
    assert not (bot.workspace / "sent.log").exists()
    (asked,) = await bot.shown(MessageKind.APPROVAL)
    assert asked.payload["details"] == {"to": "ada@example.org", "text": "hi"}
    assert await bot.presses(f"a/{asked.payload['id']}/allow") == "Allowed"
    answer = await bot.answer()

    assert answer.text == "Sent."
    assert (bot.workspace / "sent.log").read_text() == "ada@example.org: hi\n"
    assert await bot.presses(f"a/{asked.payload['id']}/deny") == "Too late: this has been settled already."


async def test_a_denied_effect_never_runs_and_the_answer_says_so(bot: Bot):
    bot.llm.will_plan(step("s1", "send", to="x", text="y"))

    await bot.hears("send")
    (asked,) = await bot.shown(MessageKind.APPROVAL)
    await bot.presses(f"a/{asked.payload['id']}/deny")
    answer = await bot.answer()

    assert not (bot.workspace / "sent.log").exists()
    assert "You denied it." in answer.text


async def test_the_answer_is_made_of_the_results_when_the_model_fails(bot: Bot):
    bot.llm.will_plan(step("s1", "echo", text="forty-two"))

    answer = await bot.hears("what is it")

    assert answer.text == "forty-two"
