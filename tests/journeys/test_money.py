"""Stories about money: what is refused, what pauses for the person's word, and what goes on from where it stood."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config import Limits
from agent.domain.messages import MessageKind
from agent.domain.plan import OnFailure
from agent.domain.run import Run
from agent.testing import Bot, ScriptedLLM, step
from plugins.api import Output, ToolFailure, tool

MADE: list[str] = []
DEAR = (0.0, 100_000.0)  # a tenth of a dollar a token of the answer


@pytest.fixture(autouse=True)
def _nothing_made():
    MADE.clear()


@tool(cost=0.4)
def shoot(scene: str) -> str:
    """Shoot a scene."""
    MADE.append(scene)
    return f"{scene} is shot"


@tool(cost=0.4, host=True, effect="pure")
async def render(scene: str) -> Output:
    """Render a scene, for less than it may cost."""
    MADE.append(scene)
    return Output(scene, cost=0.1)


@tool(cost=0.4)
def broken() -> str:
    """Break before anything was paid for."""
    raise ToolFailure("No film in the camera.")


TOOLS = [shoot, render, broken]


def bot_of(home: Path, *, llm: ScriptedLLM | None = None, **limits: float) -> Bot:
    return Bot(home, TOOLS, llm=llm, limits=Limits(**limits))


async def spent(bot: Bot, account: str = "") -> float:
    stands = await bot.app.store.balance(account or f"run:{(await bot.last_run()).id}")
    assert stands.reserved_money == 0
    return stands.money


async def test_a_tool_is_charged_what_it_says_that_it_costs(tmp_path):
    async with bot_of(tmp_path) as bot:
        bot.llm.will_plan(step("a", "shoot", scene="one"))
        bot.llm.will_answer("done")
        await bot.hears("go")
        [record] = await bot.steps()

        assert await spent(bot) == 0.4
        assert record.actual_cost == record.estimated_cost == 0.4


async def test_a_tool_is_charged_what_it_did_cost(tmp_path):
    async with bot_of(tmp_path) as bot:
        bot.llm.will_plan(step("a", "render", scene="one"))
        bot.llm.will_answer("done")
        await bot.hears("go")
        [record] = await bot.steps()

        assert await spent(bot) == 0.1
        assert (record.estimated_cost, record.actual_cost) == (0.4, 0.1)


async def test_a_failed_call_costs_nothing(tmp_path):
    async with bot_of(tmp_path) as bot:
        bot.llm.will_plan(step("a", "broken", on_failure=OnFailure.CONTINUE))
        bot.llm.will_answer("it failed")
        await bot.hears("go")

        assert await spent(bot) == 0.0
        assert await spent(bot, "session:test:1") == 0.0


async def paused(bot: Bot) -> Run:
    """Plan three scenes of which one fits, and return the run that asks for money."""
    bot.llm.will_plan(*(step(f"s{n}", "shoot", scene=f"scene {n}") for n in (1, 2, 3)))
    await bot.hears("shoot it")
    run = await bot.last_run()
    assert run.status == "WAITING_APPROVAL"
    assert len(MADE) == 1
    return run


async def test_a_run_that_has_used_up_its_own_budget_asks_once_and_goes_on_from_there(tmp_path):
    async with bot_of(tmp_path, money=0.5) as bot:
        run = await paused(bot)
        assert [q.kind for q in await bot.app.store.questions_of(run.id)] == ["budget"]
        question = await bot.question()
        assert "$0.50" in question.text
        assert "$0.40" in question.text
        assert question.options == ("+$1", "Stop")

        bot.llm.will_answer("all shot")
        answer = await bot.chooses("+$1")

        assert (answer.text, answer.status) == ("all shot", "COMPLETED")
        assert sorted(MADE) == ["scene 1", "scene 2", "scene 3"]
        assert (await bot.last_run()).budget == 1.5
        assert await spent(bot) == pytest.approx(1.2)


async def test_a_run_that_asks_for_money_still_asks_after_a_restart(tmp_path):
    async with bot_of(tmp_path, money=0.5) as bot:
        run = await paused(bot)
    async with bot_of(tmp_path, money=0.5) as bot:
        await bot.app.engine.idle()
        assert (await bot.last_run()).status == "WAITING_APPROVAL"
        assert len(await bot.app.store.questions_of(run.id)) == 1
        bot.llm.will_answer("all shot")
        answer = await bot.chooses("+$1")

        assert answer.status == "COMPLETED"
        assert sorted(MADE) == ["scene 1", "scene 2", "scene 3"]


async def test_stopping_ends_the_run_with_what_there_is(tmp_path):
    async with bot_of(tmp_path, money=0.5) as bot:
        await paused(bot)
        answer = await bot.chooses("Stop")

        assert answer.status == "FAILED"
        assert f"{MADE[0]} is shot" in answer.text
        assert "its budget was used up" in answer.text
        assert len(MADE) == 1
        assert sorted(bot.statuses.values()) == ["CANCELLED", "CANCELLED", "COMPLETED"]
        assert await bot.question() is None


async def test_only_an_owner_lets_a_run_spend_more(tmp_path):
    async with bot_of(tmp_path, money=0.5) as bot:
        await paused(bot)
        question = await bot.question()

        assert "owner" in await bot.presses(f"q/{question.id}/0", trusted=False)
        assert (await bot.question()).answer is None


async def test_other_words_do_not_answer_a_question_about_money(tmp_path):
    async with bot_of(tmp_path, money=0.5) as bot:
        await paused(bot)
        bot.llm.will_say("plan", "> It is sunny.")
        await bot.hears("how is the weather?")

        assert (await bot.question()).kind == "budget"


async def test_a_run_asks_again_when_that_is_used_up_too(tmp_path):
    async with bot_of(tmp_path, money=0.5) as bot:
        bot.llm.will_plan(*(step(f"s{n}", "shoot", scene=f"scene {n}") for n in range(1, 6)))
        await bot.hears("shoot it")
        await bot.chooses("+$1")
        assert len(MADE) == 3
        bot.llm.will_answer("all shot")
        answer = await bot.chooses("+$1")

        assert answer.status == "COMPLETED"
        assert len(MADE) == 5


async def test_a_planner_without_money_pauses_the_run_before_anything(tmp_path):
    async with bot_of(tmp_path, llm=ScriptedLLM(prices=DEAR), money=5.0, answer_tokens=100) as bot:
        await bot.hears("hello")
        assert (await bot.last_run()).status == "WAITING_APPROVAL"
        assert bot.llm.requests == []
        await bot.chooses("+$1")
        assert bot.llm.requests == []
        answer = await bot.chooses("Stop")

        assert answer.status == "FAILED"
        assert "budget" in answer.text


async def test_the_answer_may_be_paid_for_too(tmp_path):
    llm = ScriptedLLM(prices=(0.0, 10_000.0))  # a cent a token
    async with bot_of(tmp_path, llm=llm, money=1.2, answer_tokens=100) as bot:
        bot.llm.will_plan(step("a", "shoot", scene="one"))
        await bot.hears("go")
        assert bot.statuses == {"a": "COMPLETED"}
        bot.llm.will_answer("It is done.")
        answer = await bot.chooses("+$1")

        assert (answer.text, answer.status) == ("It is done.", "COMPLETED")
        assert MADE == ["one"]


async def test_a_task_goes_on_in_the_middle_of_its_conversation(tmp_path):
    async with bot_of(tmp_path, money=0.5) as bot:
        bot.llm.will_plan(step("t", task="shoot two scenes", tools=("shoot",)))
        bot.llm.will_call("shoot", scene="one")
        bot.llm.will_call("shoot", scene="two")
        await bot.hears("go")
        assert MADE == ["one"]
        bot.llm.will_say("task", "both are shot")
        bot.llm.will_answer("both are shot")
        answer = await bot.chooses("+$1")

        assert (answer.text, answer.status) == ("both are shot", "COMPLETED")
        assert MADE == ["one", "two"]
        assert sum(request.purpose == "task" for request in bot.llm.requests) == 3


async def test_the_budget_of_the_day_ends_a_run_with_what_to_change(tmp_path):
    async with bot_of(tmp_path, money_per_day=0.5) as bot:
        bot.llm.will_plan(*(step(f"s{n}", "shoot", scene=f"scene {n}", on_failure=OnFailure.CONTINUE) for n in (1, 2)))
        bot.llm.will_answer("one of two")
        await bot.hears("go")
        failed = [record for record in await bot.steps() if record.status == "FAILED"]

        assert len(MADE) == 1
        assert "today is $0.50: $0.40 is used" in failed[0].error
        assert "limits.money_per_day" in failed[0].error
        assert await bot.question() is None


async def test_little_money_left_is_said_once_in_the_chat(tmp_path):
    async with bot_of(tmp_path, money_per_day=1.25) as bot:
        for n in (1, 2, 3):
            bot.llm.will_plan(step("a", "shoot", scene=f"scene {n}"))
            bot.llm.will_answer("done")
            await bot.hears("go")
        said = [m.payload["text"] for m in await bot.shown(MessageKind.NOTICE)]

        assert [text for text in said if "today" in text] == [
            "⚠️ $1.20 of the $1.25 for today is spent. Raise `limits.money_per_day` in dirigent.toml if this is wanted."
        ]


async def test_a_pipeline_that_would_cost_too_much_is_refused_before_its_first_step(tmp_path):
    folder = tmp_path / "pipelines"
    folder.mkdir(parents=True)
    steps = "\n".join(f"  - id: s{n}\n    use: shoot\n    args: {{scene: 'scene {n}'}}" for n in (1, 2, 3))
    (folder / "film.yaml").write_text(f"name: film\nsteps:\n{steps}\n")
    async with bot_of(tmp_path, money=1.0) as bot:
        answer = await bot.hears("/run film")

        assert answer.status == "FAILED"
        assert "about $1.20" in answer.text
        assert "$1.00 is left" in answer.text
        assert "limits.money" in answer.text
        assert MADE == []


async def test_what_memory_asks_the_model_is_charged_to_the_run(tmp_path):
    llm = ScriptedLLM(prices=(0.0, 1_000.0))
    async with bot_of(tmp_path, llm=llm, money=100.0) as bot:
        bot.llm.will_say("plan", "> Noted.")
        bot.llm.will_say("memory", "[PREF] short answers, please, always and everywhere")
        await bot.hears("remember that I prefer short answers")
        for task in list(bot.app.orchestrator._background):
            await task
        before = sum((request.purpose == "memory") for request in bot.llm.requests)
        store = bot.app.store

        assert before == 1
        assert (await store.spent(run_id=(await bot.last_run()).id))["calls"] == 2
        assert await spent(bot) == pytest.approx((await store.spent())["money"])


async def test_a_task_that_repeats_itself_is_told_and_then_ended(tmp_path):
    async with bot_of(tmp_path, money=0) as bot:
        bot.llm.will_plan(step("t", task="shoot", tools=("shoot",), on_failure=OnFailure.CONTINUE))
        for _ in range(4):
            bot.llm.will_call("shoot", scene="one")
        bot.llm.will_answer("it went round in circles")
        await bot.hears("go")
        [record] = await bot.steps()

        assert MADE == ["one", "one"]
        assert record.status == "FAILED"
        assert "kept calling shoot with the same arguments" in record.error
        last = [m.content for m in bot.llm.requests[-2].messages if m.role == "tool"]
        assert last[-1].startswith("Not called")


async def test_a_task_that_repeats_itself_in_turns_is_ended_too(tmp_path):
    async with bot_of(tmp_path, money=0) as bot:
        bot.llm.will_plan(step("t", task="shoot", tools=("shoot",), on_failure=OnFailure.CONTINUE))
        for _ in range(4):
            bot.llm.will_call("shoot", scene="one")
            bot.llm.will_call("shoot", scene="two")
        bot.llm.will_answer("it went round in circles")
        await bot.hears("go")
        [record] = await bot.steps()

        assert MADE == ["one", "two", "one", "two"]
        assert "kept calling shoot with the same arguments" in record.error


async def test_the_same_failure_is_planned_around_twice_and_then_told(tmp_path):
    async with bot_of(tmp_path, money=0) as bot:
        for number in range(4):
            bot.llm.will_plan(step(f"s{number}", "broken"))
        await bot.hears("go")
        records = await bot.steps()

        assert [record.status for record in records] == ["FAILED"] * 3
        assert "was tried 3 times and came to the same" in (await bot.last_run()).answer


async def test_a_step_that_may_never_run_refuses_no_plan(tmp_path):
    folder = tmp_path / "pipelines"
    folder.mkdir()
    folder.joinpath("p.yaml").write_text(
        "name: p\ninputs: {go: boolean}\nsteps:\n"
        "  - {id: a, use: shoot, when: inputs.go, args: {scene: one}}\n"
        "  - {id: b, use: value, args: {value: done}}\n"
    )
    async with bot_of(tmp_path, money=0.3) as bot:
        await bot.hears("/run p go=no", trusted=True)
        assert (await bot.last_run()).status == "COMPLETED"
        await bot.hears("/run p go=yes", trusted=True)
        question = await bot.question()

        assert question is not None
        assert "may take $0.40" in question.text
        assert MADE == []
