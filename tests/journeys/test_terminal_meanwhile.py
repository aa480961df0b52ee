"""At a real terminal a person types while a plan runs: details, words that change it, words that come next."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from agent.planning.notation import render
from agent.testing import step
from agent.testing.openai_script import Playbook, Rule
from agent.testing.openai_server import FakeOpenAI
from tests.journeys.conftest import PURPOSES

LONG = "import time\ntime.sleep(600)"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[()][A-Z0-9]|\x1b[=>]")

WHERE, HERE = b"\x1b[6n", b"\x1b[1;1R"  # where is the cursor, and the answer


class Screen:
    """What a process writes to its terminal, and what is typed there."""

    def __init__(self, master: int) -> None:
        self._master = master
        self.text = ""
        self.changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def read(self) -> None:
        with suppress(OSError):  # the other end was closed
            data = os.read(self._master, 65536)
            if WHERE in data:  # every terminal answers that; without, the prompt leaves out what is under its line
                os.write(self._master, HERE)
            self.text += ESCAPES.sub("", data.decode(errors="replace"))
        task = asyncio.get_running_loop().create_task(self._tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    def types(self, line: str) -> None:
        os.write(self._master, line.encode() + b"\r")

    async def shows(self, text: str, after: int = 0) -> int:
        """Wait for a text behind a place; return the place behind it."""
        try:
            async with asyncio.timeout(60), self.changed:
                await self.changed.wait_for(lambda: text in self.text[after:])
        except TimeoutError:
            raise AssertionError(f"{text!r} is not in {self.text[after:]!r}") from None
        return self.text.index(text, after) + len(text)


@asynccontextmanager
async def at_a_terminal(home: Path, model: FakeOpenAI) -> AsyncIterator[tuple[Screen, asyncio.subprocess.Process]]:
    """Run `dirigent chat` in a terminal of its own."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agent", "chat"),
        cwd=home.parent,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "DIRIGENT_HOME": str(home),
            "DIRIGENT_MODEL": "fake-model",
            "OPENAI_BASE_URL": model.base_url,
            "TERM": "xterm",
        },
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    screen = Screen(master)
    asyncio.get_running_loop().add_reader(master, screen.read)
    try:
        yield screen, process
    finally:
        asyncio.get_running_loop().remove_reader(master)
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        os.close(master)


@pytest.mark.timeout(400)
async def test_a_plan_is_unfolded_and_changed_by_what_is_typed_while_it_runs(tmp_path: Path):
    plan = render("Two things", [step("s1", "python", code=LONG), step("s2", "now", after=("s1",))])
    rules = [
        Rule(("answer: It rains.",), purpose=PURPOSES["plan"], when="weather"),
        Rule((plan,), purpose=PURPOSES["plan"]),
        Rule(("The time is known.",), purpose=PURPOSES["answer"]),
    ]
    async with FakeOpenAI(Playbook(rules=rules)) as model, at_a_terminal(tmp_path / "home", model) as (screen, process):
        await screen.shows("›")
        screen.types("Do the long thing")
        at = await screen.shows("Two things")
        await screen.shows("0/2", at)
        screen.types("/details")
        at = await screen.shows('python(code="import time', at)
        screen.types("And the weather?")
        at = await screen.shows("this comes next", at)
        await screen.shows("/1 Use it in what I'm doing", at)
        screen.types("/change drop 1")
        at = await screen.shows("The time is known.", at)
        at = await screen.shows("It rains.", at)
        screen.types("/quit")
        assert await asyncio.wait_for(process.wait(), 200) == 0
