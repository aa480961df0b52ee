"""Nothing with an effect runs without exactly one approval of exactly these arguments, whatever happens in between."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agent.domain.messages import MessageKind
from agent.domain.plan import OnFailure
from agent.domain.run import StepChange
from agent.domain.states import Status
from agent.execution.people import RUN_AGAIN, STOP
from agent.testing import Bot, step
from plugins.api import ToolFailure, tool
from tests.conftest import boom, echo, note, send


@tool(effect="idempotent")
def order(item: str) -> str:
    """Order an item; the shop breaks each time."""
    with Path("orders.log").open("a") as log:
        log.write(f"{item}\n")
    raise ToolFailure("The shop is down.")


async def _crash_while_running(bot: Bot, step_id: str) -> None:
    """Have the step stand as running in the name of a worker that died."""
    store, run = bot.app.store, await bot.last_run()
    leased = await store.lease_run(run.id, "dead worker", 0.0)
    assert leased is not None
    await store.change_run(run.id, leased.epoch, status=Status.RUNNING)
    await store.change_step(StepChange(run.id, step_id, Status.RUNNING, leased.epoch))


async def _open_approvals(bot: Bot) -> list[Any]:
    asked = await bot.app.store.approvals_of((await bot.last_run()).id)
    return [approval for approval in asked if approval.decision is None]


async def test_an_approved_effect_that_fails_is_not_tried_again_on_the_same_approval(tmp_path: Path):
    async with Bot(tmp_path, [order]) as bot:
        wanted = step("s1", "order", item="tea", on_failure=OnFailure.STOP)
        bot.llm.will_plan(wanted.model_copy(update={"retries": 3}))
        bot.llm.will_answer("It failed.")
        await bot.hears("order tea")
        (approval,) = await _open_approvals(bot)
        await bot.presses(f"a/{approval.id}/allow")
        await bot.answer()
        assert (bot.workspace / "orders.log").read_text() == "tea\n"


async def test_a_repeatable_effect_that_a_crash_interrupted_asks_anew(tmp_path: Path):
    async with Bot(tmp_path, [order]) as bot:
        bot.llm.will_plan(step("s1", "order", item="tea", on_failure=OnFailure.STOP))
        await bot.hears("order tea")
        (approval,) = await _open_approvals(bot)
        await bot.app.store.decide_approval(approval.id, "allow", "1")
        await _crash_while_running(bot, "s1")
    async with Bot(tmp_path, [order]) as bot:
        await bot.idle()
        assert len(await _open_approvals(bot)) == 1
        assert not (bot.workspace / "orders.log").exists()


async def test_running_again_after_a_crash_covers_only_what_was_approved(tmp_path: Path):
    async with Bot(tmp_path, [send]) as bot:
        bot.llm.will_plan(step("s1", "send", to="ada", text="7", on_failure=OnFailure.STOP))
        await bot.hears("write")
        (approval,) = await _open_approvals(bot)
        await bot.app.store.decide_approval(approval.id, "allow", "1")
        await _crash_while_running(bot, "s1")

    @tool(name="send", effect="once")
    def send_number(to: str, text: float) -> str:
        """Send a number: the tool reads its arguments otherwise than before the process went down."""
        with Path("sent.log").open("a") as log:
            log.write(f"{to} {text}\n")
        return "sent"

    send_number.__name__ = "send"
    async with Bot(tmp_path, [send_number]) as bot:
        await bot.idle()
        await bot.chooses(RUN_AGAIN)
        assert not (bot.workspace / "sent.log").exists()
        (asked,) = await _open_approvals(bot)
        assert asked.args == {"to": "ada", "text": 7.0}
        bot.llm.will_answer("Sent.")
        await bot.presses(f"a/{asked.id}/allow")
        assert (await bot.answer()).status == "COMPLETED"
        assert (bot.workspace / "sent.log").read_text() == "ada 7.0\n"


async def test_a_task_in_doubt_is_run_again_from_the_call_that_was_approved(tmp_path: Path):
    async with Bot(tmp_path, [send]) as bot:
        bot.llm.will_plan(step("s1", task="Write to Ada", tools=("send",)))
        bot.llm.will_call("send", to="ada", text="hi")
        await bot.hears("write")
        (approval,) = await _open_approvals(bot)
        await bot.app.store.decide_approval(approval.id, "allow", "1")
        await _crash_while_running(bot, "s1")
    async with Bot(tmp_path, [send]) as bot:
        bot.llm.will_say("task", "Sent.")
        bot.llm.will_answer("Sent.")
        await bot.idle()
        answer = await bot.chooses(RUN_AGAIN)
        assert answer.status == "COMPLETED"
        assert (bot.workspace / "sent.log").read_text() == "ada: hi\n"


async def test_a_task_that_is_approved_while_other_steps_run_goes_on_where_it_was(tmp_path: Path):
    going, sent = asyncio.Event(), asyncio.Event()

    @tool(name="send", effect="once")
    async def send_and_tell(to: str, text: str) -> str:
        """Send a message."""
        with Path("sent.log").open("a") as log:
            log.write(f"{to}: {text}\n")
        sent.set()
        return "sent"

    @tool
    async def slow() -> str:
        """Wait."""
        await going.wait()
        return "done"

    send_and_tell.__name__ = "send"
    async with asyncio.timeout(60), Bot(tmp_path, [send_and_tell, slow]) as bot:
        bot.llm.will_plan(step("s1", task="Write to Ada", tools=("send",)), step("s2", "slow"))
        bot.llm.will_call("send", to="ada", text="hi")
        bot.llm.will_say("task", "Sent.")
        bot.llm.will_answer("Sent.")
        await bot.receives("write")
        while not await bot.shown(MessageKind.APPROVAL):
            await bot.app.store.outbox_changed.wait()
            bot.app.store.outbox_changed.clear()
        (approval,) = await _open_approvals(bot)
        await bot.presses(f"a/{approval.id}/allow")
        await sent.wait()
        going.set()
        answer = await bot.answer()
        assert answer.status == "COMPLETED"
        assert (bot.workspace / "sent.log").read_text() == "ada: hi\n"
        assert await _open_approvals(bot) == []


async def test_only_an_owner_decides_about_a_step_in_doubt(tmp_path: Path):
    async with Bot(tmp_path, [send]) as bot:
        bot.llm.will_plan(step("s1", "send", to="ada", text="hi", on_failure=OnFailure.STOP))
        await bot.hears("write", trusted=False)
        (approval,) = await _open_approvals(bot)
        assert await bot.presses(f"a/{approval.id}/allow", trusted=False) == "Only an owner may decide this."
        await bot.app.store.decide_approval(approval.id, "allow", "1")
        await _crash_while_running(bot, "s1")
    async with Bot(tmp_path, [send]) as bot:
        await bot.idle()
        question = await bot.question()
        assert question is not None
        assert await bot.presses(f"q/{question.id}/0", trusted=False) == "Only an owner may decide this."
        await bot.receives("1", trusted=False)
        await bot.idle()
        again = await bot.app.store.get_question(question.id)
        assert again is not None
        assert again.answer is None
        assert not (bot.workspace / "sent.log").exists()
        assert question.options.index(STOP) == 2


async def test_an_approval_comes_too_late_when_its_run_is_over(tmp_path: Path):
    async with Bot(tmp_path, [send]) as bot:
        bot.llm.will_plan(step("s1", "send", to="ada", text="hi"))
        await bot.hears("write")
        (approval,) = await _open_approvals(bot)
        await bot.receives("stop")
        assert await bot.presses(f"a/{approval.id}/allow") == "Too late: this has been settled already."
        kept = await bot.app.store.get_approval(approval.id)
        assert kept is not None
        assert kept.decision is None


async def test_a_press_on_an_expired_request_ends_the_waiting_as_a_denial(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("agent.sharing.EXPIRY_GRACE", 60.0)  # the press comes before the run wakes by itself
    async with Bot(tmp_path, [send], limits={"approval_seconds": 0.001}) as bot:
        bot.llm.will_plan(step("s1", "send", to="ada", text="hi"))
        await bot.hears("write")
        (approval,) = await _open_approvals(bot)
        bot.llm.will_answer("Nobody approved it.")
        assert await bot.presses(f"a/{approval.id}/allow") == "Too late: this has been settled already."
        answer = await bot.answer()
        assert answer.status == "FAILED"
        assert bot.statuses == {"s1": "FAILED"}
        assert not (bot.workspace / "sent.log").exists()


async def test_a_new_plan_with_the_same_effect_asks_again(tmp_path: Path):
    async with Bot(tmp_path, [boom, note, echo, send]) as bot:
        bot.llm.will_plan(step("s1", "send", to="ada", text="hi"), step("s2", "boom", after=("s1",)))
        await bot.hears("write")
        (first,) = await _open_approvals(bot)
        bot.llm.will_plan(step("s3", "send", to="ada", text="hi"))
        await bot.presses(f"a/{first.id}/allow")
        await bot.idle()
        (second,) = await _open_approvals(bot)
        assert second.digest == first.digest
        assert (bot.workspace / "sent.log").read_text() == "ada: hi\n"


class Killed(BaseException):
    """Stands for the end of the process."""


async def test_an_answer_whose_hearing_the_end_interrupted_does_not_become_a_request(tmp_path: Path, monkeypatch):
    def killed(*_: object) -> None:
        raise Killed

    async with Bot(tmp_path, [echo]) as bot:
        bot.llm.will_plan(step("s1", ask="What name?"), step("s2", "echo", text="{{ s1.output }}"))
        await bot.hears("greet me")
        monkeypatch.setattr(bot.app.orchestrator, "_go_on", killed)
        with pytest.raises(Killed):
            await bot.receives("Ada")
        assert await bot.app.store.unheard("test") == []
    async with Bot(tmp_path, [echo]) as bot:
        bot.llm.will_answer("Hello Ada")
        assert (await bot.answer()).text == "Hello Ada"
        assert len(await bot.app.store.recent_runs(bot.dest.session_id)) == 1


async def test_a_word_that_is_no_choice_does_not_stop_a_step_in_doubt(tmp_path: Path):
    async with Bot(tmp_path, [send, echo]) as bot:
        bot.llm.will_plan(step("s1", "send", to="ada", text="hi", on_failure=OnFailure.STOP))
        await bot.hears("write")
        (approval,) = await _open_approvals(bot)
        await bot.app.store.decide_approval(approval.id, "allow", "1")
        await _crash_while_running(bot, "s1")
    async with Bot(tmp_path, [send, echo]) as bot:
        await bot.idle()
        bot.llm.will_answer("Sent.")
        assert (await bot.hears("run AGAIN")).status == "COMPLETED"
        assert (bot.workspace / "sent.log").read_text() == "ada: hi\n"
