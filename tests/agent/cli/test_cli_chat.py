"""`dirigent chat` as a process of its own, in front of a model server on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.testing.openai_server import FakeOpenAI

PLANNER = "You are the planner"
ASKS = '# Paint it\ns1 ask("Which colour?", ["red", "blue"])\nend'
WRITES = '# Write it\ns1 write_file("out.txt", "hello")\nend'


@dataclass
class Ended:
    """What a process came to."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Model = Callable[[str], contextlib.AbstractAsyncContextManager[Any]]
Dirigent = Callable[..., Awaitable[Ended]]


@pytest.fixture
def model(home: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """Run a model server that plans like this and answers like that."""

    @contextlib.asynccontextmanager
    async def serve(plan: str, answer: str = "All **done**.") -> AsyncIterator[FakeOpenAI]:
        def script(request: dict[str, Any]) -> str:
            system = str(request["messages"][0]["content"])
            return plan if system.startswith(PLANNER) else answer

        async with FakeOpenAI(script) as server:
            monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
            yield server

    return serve


@pytest.fixture
def dirigent(home: Path, tmp_path: Path) -> Dirigent:
    """Run `dirigent` in a folder of the person's."""
    (tmp_path / "here").mkdir()

    async def run(*words: str, stdin: str = "", signals: Callable[[Any], Awaitable[None]] | None = None) -> Ended:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "agent", *words, cwd=tmp_path / "here",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(60):
            out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None
        return Ended(process.returncode, out.decode(), err.decode())

    return run


async def test_one_request_prints_the_answer_and_nothing_else_on_standard_output(model, dirigent: Dirigent):
    async with model("answer: The answer is 42."):
        done = await dirigent("chat", "what is the answer?")
    assert (done.code, done.out) == (0, "The answer is 42.\n")


async def test_a_program_reads_the_plan_and_the_answer_as_json(model, dirigent: Dirigent, home: Path):
    async with model(WRITES):
        done = await dirigent("chat", "--json", "write hello")
    kinds = [line["type"] for line in done.lines]
    assert done.code == 0
    assert kinds[-1] == "answer"
    assert kinds.count("answer") == 1
    plan = [line for line in done.lines if line["type"] == "plan"][-1]
    assert (plan["title"], plan["done"], plan["total"], plan["state"]) == ("Write it", 1, 1, "done")
    assert done.lines[-1]["status"] == "completed"
    assert (home / "sessions" / "terminal_main" / "work" / "out.txt").read_text() == "hello"


async def test_a_file_that_the_request_names_is_in_the_workspace(model, dirigent: Dirigent, home: Path, tmp_path: Path):
    (tmp_path / "here" / "notes.txt").write_text("one\n")
    async with model('# Read\ns1 read_file("notes.txt")\nend', "One line."):
        done = await dirigent("chat", "how many lines has notes.txt?")
    assert done.code == 0
    assert "Attached: notes.txt" in done.err
    assert (home / "sessions" / "terminal_main" / "work" / "notes.txt").read_text() == "one\n"


async def test_standard_input_can_be_the_file(model, dirigent: Dirigent, home: Path):
    async with model("answer: Read."):
        done = await dirigent("chat", "--file", "-", "read this", stdin="from a pipe")
    assert done.code == 0
    assert (home / "sessions" / "terminal_main" / "work" / "stdin.txt").read_text() == "from a pipe"


async def test_a_question_without_a_terminal_ends_with_3_and_a_later_chat_answers_it(model, dirigent: Dirigent):
    async with model(ASKS, "It is blue now."):
        asked = await dirigent("chat", "paint it")
        assert asked.code == 3
        assert "Which colour?" in asked.err
        assert "`dirigent chat` shows it again" in asked.err
        answered = await dirigent("chat", stdin="2\n")
    assert (answered.code, answered.out) == (0, "It is blue now.\n")
    assert "2  blue" in answered.err


async def test_piped_lines_are_messages(model, dirigent: Dirigent):
    async with model("answer: Yes."):
        done = await dirigent("chat", stdin="one\n\ntwo\n")
    assert (done.code, done.out) == (0, "Yes.\nYes.\n")


async def test_a_model_that_refuses_makes_the_request_fail(model, dirigent: Dirigent):
    async with model("") as server:
        server.api_key = "another"
        done = await dirigent("chat", "--model", "fake-model", "hello")
    assert done.code == 1
    assert "Traceback" not in done.err


async def test_two_terminals_at_once_do_not_take_each_others_answers(model, dirigent: Dirigent):
    async with model("answer: Mine."):
        both = await asyncio.gather(*(dirigent("chat", "mine?") for _ in range(2)))
    assert [(done.code, done.out) for done in both] == [(0, "Mine.\n")] * 2


async def test_a_missing_file_is_named_before_anything_starts(dirigent: Dirigent):
    done = await dirigent("chat", "--file", "gone.pdf", "read it")
    assert done.code == 1
    assert done.err == "dirigent: --file gone.pdf: this does not exist.\n  → Name a file; `-` is standard input.\n"


async def test_without_a_model_it_is_said_once(dirigent: Dirigent, monkeypatch: pytest.MonkeyPatch):
    done = await dirigent("chat", "--model", "offline", "/help")
    assert done.code == 0
    assert done.err.count("No model is used") == 1


async def test_help_shows_requests_that_work_as_they_stand(dirigent: Dirigent):
    done = await dirigent("chat", "--model", "offline", "/help")
    examples = [line.removeprefix("- ") for line in done.err.splitlines() if line.startswith("- ")]
    assert len(examples) >= 3
    without_file = [example for example in examples if "sales." not in example]
    assert without_file
    for example in without_file[:2]:
        assert (await dirigent("chat", "--model", "offline", example)).code == 0


# --- at a terminal ----------------------------------------------------------------------------------------------
class Screen:
    """A process at a pseudo-terminal: what it shows, and fingers to type with."""

    def __init__(self, master: int, process: asyncio.subprocess.Process) -> None:
        self._master = master
        self.process = process
        self.shown = ""
        self._more = asyncio.Event()
        asyncio.get_running_loop().add_reader(master, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._master, 65536)
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._master)
        if b"\x1b[6n" in data:
            os.write(self._master, b"\x1b[1;1R")  # where is the cursor?
        self.shown += data.decode(errors="replace")
        self._more.set()

    async def sees(self, text: str, *, after: str = "") -> None:
        async with asyncio.timeout(30):
            while text not in (self.shown.rpartition(after)[2] if after else self.shown):
                self._more.clear()
                await self._more.wait()

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())


@contextlib.asynccontextmanager
async def at_a_terminal(folder: Path, *words: str) -> AsyncIterator[Screen]:
    folder.mkdir(exist_ok=True)
    master, slave = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "agent", *words,
        cwd=folder, env=env, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    screen = Screen(master, process)
    try:
        yield screen
    finally:
        asyncio.get_running_loop().remove_reader(master)
        if process.returncode is None:
            process.kill()
        await process.wait()
        os.close(master)


async def test_a_person_converses_answers_and_leaves(model, tmp_path: Path):
    async with model(ASKS, "It is **red** now."), at_a_terminal(tmp_path / "here", "chat") as screen:
        await screen.sees("Tell me what you need")
        await screen.sees("›")
        screen.type("paint it\r")
        await screen.sees("Which colour?")
        await screen.sees("answer")
        screen.type("1\r")
        await screen.sees("Paint it")
        await screen.sees("now.")
        await screen.sees("›", after="now.")
        screen.type("\x04")
        assert await screen.process.wait() == 0


async def test_ctrl_c_at_a_terminal_stops_the_run(model, tmp_path: Path):
    slow = '# Long\ns1 shell("echo begun > begun.txt; sleep 600")\nend'
    async with model(slow), at_a_terminal(tmp_path / "here", "chat", "work long") as screen:
        await screen.sees("Long")
        begun = tmp_path / "home" / "sessions" / "terminal_main" / "work" / "begun.txt"
        async with asyncio.timeout(30):
            while not begun.exists():
                screen._more.clear()
                await screen._more.wait()  # the clock in the plan moves
        screen.process.send_signal(2)
        await screen.sees("Stopping")
        assert await asyncio.wait_for(screen.process.wait(), 200) == 1
        assert "Stopped" in screen.shown


async def test_ctrl_c_in_a_conversation_stops_what_was_typed_at_the_prompt(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("DIRIGENT_HOME", str(tmp_path / "home"))
    async with at_a_terminal(tmp_path / "here", "chat", "--model", "offline") as screen:
        await screen.sees("Tell me what you need")
        await screen.sees("›")
        screen.type("/shell echo begun > begun.txt; sleep 600\r")
        begun = tmp_path / "home" / "sessions" / "terminal_main" / "work" / "begun.txt"
        async with asyncio.timeout(30):
            while not begun.exists():
                screen._more.clear()
                await screen._more.wait()  # the clock in the plan moves
        screen.process.send_signal(2)
        await screen.sees("Stopped")
        await screen.sees("›", after="Stopped")
        screen.type("\x04")
        await asyncio.wait_for(screen.process.wait(), 200)
