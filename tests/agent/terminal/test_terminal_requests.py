"""One request, and conversations: what comes in, what is shown, how it ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

from agent.channels.terminal.keyboard import Interrupted
from agent.domain.messages import MessageKind
from agent.domain.plan import PlanStep
from agent.domain.provenance import USER
from agent.domain.run import Approval, StepChange
from agent.domain.states import Status

from .conftest import DEST, Agent, Keys

STEP = PlanStep(id="s1", tool="mail.send")


async def greet(agent: Agent, message) -> None:
    await agent.finish(f"hello {message.text}")


async def fail(agent: Agent, message) -> None:
    await agent.finish("It did not work.", Status.FAILED)


async def choose(agent: Agent, message) -> None:
    await agent.finish(f"You said {await agent.ask('Which colour?', 'red', 'blue')}.")


async def ask_and_wait(agent: Agent, message) -> None:
    await agent.ask("Which colour?", "red", "blue", wait=False)


async def until_stopped(agent: Agent, message) -> None:
    await agent.post(MessageKind.PLAN, "plan", title="Long", state="running", steps=[])
    await agent.stop.wait()
    await agent.finish("⏹ Stopped; kept: a.csv", Status.CANCELLED)


async def test_a_request_ends_when_its_answer_was_shown(opened):
    async with opened(greet) as room:
        ending = await room.terminal.once("world")
    assert (ending.status, ending.code) == ("completed", 0)
    assert room.shown[-1] == {
        "type": "answer",
        "text": "hello world",
        "files": [],
        "status": "completed",
        "run": room.agent.run.ref,
    }


async def test_what_is_typed_is_in_the_journal_before_it_is_heard(opened):
    async with opened(greet) as room:
        await room.terminal.once("world")
        (heard,) = room.agent.heard
        assert heard.id > 0
        assert (heard.text, heard.trusted, heard.dest.session_id) == ("world", True, "terminal:main")


async def test_a_failed_run_has_an_exit_code_of_its_own(opened):
    async with opened(fail) as room:
        assert (await room.terminal.once("try")).code == 1


async def test_files_are_shown_with_absolute_paths(opened, tmp_path: Path):
    async def make(agent: Agent, message) -> None:
        await agent.finish("Here.", files=("chart.png", "/elsewhere/b.csv"))

    async with opened(make) as room:
        await room.terminal.once("draw")
    assert room.shown[-1]["files"] == [str(tmp_path / "work" / "chart.png"), "/elsewhere/b.csv"]


async def test_files_that_the_request_names_come_along_as_copies(opened, tmp_path: Path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "sales.csv").write_text("a,b\n")
    async with opened(greet) as room:
        await room.terminal.once("sum up sales.csv, please")
        (attachment,) = room.agent.heard[0].attachments
    assert (attachment.name, attachment.size, attachment.trusted) == ("sales.csv", 4, True)
    assert Path(attachment.path).parent.parent == tmp_path / "incoming"
    assert room.shown[0] == {"type": "notice", "text": "Attached: sales.csv"}


async def test_without_anybody_to_answer_a_question_ends_the_request_with_code_3(opened):
    async with opened(ask_and_wait) as room:
        ending = await room.terminal.once("paint it")
    assert (ending.status, ending.code) == ("waiting", 3)
    assert room.shown[0]["question"] == "Which colour?"
    assert room.shown[0]["keys"] == {"1": "red", "2": "blue", "d": "You decide", "s": "Skip"}


async def test_a_question_of_an_earlier_process_is_shown_and_answered(opened):
    async with opened(ask_and_wait) as room:
        await room.terminal.once("paint it")
    async with opened(greet, Keys("2")) as room:
        await room.terminal.converse()
        assert room.shown[0]["question"] == "Which colour?"
        answered = await room.store.get_question("Q1")
    assert answered.answer == "blue"


async def test_a_question_is_answered_by_number(opened):
    async with opened(choose, Keys("2")) as room:
        await room.terminal.once("paint it")
    assert room.agent.pressed == ["q/Q1/1"]
    assert room.shown[-1]["text"] == "You said blue."


async def test_a_question_is_answered_by_an_options_name(opened):
    async with opened(choose, Keys("Red")) as room:
        await room.terminal.once("paint it")
    assert room.agent.pressed == ["q/Q1/0"]


async def test_a_question_is_answered_in_other_words(opened):
    async with opened(choose, Keys("rather green")) as room:
        await room.terminal.once("paint it")
    assert room.shown[-1]["text"] == "You said rather green."


async def test_the_end_of_input_leaves_the_question_open(opened):
    async with opened(ask_and_wait, Keys()) as room:
        assert (await room.terminal.once("paint it")).code == 3
        assert [q.id for q in await room.store.open_questions(DEST.session_id)] == ["Q1"]


async def approve(agent: Agent, message) -> None:
    approval = Approval("A1", agent.run.id, "s1", DEST.session_id, "mail.send", {"to": "a@b.example"})
    shown = agent.message(
        MessageKind.APPROVAL,
        "a",
        id="A1",
        title="mail.send",
        details=approval.args,
        because="your message",
        expires=None,
    )
    agent.waiting["A1"] = asyncio.Event()
    await agent.store.add_steps(agent.run.id, agent.run.epoch, [STEP], USER)
    agent.store.change_step_soon(StepChange(agent.run.id, "s1", Status.READY, agent.run.epoch))
    await agent.store.request_approval(
        approval, StepChange(agent.run.id, "s1", Status.WAITING_APPROVAL, agent.run.epoch), shown
    )
    await agent.store.change_run(agent.run.id, agent.run.epoch, status=Status.WAITING_APPROVAL)
    await agent.waiting["A1"].wait()
    await agent.store.change_run(agent.run.id, agent.run.epoch, status=Status.RUNNING)
    decided = await agent.store.get_approval("A1")
    await agent.finish(f"decided: {decided.decision}")


async def test_an_approval_is_given_with_y_only_after_its_arguments_were_shown(opened):
    async with opened(approve, Keys("y")) as room:
        await room.terminal.once("send it")
    asked = next(line for line in room.shown if line["type"] == "approval")
    assert asked["details"] == {"to": "a@b.example"}
    assert room.agent.pressed == ["a/A1/allow"]
    assert room.shown[-1]["text"] == "decided: allow"


async def test_anything_but_yes_or_no_asks_again(opened):
    keys = Keys("maybe", "yes please", "n")
    async with opened(approve, keys) as room:
        await room.terminal.once("send it")
    assert room.agent.pressed == ["a/A1/deny"]
    assert len(keys.prompts) == 3


async def test_an_approval_is_never_given_when_nobody_is_there(opened):
    async with opened(approve) as room:
        ending = await room.terminal.once("send it")
        assert ending.code == 3
        assert room.agent.pressed == []
        await room.agent.press(room.agent.heard[0].__class__("terminal", "x", DEST, "local", action="a/A1/deny"))


async def test_a_conversation_takes_line_after_line(opened):
    async with opened(greet, Keys("one", "", "two", "/quit", "three")) as room:
        ending = await room.terminal.converse()
    assert [message.text for message in room.agent.heard] == ["one", "two"]
    assert [line["text"] for line in room.shown if line["type"] == "answer"] == ["hello one", "hello two"]
    assert ending.code == 0


async def test_a_conversation_that_failed_once_says_so_in_its_exit_code(opened):
    stories = iter([fail, greet])

    async def story(agent: Agent, message) -> None:
        await next(stories)(agent, message)

    async with opened(story, Keys("one", "two")) as room:
        assert (await room.terminal.converse()).code == 1


async def test_piped_lines_answer_the_questions_that_come_up(opened):
    async with opened(choose, Keys("paint it", "1", "again", "2")) as room:
        await room.terminal.converse()
    assert [line["text"] for line in room.shown if line["type"] == "answer"] == ["You said red.", "You said blue."]


async def test_ctrl_c_stops_the_run_and_says_what_was_kept(opened):
    async with opened(until_stopped) as room:
        request = asyncio.create_task(room.terminal.once("long work"))
        while not any(line["type"] == "plan" for line in room.shown):
            await room.store.outbox_changed.wait()
            await asyncio.sleep(0)
        room.terminal.interrupt()
        ending = await request
    assert room.agent.heard[-1].text == "/stop"
    assert (ending.status, ending.code) == ("cancelled", 1)
    assert "kept: a.csv" in room.shown[-1]["text"]


async def test_ctrl_c_twice_leaves(opened):
    left = []
    async with opened(until_stopped) as room:
        room.terminal.leave = lambda: left.append(True)
        request = asyncio.create_task(room.terminal.once("long work"))
        while not room.agent.heard:
            await asyncio.sleep(0)
        room.terminal.interrupt()
        assert left == []
        room.terminal.interrupt()
        assert left == [True]
        await request


async def test_ctrl_c_at_a_question_stops_the_run(opened):
    async def story(agent: Agent, message) -> None:
        await agent.ask("Which?", "a", "b", wait=False)
        await agent.stop.wait()
        await agent.store.change_run(agent.run.id, agent.run.epoch, status=Status.RUNNING)
        await agent.finish("⏹ Stopped", Status.CANCELLED)

    async with opened(story, Keys(Interrupted)) as room:
        assert (await room.terminal.once("ask me")).status == "cancelled"


async def test_what_can_be_done_next_is_offered_by_number(opened):
    async def story(agent: Agent, message) -> None:
        buttons = [[{"label": "Redo", "action": "q/none/0"}]]
        run = agent.run
        done = agent.message(MessageKind.ANSWER, "answer", text="Done.", final=True, buttons=buttons)
        await agent.store.finish_run(run.id, run.epoch, status=Status.COMPLETED, messages=[done])

    pressed = []
    async with opened(story, Keys("go", "/1")) as room:

        async def press(message) -> str:
            pressed.append(message.action)
            return ""

        room.agent.press = press
        await room.terminal.converse()
    assert pressed == ["q/none/0"]


async def test_a_run_that_was_just_answered_is_waited_for(opened):
    """Between the answer and the next step the run still counts as waiting; that is not the end of the request."""
    gate = asyncio.Event()

    async def slow(agent: Agent, message) -> None:
        await agent.ask("Which?", "a", "b", wait=False)
        await agent.waiting["Q1"].wait()
        await gate.wait()
        await agent.store.change_run(agent.run.id, agent.run.epoch, status=Status.RUNNING)
        await agent.finish("Done.")

    async with opened(slow, Keys("1")) as room:
        going = asyncio.create_task(room.terminal.once("go"))
        async with asyncio.timeout(60):
            while not room.agent.pressed:
                await asyncio.sleep(0)
        done, _ = await asyncio.wait([going], timeout=0.8)
        gate.set()
        assert not done
        assert (await going).code == 0
