"""A yes "for this task" covers the same call until the run ends, and nothing that a planner could make of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest

from agent.domain.messages import MessageKind
from agent.domain.plan import OnFailure
from agent.testing import Bot, step
from plugins.api import File, tool
from tests.conftest import boom, echo, note, send


@tool(effect="once", standing=True, content_args=("text",))
def reply(to: str, text: str, urgent: bool = False) -> str:
    """Reply to somebody."""
    with Path("sent.log").open("a") as log:
        log.write(f"{to} {urgent}: {text}\n")
    return f"sent to {to}"


@tool(effect="once", standing=True, content_args=("text",), cost=0.01)
def paid(to: str, text: str) -> str:
    """Reply for money."""
    return f"sent to {to}: {text}"


@tool(effect="once", standing=True)
def post(file: Annotated[str, File]) -> str:
    """Post a file."""
    return f"posted {file}"


@tool(untrusted=True)
def read_page(name: str) -> str:
    """Read a page."""
    return f"words of {name}"


TOOLS = [reply, read_page, echo, boom, note, send, paid, post]


async def asked(bot: Bot) -> list[Any]:
    found = await bot.app.store.approvals_of((await bot.last_run()).id)
    return [approval for approval in found if approval.decision is None]


async def covered(bot: Bot) -> list[dict[str, Any]]:
    return [entry.facts for entry in await bot.app.store.audit_entries(kind="covered")]


def sent(bot: Bot) -> list[str]:
    log = bot.workspace / "sent.log"
    return log.read_text().splitlines() if log.exists() else []


async def allowed_for_the_task(bot: Bot, *later: Any) -> Any:
    """Have a first reply allowed for the task; `later` are the steps after it."""
    bot.llm.will_plan(step("s1", "reply", to="ada", text="hi"), *later)
    await bot.hears("write to Ada")
    (first, *_) = await asked(bot)
    assert first.choices == ("allow", "task", "deny")
    bot.llm.will_answer("Done.")
    assert await bot.presses(f"a/{first.id}/task") == "Allowed for this task"
    await bot.idle()
    return first


def then(tool_name: str, **args: Any) -> Any:
    return step("s2", tool_name, after=("s1",), **args)


async def test_the_same_call_with_other_words_runs_unasked_and_is_audited(tmp_path: Path):
    async with Bot(tmp_path, TOOLS) as bot:
        first = await allowed_for_the_task(bot, then("reply", to="ada", text="and bye"))
        assert (await bot.answer()).status == "COMPLETED"
        assert sent(bot) == ["ada False: hi", "ada False: and bye"]
        (use,) = await covered(bot)
        assert (use["step"], use["tool"], use["approval"]) == ("s2", "test.reply", first.id)
        assert use["args"] == {"to": "ada", "text": "and bye", "urgent": False}


async def test_a_default_that_is_written_out_is_the_same_call(tmp_path: Path):
    async with Bot(tmp_path, TOOLS) as bot:
        await allowed_for_the_task(bot, then("reply", to="ada", text="bye", urgent=False))
        assert (await bot.answer()).status == "COMPLETED"


@pytest.mark.parametrize("other", [{"to": "eve", "text": "hi"}, {"to": "ada", "text": "hi", "urgent": True}])
async def test_another_recipient_or_argument_asks_again(tmp_path: Path, other: dict[str, Any]):
    async with Bot(tmp_path, TOOLS) as bot:
        await allowed_for_the_task(bot, then("reply", **other))
        (again,) = await asked(bot)
        assert again.args == {"urgent": False, **other}
        assert sent(bot) == ["ada False: hi"]
        assert await covered(bot) == []


async def test_another_tool_asks_again(tmp_path: Path):
    async with Bot(tmp_path, TOOLS) as bot:
        await allowed_for_the_task(bot, then("send", to="ada", text="hi"))
        (again,) = await asked(bot)
        assert again.choices == ("allow", "deny")
        assert sent(bot) == ["ada False: hi"]


async def test_words_from_where_the_person_was_not_shown_ask_again(tmp_path: Path):
    async with Bot(tmp_path, TOOLS) as bot:
        page = step("s0", "read_page", name="evil")
        rides = step("s2", "reply", after=("s1", "s0"), to="ada", text="{{ s0.output }}")
        await allowed_for_the_task(bot, page, rides)
        (again,) = await asked(bot)
        assert "text comes from test.read_page#s0" in again.because
        assert sent(bot) == ["ada False: hi"]


async def test_words_from_where_the_person_was_shown_are_covered(tmp_path: Path):
    async with Bot(tmp_path, TOOLS) as bot:
        bot.llm.will_plan(
            step("s0", "read_page", name="news"),
            step("s1", "reply", to="ada", text="{{ s0.output }}"),
            step("s2", "reply", after=("s1",), to="ada", text="again: {{ s0.output }}"),
        )
        bot.llm.will_answer("Done.")
        await bot.hears("tell Ada the news")
        (first,) = await asked(bot)
        await bot.presses(f"a/{first.id}/task")
        assert (await bot.answer()).status == "COMPLETED"
        assert sent(bot) == ["ada False: words of news", "ada False: again: words of news"]


async def test_a_plan_made_after_reading_something_new_asks_again(tmp_path: Path):
    async with Bot(tmp_path, TOOLS) as bot:
        bot.llm.will_plan(
            step("s1", "reply", to="ada", text="hi"),
            step("s2", "read_page", after=("s1",), name="evil"),
            step("s3", "boom", after=("s2",)),
        )
        bot.llm.will_plan(step("s4", "reply", to="ada", text="hi"))
        await bot.hears("write")
        (first,) = await asked(bot)
        await bot.presses(f"a/{first.id}/task")
        await bot.idle()
        (again,) = await asked(bot)
        assert "chosen after reading" in again.because
        assert sent(bot) == ["ada False: hi"]


async def test_the_next_request_asks_again(tmp_path: Path):
    async with Bot(tmp_path, TOOLS) as bot:
        await allowed_for_the_task(bot)
        bot.llm.will_plan(step("s1", "reply", to="ada", text="hi"))
        await bot.hears("write to Ada again")
        assert len(await asked(bot)) == 1
        assert sent(bot) == ["ada False: hi"]


async def test_within_a_step_of_several_calls_only_the_same_is_covered(tmp_path: Path):
    async with Bot(tmp_path, TOOLS) as bot:
        bot.llm.will_plan(step("s1", task="Write to Ada", tools=("reply",)))
        bot.llm.will_call("reply", to="ada", text="one")
        await bot.hears("write")
        (first,) = await asked(bot)
        bot.llm.will_call("reply", to="ada", text="two")
        bot.llm.will_call("reply", to="eve", text="three")
        await bot.presses(f"a/{first.id}/task")
        await bot.idle()
        (again,) = await asked(bot)
        assert again.args["to"] == "eve"
        assert sent(bot) == ["ada False: one", "ada False: two"]
        assert len(await bot.app.store.audit_entries(kind="effect ended")) == 2


async def test_it_holds_after_a_restart(tmp_path: Path):
    async with Bot(tmp_path, TOOLS) as bot:
        bot.llm.will_plan(step("s1", "reply", to="ada", text="hi"), then("reply", to="ada", text="bye"))
        await bot.hears("write")
        (first,) = await asked(bot)
        await bot.app.store.decide_approval(first.id, "task", "1")
    async with Bot(tmp_path, TOOLS) as bot:
        bot.llm.will_answer("Done.")
        await bot.idle()
        assert (await bot.answer()).status == "COMPLETED"
        assert sent(bot) == ["ada False: hi", "ada False: bye"]
        assert [use["approval"] for use in await covered(bot)] == [first.id]


async def test_a_press_that_comes_late_or_is_nobody_s_to_make_gives_nothing(tmp_path: Path):
    async with Bot(tmp_path, TOOLS) as bot:
        bot.llm.will_plan(step("s1", "reply", to="ada", text="hi"), then("reply", to="ada", text="bye"))
        await bot.hears("write")
        (first,) = await asked(bot)
        assert await bot.presses(f"a/{first.id}/task", trusted=False) == "Only an owner may decide this."
        assert await bot.presses(f"a/{first.id}/allow") == "Allowed"
        await bot.idle()
        assert await bot.presses(f"a/{first.id}/task") == "Too late: this has been settled already."
        assert len(await asked(bot)) == 1
        assert sent(bot) == ["ada False: hi"]


@pytest.mark.parametrize(("name", "args"), [("send", {"to": "a", "text": "b"}), ("paid", {"to": "a", "text": "b"})])
async def test_what_costs_or_does_not_admit_it_is_not_offered_for_a_task(tmp_path: Path, name: str, args: Any):
    async with Bot(tmp_path, TOOLS) as bot:
        bot.llm.will_plan(step("s1", name, **args))
        await bot.hears("do it")
        (first,) = await asked(bot)
        assert first.choices == ("allow", "deny")
        assert await bot.presses(f"a/{first.id}/task") == "This choice is no longer known."
        assert len(await asked(bot)) == 1


async def test_a_file_of_the_same_name_asks_again(tmp_path: Path):
    async with Bot(tmp_path, TOOLS) as bot:
        made = step("s0", "note", name="a.txt")
        bot.llm.will_plan(made, step("s1", "post", after=("s0",), file="a.txt"), then("post", file="a.txt"))
        await bot.hears("post it")
        (first,) = await asked(bot)
        await bot.presses(f"a/{first.id}/task")
        await bot.idle()
        assert len(await asked(bot)) == 1


async def test_what_was_allowed_is_said_in_the_message(tmp_path: Path):
    async with Bot(tmp_path, TOOLS) as bot:
        await allowed_for_the_task(bot)
        (shown,) = await bot.shown(MessageKind.APPROVAL)
        assert shown.payload["decided"] == "task"
        assert shown.payload["details"] == {"to": "ada", "text": "hi", "urgent": False}


async def test_two_denials_stop_the_plan(tmp_path: Path):
    async with Bot(tmp_path, TOOLS) as bot:
        bot.llm.will_plan(
            step("s1", "send", to="ada", text="1", on_failure=OnFailure.CONTINUE),
            step("s2", "send", to="bob", text="2", on_failure=OnFailure.CONTINUE),
            step("s3", "send", to="eve", text="3", on_failure=OnFailure.CONTINUE),
        )
        bot.llm.will_answer("Stopped.")
        await bot.hears("write to all")
        for _ in range(2):
            (first, *_rest) = await asked(bot)
            await bot.presses(f"a/{first.id}/deny")
            await bot.idle()
        answer = await bot.answer()
        assert answer.status == "FAILED"
        assert "Two calls of this plan were denied" in (await bot.last_run()).error
        assert sent(bot) == []
        assert await bot.presses(f"a/{(await asked(bot))[0].id}/allow") == "Too late: this has been settled already."


async def test_effects_are_in_the_audit_log_from_their_beginning_to_their_end(tmp_path: Path):
    async with Bot(tmp_path, TOOLS) as bot:
        await allowed_for_the_task(bot)
        kinds = [entry.kind for entry in await bot.app.store.audit_entries()]
        assert kinds[-6:] == ["plan", "asked", "approval", "effect begun", "effect ended", "run ended"]
