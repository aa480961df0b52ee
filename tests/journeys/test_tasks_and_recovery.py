"""Tasks with tools, consent inside a task, replans that keep what is done, and what a crash leaves behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

from agent.domain.messages import MessageKind
from agent.domain.plan import OnFailure
from agent.domain.run import StepChange
from agent.domain.states import Status
from agent.errors import ModelUnavailable
from agent.execution.people import RUN_AGAIN, TREAT_AS_DONE
from agent.testing import Bot, step
from tests.conftest import boom, echo, note, send


async def test_a_task_calls_tools_until_it_has_a_result(bot: Bot):
    bot.llm.will_plan(step("s1", task="Find out", tools=("echo", "note")))
    bot.llm.will_call("echo", text="one")
    bot.llm.will_call("note", name="made.txt")
    bot.llm.will_say("task", "It is one.")
    bot.llm.will_answer("one")

    answer = await bot.hears("find out")

    assert answer.files == ("made.txt",)
    (record,) = await bot.steps()
    assert record.output == "It is one."


async def test_a_task_may_call_only_its_own_tools_and_is_told_so(bot: Bot):
    bot.llm.will_plan(step("s1", task="Find out", tools=("echo",)))
    bot.llm.will_call("send", to="x", text="y")
    bot.llm.will_say("task", "I could not.")
    bot.llm.will_answer("no")

    await bot.hears("find out")

    told = [m.content for r in bot.llm.requests if r.purpose == "task" for m in r.messages if m.role == "tool"]
    assert "no tool 'send'" in told[0]
    assert not (bot.workspace / "sent.log").exists()


async def test_an_effect_inside_a_task_waits_for_consent_and_goes_on_from_there(bot: Bot):
    bot.llm.will_plan(step("s1", task="Write to Ada", tools=("echo", "send")))
    bot.llm.will_call("echo", text="draft")
    bot.llm.will_call("send", to="ada", text="hi")
    bot.llm.will_say("task", "Sent.")
    bot.llm.will_answer("Sent.")

    await bot.hears("write")
    (asked,) = await bot.shown(MessageKind.APPROVAL)
    assert not (bot.workspace / "sent.log").exists()
    await bot.presses(f"a/{asked.payload['id']}/allow")
    answer = await bot.answer()

    assert answer.text == "Sent."
    assert (bot.workspace / "sent.log").read_text() == "ada: hi\n"
    assert sum(request.purpose == "task" for request in bot.llm.requests) == 3


async def test_a_denied_effect_inside_a_task_is_told_to_the_model(bot: Bot):
    bot.llm.will_plan(step("s1", task="Write to Ada", tools=("send",)))
    bot.llm.will_call("send", to="ada", text="hi")
    bot.llm.will_say("task", "I was not allowed to send it.")
    bot.llm.will_answer("Not sent.")

    await bot.hears("write")
    (asked,) = await bot.shown(MessageKind.APPROVAL)
    await bot.presses(f"a/{asked.payload['id']}/deny")
    await bot.answer()

    assert not (bot.workspace / "sent.log").exists()
    assert "refused" in bot.llm.requests[-2].messages[-1].content


async def test_a_replan_keeps_what_is_done_and_never_runs_it_again(bot: Bot):
    bot.llm.will_plan(step("s1", "note", name="once.txt"), step("s2", "boom", after=("s1",)))
    bot.llm.will_plan(step("s3", "echo", text="{{ s1.output }}"))
    bot.llm.will_answer("done")

    await bot.hears("go")

    assert bot.statuses == {"s1": "COMPLETED", "s2": "FAILED", "s3": "COMPLETED"}
    assert [record.attempt for record in await bot.steps()].count(2) == 0
    shown = bot.llm.requests[1].messages[-1].content
    assert "It broke." in shown


async def test_replans_are_bounded_and_the_failure_is_told(tmp_path: Path):
    from agent.config import Limits

    async with Bot(tmp_path, [boom], limits=Limits(replans=2)) as bot:
        for number in range(3):
            bot.llm.will_plan(step(f"s{number}", "boom"))
        bot.llm.will_answer("It keeps failing.")
        answer = await bot.hears("go")
        assert answer.status == "FAILED"
        assert sum(request.purpose == "plan" for request in bot.llm.requests) == 3


async def test_a_question_does_not_use_up_the_replans(tmp_path: Path):
    from agent.config import Limits

    async with Bot(tmp_path, [echo, boom], limits=Limits(replans=1)) as bot:
        bot.llm.will_plan(step("s1", "boom"))
        bot.llm.will_plan(step("q", ask="Which?", options=("a", "b")), step("s2", "echo", text="{{ q.output }}"))
        bot.llm.will_answer("a")
        await bot.hears("go")
        assert (await bot.chooses("a")).text == "a"


async def test_a_model_that_is_down_ends_in_a_clear_message(bot: Bot):
    bot.llm.will_fail("plan", ModelUnavailable("The model server is busy (3 tries).", hint="Try again later."))
    answer = await bot.hears("go")
    assert answer.status == "FAILED"
    (error,) = await bot.shown(MessageKind.ERROR)
    assert error.payload["text"] == "The model server is busy (3 tries)."
    assert error.payload["ref"].startswith("E-")


async def test_stop_ends_a_waiting_run_and_names_what_is_kept(bot: Bot):
    bot.llm.will_plan(step("s1", "note", name="kept.txt"), step("s2", ask="Go on?", options=("yes", "no")))
    await bot.hears("go")
    await bot.receives("stop")
    assert (await bot.answer()).status == "CANCELLED"
    stopped = [m for m in await bot.shown(MessageKind.NOTICE) if "Stopped" in m.payload["text"]]
    assert "kept.txt" in stopped[0].payload["text"]
    assert await bot.question() is None


async def _crashed_while_sending(home: Path) -> None:
    """Leave a journal behind in which a `once` step was running when the process died."""
    async with Bot(home, [send]) as bot:
        bot.llm.will_plan(step("s1", "send", to="ada", text="hi", on_failure=OnFailure.STOP))
        await bot.hears("write")
        (asked,) = await bot.shown(MessageKind.APPROVAL)
        store = bot.app.store
        run = await bot.last_run()
        await store.decide_approval(asked.payload["id"], "allow", "1")
        leased = await store.lease_run(run.id, "dead worker", 0.0)
        assert leased is not None
        await store.change_run(run.id, leased.epoch, status=Status.RUNNING)
        await store.change_step(StepChange(run.id, "s1", Status.RUNNING, leased.epoch))


async def test_a_once_step_that_a_crash_left_in_doubt_is_asked_about(tmp_path: Path):
    await _crashed_while_sending(tmp_path)
    async with Bot(tmp_path, [send]) as bot:
        bot.llm.will_answer("Done.")
        await bot.idle()
        question = await bot.question()
        assert question is not None
        assert question.options == (RUN_AGAIN, TREAT_AS_DONE, "Stop")
        assert not (bot.workspace / "sent.log").exists()
        answer = await bot.chooses(TREAT_AS_DONE)
        assert answer.status == "COMPLETED"
        assert not (bot.workspace / "sent.log").exists()


async def test_a_once_step_is_run_again_when_the_person_says_so(tmp_path: Path):
    await _crashed_while_sending(tmp_path)
    async with Bot(tmp_path, [send]) as bot:
        bot.llm.will_answer("Done.")
        await bot.idle()
        answer = await bot.chooses(RUN_AGAIN)
        assert answer.status == "COMPLETED"
        assert (bot.workspace / "sent.log").read_text() == "ada: hi\n"


async def test_a_repeatable_step_that_a_crash_interrupted_simply_runs_again(tmp_path: Path):
    async with Bot(tmp_path, [echo, note]) as bot:
        bot.llm.will_plan(step("q", ask="Go?", options=("yes", "no")), step("s1", "note", name="a.txt", after=("q",)))
        await bot.hears("go")
        run = await bot.last_run()
        question = await bot.question()
        leased = await bot.app.store.lease_run(run.id, "dead worker", 0.0)
        assert question is not None
        assert leased is not None
        await bot.app.store.answer_question(question.id, "yes", "1")
        await bot.app.store.change_run(run.id, leased.epoch, status=Status.RUNNING)
        for status in (Status.READY, Status.RUNNING):
            await bot.app.store.change_step(StepChange(run.id, "s1", status, leased.epoch))
    async with Bot(tmp_path, [echo, note]) as bot:
        bot.llm.will_answer("done")
        answer = await bot.answer()
        assert answer.status == "COMPLETED"
        assert answer.files == ("a.txt",)


async def test_an_llm_step_is_tried_again_when_the_model_was_only_busy(bot: Bot):
    bot.llm.will_plan(step("s1", llm="Write a poem").model_copy(update={"retries": 1}), step("s2", "echo", text="x"))
    bot.llm.will_fail("step", ModelUnavailable("busy"))
    bot.llm.will_say("step", "Roses are red.")
    bot.llm.will_answer("done")

    await bot.hears("write")

    assert bot.statuses == {"s1": "COMPLETED", "s2": "COMPLETED"}


async def test_a_step_that_takes_too_long_is_a_timeout_that_is_told(bot: Bot):
    waits = asyncio.Event()

    async def never(_request: object) -> None:
        await waits.wait()

    bot.llm.complete = never
    planned = step("s1", task="Think", tools=("echo",)).model_copy(
        update={"timeout": 0.2, "on_failure": OnFailure.STOP}
    )
    bot.llm.will_plan(planned)
    bot.llm.will_answer("It took too long.")

    answer = await bot.hears("think")

    assert answer.status == "FAILED"
    (record,) = await bot.steps()
    assert record.response_status == "timeout"
    assert "0.2 s" in record.error


async def test_an_approval_that_expires_unanswered_is_a_denial_and_the_run_goes_on(tmp_path: Path):
    async with Bot(tmp_path, [send], limits={"approval_seconds": 0.2}) as bot:
        bot.llm.will_plan(step("s1", "send", to="ada", text="hi"))

        await bot.hears("write")
        while (await bot.last_run()).status is Status.WAITING_APPROVAL:
            await asyncio.sleep(0.02)

        answer = await bot.answer()
        assert answer.status == "FAILED"
        assert "Nobody approved it in time." in answer.text
        assert not (bot.workspace / "sent.log").exists()
