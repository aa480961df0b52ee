"""Calls that are ready at the same time are put to the person in one message; each keeps a decision of its own."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from agent.domain.messages import MessageKind
from agent.domain.plan import OnFailure
from agent.domain.run import Question
from agent.domain.states import Status
from agent.execution import gathering, people, scene
from agent.testing import Bot, step
from plugins.api import File, tool
from tests.conftest import echo, note, send

ALWAYS: dict[str, Any] = {"policy": {"mode": "always"}}


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine rows take their time; what is ready is awaited all the same."""
    monkeypatch.setattr(gathering, "TOGETHER_SECONDS", 60.0)


@tool(effect="once")
def book(
    hotel: str, nights: int, board: Literal["none", "half", "full"] = "none", guests: list[str] | None = None
) -> str:
    """Book a room."""
    with Path("sent.log").open("a") as log:
        log.write(f"{hotel} {nights} {board} {guests}\n")
    return f"booked {hotel}"


TOOLS = [send, echo, note, book]


def made(tmp_path: Path, tools: list[Any] = TOOLS) -> Bot:
    return Bot(tmp_path, tools, **ALWAYS)


async def asked(bot: Bot) -> list[Any]:
    """Return the open approvals, as they are shown."""
    found = await bot.app.store.approvals_of((await bot.last_run()).id)
    return [approval for approval in found if approval.decision is None]


def sent(bot: Bot) -> list[str]:
    log = bot.workspace / "sent.log"
    return sorted(log.read_text().splitlines()) if log.exists() else []


async def the_message(bot: Bot) -> dict[str, Any]:
    (message,) = await bot.shown(MessageKind.APPROVAL)
    return message.payload


async def button(bot: Bot, label: str) -> str:
    rows = (await the_message(bot))["buttons"]
    (found,) = [each["action"] for row in rows for each in row if label in each["label"]]
    return str(found)


async def three_wait(bot: Bot) -> list[Any]:
    names = ("ada", "bob", "eve")
    steps = [step(f"s{n}", "send", to=to, text="hi", on_failure=OnFailure.CONTINUE) for n, to in enumerate(names)]
    bot.llm.will_plan(*steps)
    await bot.hears("write to all")
    return await asked(bot)


async def test_calls_that_are_ready_together_are_one_message(tmp_path: Path):
    async with made(tmp_path) as bot:
        calls = await three_wait(bot)
        payload = await the_message(bot)
        assert [call["details"] for call in payload["calls"]] == [
            {"to": to, "text": "hi"} for to in ("ada", "bob", "eve")
        ]
        assert {call["id"] for call in payload["calls"]} == {call.id for call in calls}
        assert len({call.digest for call in calls}) == 3


async def test_one_call_alone_looks_as_it_is(tmp_path: Path):
    async with made(tmp_path) as bot:
        bot.llm.will_plan(step("s1", "send", to="ada", text="hi"))
        await bot.hears("write to Ada")
        payload = await the_message(bot)
        assert "calls" not in payload
        assert payload["details"] == {"to": "ada", "text": "hi"}


async def test_all_are_allowed_with_one_press(tmp_path: Path):
    async with made(tmp_path) as bot:
        await three_wait(bot)
        bot.llm.will_answer("Done.")
        assert await bot.presses(await button(bot, "Allow all")) == "3 calls allowed."
        assert (await bot.answer()).status == "COMPLETED"
        assert sent(bot) == ["ada: hi", "bob: hi", "eve: hi"]
        assert (await the_message(bot))["buttons"] == []


async def test_all_are_denied_with_one_press(tmp_path: Path):
    async with made(tmp_path) as bot:
        await three_wait(bot)
        bot.llm.will_answer("Nothing was sent.")
        assert await bot.presses(await button(bot, "Deny all")) == "3 calls denied."
        await bot.answer()
        assert sent(bot) == []


async def test_what_is_allowed_beside_denials_is_carried_out(tmp_path: Path):
    async with made(tmp_path) as bot:
        ada, bob, eve = await three_wait(bot)
        bot.llm.will_answer("One was sent.")
        await bot.presses(f"a/{ada.id}/allow")
        await bot.presses(f"a/{bob.id}/deny")
        await bot.presses(f"a/{eve.id}/deny")
        await bot.answer()
        assert sent(bot) == ["ada: hi"]


async def test_one_by_one_shows_the_next_call_after_each_decision(tmp_path: Path):
    async with made(tmp_path) as bot:
        await three_wait(bot)
        await bot.presses(await button(bot, "One by one"))
        seen = []
        bot.llm.will_answer("Done.")
        for choice in ("Allow", "Deny", "Allow"):
            payload = await the_message(bot)
            seen.append(payload["calls"][payload["now"] - 1]["details"]["to"])
            await bot.presses(await button(bot, choice))
            await bot.idle()
        assert seen == ["ada", "bob", "eve"]
        await bot.answer()
        assert sent(bot) == ["ada: hi", "eve: hi"]


async def test_a_button_about_all_decides_only_what_was_shown_with_it(tmp_path: Path):
    async with made(tmp_path) as bot:
        ada, *_ = await three_wait(bot)
        shown = await button(bot, "Allow all")
        await bot.presses(f"a/{ada.id}/deny")
        assert (await bot.presses(shown)).startswith("Too late: this has changed")
        assert len(await asked(bot)) == 2
        assert sent(bot) == []


@pytest.mark.parametrize("forged", ["b/{id}/00000000/allow", "b/nobody/{set}/allow", "b/{id}/{set}/everything"])
async def test_a_forged_button_changes_nothing(tmp_path: Path, forged: str):
    async with made(tmp_path) as bot:
        await three_wait(bot)
        payload = await the_message(bot)
        await bot.presses(forged.format(id=payload["id"], set=payload["set"]))
        assert len(await asked(bot)) == 3


async def test_a_member_and_another_chat_decide_nothing(tmp_path: Path):
    async with made(tmp_path) as bot:
        await three_wait(bot)
        press = await button(bot, "Allow all")
        assert await bot.presses(press, trusted=False) == "Only an owner may decide this."
        bot.dest = type(bot.dest)("test", "2")
        assert (await bot.presses(press)).startswith("Too late")
        bot.dest = type(bot.dest)("test", "1")
        assert len(await asked(bot)) == 3


async def test_a_press_that_is_repeated_does_nothing_twice(tmp_path: Path):
    async with made(tmp_path) as bot:
        await three_wait(bot)
        press = await button(bot, "Allow all")
        bot.llm.will_answer("Done.")
        said = await asyncio.gather(*(bot.presses(press) for _ in range(3)))
        await bot.answer()
        assert sent(bot) == ["ada: hi", "bob: hi", "eve: hi"]
        assert sorted(each.startswith("Too late") for each in said) == [False, True, True]


async def test_each_call_expires_by_itself(tmp_path: Path):
    async with made(tmp_path) as bot:
        ada, bob, _eve = await three_wait(bot)
        store = bot.app.store
        await store._do(_expire, ada.id)  # nobody else can make time pass for one of them
        bot.llm.will_answer("Done.")
        assert await bot.presses(await button(bot, "Allow all")) == "2 calls allowed."
        await bot.answer()
        assert sent(bot) == ["bob: hi", "eve: hi"]
        assert (await store.get_approval(ada.id)).decision is None
        assert (await store.get_approval(bob.id)).decision == "allow"
        shown = await the_message(bot)
        assert [call["decided"] for call in shown["calls"]] == ["(expired)", "allow", "allow"]
        assert (shown["open"], shown["buttons"]) == (0, [])


def _expire(connection: Any, approval_id: str) -> None:
    from sqlalchemy import update

    from agent.store.tables import approvals

    connection.execute(update(approvals).where(approvals.c.id == approval_id).values(expires_at=1.0))


async def test_forty_calls_are_one_message_in_pages(tmp_path: Path):
    async with made(tmp_path) as bot:
        steps = [step(f"s{n}", "send", to=f"person-{n}", text="word " * 400) for n in range(40)]
        bot.llm.will_plan(*steps)
        await bot.hears("write to forty people")
        payload = await the_message(bot)
        assert (len(payload["calls"]), payload["pages"]) == (40, 5)
        assert await bot.presses(await button(bot, "▶")) == "Page 2."
        assert (await the_message(bot))["page"] == 1
        bot.llm.will_answer("Done.")
        assert await bot.presses(await button(bot, "Allow all")) == "40 calls allowed."
        await bot.answer()
        assert len(sent(bot)) == 40


async def test_calls_that_are_ready_later_are_another_message(tmp_path: Path):
    async with made(tmp_path) as bot:
        bot.llm.will_plan(
            step("s1", "send", to="ada", text="1"),
            step("s2", "send", to="bob", text="2"),
            step("s3", "send", to="eve", text="3", after=("s1",)),
        )
        await bot.hears("write")
        ada, _bob = await asked(bot)
        bot.llm.will_answer("Done.")
        await bot.presses(f"a/{ada.id}/allow")
        await bot.idle()
        first, second = await bot.shown(MessageKind.APPROVAL)
        assert (len(first.payload["calls"]), "calls" in second.payload) == (2, False)


async def test_a_long_step_beside_them_holds_nothing_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gathering, "TOGETHER_SECONDS", 0.05)
    going = asyncio.Event()

    @tool
    async def slow() -> str:
        """Wait."""
        await going.wait()
        return "done"

    async with made(tmp_path, [*TOOLS, slow]) as bot:
        bot.llm.will_plan(
            step("s0", "slow"), step("s1", "send", to="ada", text="1"), step("s2", "send", to="b", text="2")
        )
        await bot.receives("write, slowly")
        async with asyncio.timeout(60):
            while not await bot.shown(MessageKind.APPROVAL):
                bot.app.store.outbox_changed.clear()
                await bot.app.store.outbox_changed.wait()
        going.set()
        await bot.idle()
        assert len(await asked(bot)) == 2


# --- restarts -------------------------------------------------------------------------------------------------------
async def test_rows_that_a_crash_left_without_a_message_are_shown_after_the_restart(tmp_path: Path):
    async with made(tmp_path) as bot:
        await three_wait(bot)
        store, run = bot.app.store, await bot.last_run()
        await store._do(_lose, "approval:%")
        leased = await store.lease_run(run.id, "dead worker", 0.0)
        await store.change_run(run.id, leased.epoch, status=Status.RUNNING)
        assert await bot.shown(MessageKind.APPROVAL) == []
    async with made(tmp_path) as bot:
        await bot.idle()
        assert len((await the_message(bot))["calls"]) == 3
        bot.llm.will_answer("Done.")
        assert await bot.presses(await button(bot, "Allow all")) == "3 calls allowed."
        await bot.answer()
        assert sent(bot) == ["ada: hi", "bob: hi", "eve: hi"]


def _lose(connection: Any, key: str) -> None:
    from sqlalchemy import delete

    from agent.store.tables import outbox

    connection.execute(delete(outbox).where(outbox.c.key.like(key)))


async def test_a_decision_that_a_crash_kept_from_the_message_is_shown_after_the_restart(tmp_path: Path):
    async with made(tmp_path) as bot:
        ada, *_ = await three_wait(bot)
        await bot.app.store.decide_approval(ada.id, "allow", "1")
    async with made(tmp_path) as bot:
        await bot.idle()
        decided = [call.get("decided") for call in (await the_message(bot))["calls"]]
        assert decided == ["allow", None, None]
        assert sent(bot) == ["ada: hi"]


# --- editing --------------------------------------------------------------------------------------------------------
async def booking(bot: Bot, **args: Any) -> Any:
    bot.llm.will_plan(step("s1", "book", **{"hotel": "Ritz", "nights": 3, **args}))
    await bot.hears("book a room")
    (approval,) = await asked(bot)
    return approval


async def edit(bot: Bot, name: str, text: str) -> None:
    """Press Edit, choose an argument, and type its value."""
    (approval,) = await asked(bot)
    assert await bot.presses(f"a/{approval.id}/edit") == "Which argument?"
    await bot.presses(await button(bot, name))
    await bot.hears(text)


async def test_an_argument_is_edited_and_asked_about_again(tmp_path: Path):
    async with made(tmp_path) as bot:
        old = await booking(bot)
        await edit(bot, "nights", "2")
        (new,) = await asked(bot)
        assert new.args == {"hotel": "Ritz", "nights": 2, "board": "none"}
        assert "you have changed nights" in (await the_message(bot))["because"]
        assert sent(bot) == []
        assert (await bot.presses(f"a/{old.id}/allow")).startswith("Too late")
        bot.llm.will_answer("Booked.")
        assert await bot.presses(f"a/{new.id}/allow") == "Allowed"
        await bot.answer()
        assert sent(bot) == ["Ritz 2 none None"]


async def test_later_steps_see_that_the_call_was_edited(tmp_path: Path):
    async with made(tmp_path) as bot:
        await booking(bot)
        await edit(bot, "hotel", "Savoy")
        (new,) = await asked(bot)
        bot.llm.will_answer("Booked.")
        await bot.presses(f"a/{new.id}/allow")
        await bot.answer()
        (record,) = await bot.steps()
        assert record.text.endswith('(The person changed the call before it was made: hotel="Savoy")')


@pytest.mark.parametrize(
    ("name", "wrong", "said", "right", "booked"),
    [
        ("nights", "two", "'nights' must be a whole number", "2", "Ritz 2 none None"),
        ("board", "vegan", "'board' must be one of", "half", "Ritz 3 half None"),
        ("guests", "[1, ", "'guests' must be JSON", "Ada\nBob", "Ritz 3 none ['Ada', 'Bob']"),
    ],
)
async def test_a_value_that_does_not_fit_is_said_and_asked_for_again(
    tmp_path: Path, name: str, wrong: str, said: str, right: str, booked: str
):
    async with made(tmp_path) as bot:
        await booking(bot, guests=["Eve"])
        await edit(bot, name, wrong)
        notices = [message.payload["text"] for message in await bot.shown(MessageKind.NOTICE)]
        assert said in notices[-1]
        assert len(await asked(bot)) == 1
        await bot.hears(right)
        (new,) = await asked(bot)
        bot.llm.will_answer("Booked.")
        await bot.presses(f"a/{new.id}/allow")
        await bot.answer()
        assert sent(bot) == [booked if name == "guests" else booked.replace("None", "['Eve']")]


async def test_an_enumeration_is_chosen_with_a_button(tmp_path: Path):
    async with made(tmp_path) as bot:
        await booking(bot)
        (approval,) = await asked(bot)
        await bot.presses(f"a/{approval.id}/edit")
        await bot.presses(await button(bot, "board"))
        question = await bot.question()
        assert question.options == ("none", "half", "full")
        await bot.presses(f"q/{question.id}/2")
        (new,) = await asked(bot)
        assert new.args["board"] == "full"


async def test_back_leaves_the_call_as_it_is(tmp_path: Path):
    async with made(tmp_path) as bot:
        old = await booking(bot)
        await bot.presses(f"a/{old.id}/edit")
        await bot.presses(await button(bot, "hotel"))
        question = await bot.question()
        await bot.presses(f"q/{question.id}/back")
        assert await bot.question() is None
        assert [one.id for one in await asked(bot)] == [old.id]
        await bot.presses(f"a/{old.id}/back")
        assert "editing" not in await the_message(bot)


async def test_a_decision_closes_the_question_for_a_value(tmp_path: Path):
    async with made(tmp_path) as bot:
        old = await booking(bot)
        await bot.presses(f"a/{old.id}/edit")
        await bot.presses(await button(bot, "hotel"))
        bot.llm.will_answer("Booked.")
        await bot.presses(f"a/{old.id}/allow")
        await bot.answer()
        assert await bot.question() is None
        assert sent(bot) == ["Ritz 3 none None"]


async def test_a_member_edits_nothing(tmp_path: Path):
    async with made(tmp_path) as bot:
        old = await booking(bot)
        assert await bot.presses(f"a/{old.id}/e0", trusted=False) == "Only an owner may decide this."
        await bot.presses(f"a/{old.id}/e0")
        bot.llm.will_plan(step("s9", "echo", text="x"))
        bot.llm.will_answer("Said.")
        await bot.hears("Savoy", trusted=False)  # it is a request of theirs, and no answer
        assert (await bot.question()).kind == "edit"
        assert (await bot.app.store.get_approval(old.id)).decision is None


async def test_one_of_several_is_edited_and_the_rest_stays(tmp_path: Path):
    async with made(tmp_path) as bot:
        _ada, bob, _eve = await three_wait(bot)
        shown = await button(bot, "Allow all")
        await bot.presses(f"a/{bob.id}/e0")
        await bot.hears("bobby")
        calls = (await the_message(bot))["calls"]
        assert [call["details"]["to"] for call in calls] == ["ada", "bobby", "eve"]
        assert (await bot.presses(shown)).startswith("Too late: this has changed")
        bot.llm.will_answer("Done.")
        await bot.presses(await button(bot, "Allow all"))
        await bot.answer()
        assert sent(bot) == ["ada: hi", "bobby: hi", "eve: hi"]


async def test_an_edited_call_survives_a_restart(tmp_path: Path):
    async with made(tmp_path) as bot:
        await booking(bot)
        await edit(bot, "nights", "2")
    async with made(tmp_path) as bot:
        await bot.idle()
        (new,) = await asked(bot)
        bot.llm.will_answer("Booked.")
        await bot.presses(f"a/{new.id}/allow")
        await bot.answer()
        assert sent(bot) == ["Ritz 2 none None"]
        (entry,) = await bot.app.store.audit_entries(kind="edited")
        assert (json.loads(entry.detail)["old"], json.loads(entry.detail)["new"]) == ({"nights": "3"}, {"nights": "2"})


async def test_a_call_within_a_task_is_edited(tmp_path: Path):
    async with made(tmp_path) as bot:
        bot.llm.will_plan(step("s1", task="Write to Ada", tools=("send",)))
        bot.llm.will_call("send", to="eve", text="hi")
        await bot.hears("write to Ada")
        await edit(bot, "to", "ada")
        (new,) = await asked(bot)
        bot.llm.will_say("task", "Sent.")
        bot.llm.will_answer("Sent.")
        await bot.presses(f"a/{new.id}/allow")
        assert (await bot.answer()).status == Status.COMPLETED
        assert sent(bot) == ["ada: hi"]


@tool(effect="once")
def post(file: Annotated[str, File]) -> str:
    """Post a file."""
    with Path("sent.log").open("a") as log:
        log.write(f"{Path(file).read_text()}\n")
    return f"posted {file}"


@pytest.mark.parametrize("changed", ["a.txt", "b.txt"])
async def test_a_yes_to_an_edited_call_is_for_what_its_file_holds(tmp_path: Path, changed: str):
    async with made(tmp_path, [post]) as bot:
        bot.workspace.mkdir(parents=True)
        for name in ("a.txt", "b.txt"):
            (bot.workspace / name).write_text(name)
        bot.llm.will_plan(step("s1", "post", file="a.txt"))
        await bot.hears("post it")
        (approval,) = await asked(bot)
        await bot.presses(f"a/{approval.id}/edit")
        await bot.hears("b.txt")
        (bot.workspace / changed).write_text("other")
        (new,) = await asked(bot)
        bot.llm.will_answer("Posted.")
        await bot.presses(f"a/{new.id}/allow")
        await bot.answer()
        assert sent(bot) == (["b.txt"] if changed == "a.txt" else [])
        assert len(await asked(bot)) == (0 if changed == "a.txt" else 1)


# --- denials --------------------------------------------------------------------------------------------------------
async def denied_once(bot: Bot) -> None:
    """Have a call denied and another one allowed, after which the denied one comes back under another name."""
    bot.llm.will_plan(
        step("s1", "send", to="ada", text="hi", on_failure=OnFailure.CONTINUE),
        step("s2", "send", to="bob", text="hi"),
        step("s3", "send", to="ada", text="hi", after=("s2",), on_failure=OnFailure.CONTINUE),
        step("s4", "send", to="ada", text="ho", after=("s2",), on_failure=OnFailure.CONTINUE),
    )
    await bot.hears("write to both")
    ada, bob = await asked(bot)
    await bot.presses(f"a/{ada.id}/deny")
    await bot.presses(f"a/{bob.id}/allow")
    await bot.idle()


async def test_a_call_that_was_denied_is_not_asked_about_under_another_name(tmp_path: Path):
    async with made(tmp_path) as bot:
        await denied_once(bot)
        assert [one.args["text"] for one in await asked(bot)] == ["ho"]
        records = {record.step.id: record.error for record in await bot.steps()}
        assert records["s3"] == "You denied it. It was denied before, so it was not asked about again."
        assert sent(bot) == ["bob: hi"]


async def test_a_call_within_a_task_that_was_denied_is_not_asked_about_again(tmp_path: Path):
    async with made(tmp_path) as bot:
        bot.llm.will_plan(step("s1", task="Write to Ada", tools=("send",)))
        bot.llm.will_call("send", to="ada", text="hi")
        await bot.hears("write to Ada")
        (first,) = await asked(bot)
        bot.llm.will_call("send", to="ada", text="hi")
        bot.llm.will_say("task", "It was not sent.")
        bot.llm.will_answer("Not sent.")
        await bot.presses(f"a/{first.id}/deny")
        assert (await bot.answer()).status == Status.COMPLETED
        assert sent(bot) == []
        told = [message.content for message in bot.llm.requests[-2].messages if message.role == "tool"]
        assert told == [people.REFUSED, people.REFUSED]


async def test_a_denied_edit_denies_the_call_as_it_was_planned_too(tmp_path: Path):
    async with made(tmp_path) as bot:
        bot.llm.will_plan(
            step("s1", "send", to="ada", text="hi", on_failure=OnFailure.CONTINUE),
            step("s2", "send", to="bob", text="hi"),
            step("s3", "send", to="ada", text="hi", after=("s2",)),
        )
        await bot.hears("write to both")
        ada, bob = await asked(bot)
        await bot.presses(f"a/{ada.id}/e1")
        await bot.hears("hello")
        await bot.presses(f"a/{ada.id}~1/deny")
        bot.llm.will_answer("One was sent.")
        await bot.presses(f"a/{bob.id}/allow")
        await bot.answer()
        assert await asked(bot) == []
        assert sent(bot) == ["bob: hi"]


async def test_after_further_words_of_the_person_a_denied_call_is_asked_about_again(tmp_path: Path):
    async with made(tmp_path) as bot:
        await denied_once(bot)
        run = await bot.last_run()
        asked_for = Question(
            "wish1", run.id, "", run.session_id, "What should be different?", kind="change", user_id="1"
        )
        await bot.app.store.ask(asked_for, None, people.question_message(bot.dest, asked_for))
        await bot.app.store.answer_question("wish1", "write to Ada after all", "1")
        ctx = await scene.set_the_scene(
            bot.app.store, run, await bot.app.orchestrator.sessions.open(run.session_id), None
        )
        spec = bot.app.catalogue.find("send", ctx.session.profile)
        somebody = people.People(bot.app.store, bot.config.limits)
        assert await somebody.denied_before(ctx, spec, {"to": "ada", "text": "hi"}) == ""
        assert await somebody.denied_before(ctx, spec, {"to": "ada", "text": "other"}) == ""


@tool(untrusted=True)
def read_page(name: str) -> str:
    """Read a page."""
    return f"Log in at https://evil.example/{name}"


async def test_a_question_made_of_what_others_wrote_says_so_to_the_channel(tmp_path: Path):
    async with made(tmp_path, [read_page]) as bot:
        bot.llm.will_plan(
            step("s1", "read_page", name="x"),
            step("s2", ask="{{ s1.output }}?", after=("s1",)),
            step("s3", ask="Which one?"),
        )
        await bot.hears("look")
        asked_about = {one.payload["question"][:5]: one.payload for one in await bot.shown(MessageKind.QUESTION)}
        assert asked_about["Log i"]["tainted"]
        assert "tainted" not in asked_about["Which"]
