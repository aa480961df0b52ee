"""Hosts that share a journal and a storage, and no disk: what one is sent another works on, and a third goes on."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.planning.notation import render
from agent.testing import step
from agent.testing.openai_script import Answer
from agent.testing.openai_server import FakeOpenAI
from agent.testing.postgres import PostgresServer, binaries
from agent.testing.s3 import WITHOUT, Cut, S3Server, interpreter
from agent.testing.telegram_server import FakeTelegram
from agent.testing.telegram_world import TOKEN, Shown

pytestmark = [
    pytest.mark.crash,
    pytest.mark.timeout(400),
    pytest.mark.skipif(binaries() is None, reason="there is no PostgreSQL on this machine"),
    pytest.mark.skipif(not interpreter(), reason=WITHOUT),
]
OWNER = 11
SECONDS = 120.0
READY = {"serve": "Serving;", "worker": "Working,"}
PLUGIN = '''"""Sums, and work that takes as long as it is told to."""
import time
from pathlib import Path
from plugins.api import tool

@tool
def add_up(source: str, target: str) -> str:
    """Add up the numbers of a file and write the sum into another."""
    total = sum(int(line) for line in Path(source).read_text().split())
    with open("began.log", "a") as log:
        log.write(target + "\\n")
    Path(target).write_text(str(total))
    return str(total)

@tool(timeout=300)
def hold(name: str) -> str:
    """Leave half a file, and work until the gate is open."""
    Path(name).write_text("half")
    Path("held").write_text(name)
    while not Path("gate").exists():
        time.sleep(0.05)
    Path(name).write_text("whole")
    return name
'''


def answer(request: dict[str, Any]) -> Answer:
    text = "\n".join(str(message["content"]) for message in request["messages"])
    job = re.findall(r"job (\w+)", text)[-1]
    if str(request["messages"][0]["content"]).startswith("You write the final answer"):
        return Answer(f"End of {job}.")
    steps = [step("s1", "add_up", source="sales.txt", target=f"{job}.txt")]
    if job.startswith("long"):
        steps.append(step("s2", "hold", name=f"{job}-held.txt", after=("s1",)))
        steps.append(step("s3", "add_up", source=f"{job}.txt", target=f"{job}-end.txt", after=("s2",)))
    return Answer(render(f"Job {job}", steps))


@dataclass
class Hosts:
    """Processes, each on a host of its own: a home that no other one has."""

    root: Path
    telegram: FakeTelegram
    environment: dict[str, str]
    all: list[asyncio.subprocess.Process] = field(default_factory=list)
    readers: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self, host: str, command: str) -> asyncio.subprocess.Process:
        home = self.root / host
        (home / "plugins").mkdir(parents=True, exist_ok=True)
        (home / "plugins" / "sums.py").write_text(PLUGIN)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "agent",
            command,
            env={**self.environment, "DIRIGENT_HOME": str(home)},
            stdout=asyncio.subprocess.PIPE,
        )
        self.all.append(process)
        ready = asyncio.Event()
        self.readers.append(asyncio.create_task(self._read(process, READY[command], ready)))
        async with asyncio.timeout(SECONDS):
            await ready.wait()
        return process

    @staticmethod
    async def _read(process: asyncio.subprocess.Process, wanted: str, ready: asyncio.Event) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            if wanted in line.decode():
                ready.set()

    async def kill(self, process: asyncio.subprocess.Process) -> None:
        process.send_signal(signal.SIGKILL)
        await process.wait()

    def work(self, host: str) -> Path:
        return self.root / host / "sessions" / f"telegram_{OWNER}" / "work"

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait for what processes do to files."""
        async with asyncio.timeout(SECONDS):
            while not holds():
                await asyncio.sleep(0.05)

    async def sees(self, text: str, *, button: str = "") -> Shown:
        def shown() -> list[Shown]:
            found = [m for m in self.telegram.bot_messages(OWNER) if text in m.text and not m.text.endswith(" …")]
            return [m for m in found if button in {"", *m.labels}]

        found = await self.telegram.wait_for(shown, SECONDS)
        newest: Shown = found[-1]
        return newest

    async def gets(self, name: str) -> bytes:
        """Wait for a file and return what is in it."""

        def uploaded() -> list[bytes]:
            return [data for m in self.telegram.bot_messages(OWNER) for file, data in m.files if file == name]

        found = await self.telegram.wait_for(uploaded, SECONDS)
        content: bytes = found[-1]
        return content


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    with PostgresServer.start() as started:
        yield started


@pytest.fixture(scope="module")
def storage() -> Iterator[S3Server]:
    with S3Server.start() as started:
        yield started


@pytest.fixture
async def way(storage: S3Server) -> AsyncIterator[Cut]:
    async with Cut(storage.address) as made:
        yield made


@pytest.fixture
async def hosts(tmp_path: Path, database: PostgresServer, storage: S3Server, way: Cut) -> AsyncIterator[Hosts]:
    async with FakeTelegram() as telegram, FakeOpenAI(answer, models=["fake-model"]) as model:
        environment = {
            "PATH": os.environ["PATH"],
            "DIRIGENT_TELEGRAM_TOKEN": TOKEN,
            "DIRIGENT_TELEGRAM_BASE_URL": telegram.base_url,
            "DIRIGENT_OWNERS": str(OWNER),
            "DIRIGENT_MODEL": "fake-model",
            "OPENAI_API_KEY": "test-key",
            "OPENAI_BASE_URL": model.base_url,
            "DIRIGENT_ENGINE": "workers",
            "DIRIGENT_STORE": database.new_database(),
            "DIRIGENT_WORKERS__DEAD_SECONDS": "8",
            "DIRIGENT_SESSIONS__STORAGE": storage.new_bucket().storage,
            "DIRIGENT_SESSIONS__ENDPOINT": way.address,
            "DIRIGENT_SESSIONS__ACCESS_KEY": "key",
            "DIRIGENT_SESSIONS__SECRET_KEY": "a secret of the storage",
        }
        made = Hosts(tmp_path, telegram, environment)
        try:
            yield made
        finally:
            for one in made.all:
                if one.returncode is None:
                    one.kill()
                await one.wait()
            await asyncio.gather(*made.readers)


async def test_a_file_sent_to_one_host_is_worked_on_by_another_delivered_by_the_first_and_undone_there(
    hosts: Hosts,
) -> None:
    await hosts.start("desk", "serve")
    await hosts.start("one", "worker")

    hosts.telegram.user_sends_file(OWNER, "sales.txt", b"1\n2\n39\n", caption="Do job sum")
    await hosts.sees("End of sum.")
    assert await hosts.gets("sum.txt") == b"42"
    assert (hosts.work("one") / "sum.txt").read_text() == "42"

    hosts.telegram.user_says(OWNER, "/undo")
    offered = await hosts.sees("sum.txt", button="↩️ Undo")
    hosts.telegram.user_presses(OWNER, offered.id, "↩️ Undo")
    await hosts.sees("is undone")
    hosts.telegram.user_says(OWNER, "Do job again")
    await hosts.sees("End of again.")

    left = {path.name for path in hosts.work("one").iterdir() if not path.name.startswith(".")}
    assert left == {"sales.txt", "again.txt", "began.log"}
    assert (hosts.work("one") / "began.log").read_text() == "again.txt\n"


async def test_a_host_that_dies_leaves_what_it_has_finished_to_the_next_and_nothing_half(
    hosts: Hosts, way: Cut
) -> None:
    desk = await hosts.start("desk", "serve")
    doomed = await hosts.start("one", "worker")
    hosts.telegram.user_sends_file(OWNER, "sales.txt", b"1\n2\n39\n", caption="Do job long")
    await hosts.until((hosts.work("one") / "held").exists)

    await hosts.kill(doomed)
    await hosts.kill(desk)
    await hosts.start("desk", "serve")
    second = await hosts.start("two", "worker")
    await hosts.until((hosts.work("two") / "held").exists)
    way.cut()  # and the storage is away when the step ends
    (hosts.work("two") / "gate").touch()
    refused = way.refused
    await hosts.until(lambda: way.refused > refused + 3)
    way.mend()
    await hosts.sees("End of long.")

    assert await hosts.gets("long-end.txt") == b"42"
    assert (hosts.work("two") / "began.log").read_text().split() == ["long.txt", "long-end.txt"]
    assert (hosts.work("two") / "long-held.txt").read_text() == "whole"
    assert (hosts.work("one") / "long-held.txt").read_text() == "half"
    assert len([m for m in hosts.telegram.bot_messages(OWNER) if "End of long." in m.text]) == 1

    await hosts.kill(second)
    await hosts.start("one", "worker")  # it comes back, and what it left half is gone
    hosts.telegram.user_says(OWNER, "Do job more")
    await hosts.sees("End of more.")
    assert (hosts.work("one") / "long-held.txt").read_text() == "whole"
