"""Many workers, as real processes: killed, frozen, drained; one at the desk; answered while another process works."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent.planning.notation import render
from agent.testing import step
from agent.testing.openai_script import Answer
from agent.testing.openai_server import FakeOpenAI
from agent.testing.postgres import PostgresServer, binaries
from agent.testing.telegram_server import FakeTelegram
from agent.testing.telegram_world import TOKEN, Shown

pytestmark = [
    pytest.mark.crash,
    pytest.mark.timeout(400),
    pytest.mark.skipif(binaries() is None, reason="there is no PostgreSQL on this machine"),
]
OWNERS = (11, 12, 13)
SECONDS = 90.0
READY = {"serve": "Serving;", "worker": "Working,"}
PLUGIN = '''"""Work that is counted, and work that takes as long as it is told to."""
import time
from pathlib import Path
from plugins.api import tool

@tool
def tally(name: str) -> str:
    """Note that something was done."""
    with open("tally.log", "a") as log:
        log.write(name + "\\n")
    return name

@tool(timeout=300)
def hold(name: str) -> str:
    """Work until the gate is open."""
    with open("held.log", "a") as log:
        log.write(name + "\\n")
    while not Path("gate").exists():
        time.sleep(0.05)
    return name

@tool(effect="once")
def send_mail(to: str) -> str:
    """Send an e-mail."""
    with open("mails.log", "a") as log:
        log.write(to + "\\n")
    return to
'''


def answer(request: dict[str, Any]) -> Answer:
    """Play the model: who writes "talk" is asked and has mail sent while work goes on, others get three steps."""
    text = "\n".join(str(message["content"]) for message in request["messages"])
    job = re.findall(r"job (\w+)", text)[-1]
    if str(request["messages"][0]["content"]).startswith("You write the final answer"):
        return Answer(f"End of {job}.")
    if job.startswith("talk"):
        steps = [
            step("s1", "hold", name=job),
            step("s2", ask="Which colour?", options=("red", "blue")),
            step("s3", "tally", name="{{ s2.output }}"),
            step("s4", "send_mail", to="ann@example.org", after=("s3",)),
            step("s5", "tally", name=f"{job}-never", after=("s1",)),
        ]
    else:
        steps = [
            step("s1", "tally", name=f"{job}-a"),
            step("s2", "hold", name=job, after=("s1",)),
            step("s3", "tally", name=f"{job}-b", after=("s2",)),
        ]
    return Answer(render(f"Job {job}", steps))


@dataclass
class Process:
    """A process of Dirigent and what it says."""

    process: asyncio.subprocess.Process
    said: list[str] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    reader: asyncio.Task[None] | None = None

    async def read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.said.append(line.decode())
            self.news.set()

    async def says(self, text: str) -> None:
        async with asyncio.timeout(SECONDS):
            while not any(text in line for line in self.said):
                self.news.clear()
                await self.news.wait()

    async def ends(self, number: int) -> int:
        """Send a signal and return what it ended with."""
        self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), SECONDS)


@dataclass
class Troupe:
    """Any number of processes of one installation, and the people who write to it."""

    home: Path
    telegram: FakeTelegram
    environment: dict[str, str]
    all: list[Process] = field(default_factory=list)

    async def start(self, *words: str, **settings: str) -> Process:
        """Start a command and wait until it is ready."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agent", *words, env=self.environment | settings, stdout=asyncio.subprocess.PIPE
        )
        started = Process(process)
        started.reader = asyncio.create_task(started.read())
        self.all.append(started)
        await started.says(READY[words[0]])
        return started

    def folder(self, chat: int) -> Path:
        return self.home / "sessions" / f"telegram_{chat}" / "work"

    def lines(self, name: str, *chats: int) -> Counter[str]:
        files = [self.folder(chat) / name for chat in chats or OWNERS]
        return Counter(line for file in files if file.exists() for line in file.read_text().split())

    async def brings(self, port: int) -> None:
        """Call a process with everything that waits, as Telegram does."""
        _, secret = await self.telegram.wait_for(lambda: self.telegram.webhook, SECONDS)
        waiting, self.telegram.updates[:] = list(self.telegram.updates), []
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=SECONDS) as client:
            headers = {"X-Telegram-Bot-Api-Secret-Token": secret}
            async with asyncio.timeout(SECONDS):
                for update in waiting:  # and again, as long as it is not taken
                    while (await client.post("/telegram", json=update, headers=headers)).status_code != 200:
                        await asyncio.sleep(0.1)

    def open_gate(self, chat: int) -> None:
        (self.folder(chat) / "gate").touch()

    async def until(self, holds: Callable[[], object], seconds: float = SECONDS) -> None:
        """Wait for what processes do to files."""
        async with asyncio.timeout(seconds):
            while not holds():
                await asyncio.sleep(0.05)

    async def holds(self, job: str, times: int = 1) -> None:
        await self.until(lambda: self.lines("held.log")[job] == times)

    async def sees(self, chat: int, text: str, seconds: float = SECONDS, button: str = "") -> Shown:
        def shown() -> list[Shown]:
            found = [m for m in self.telegram.bot_messages(chat) if text in m.text and not m.text.endswith(" …")]
            return [m for m in found if button in {"", *m.labels}]

        found = await self.telegram.wait_for(shown, seconds)
        newest: Shown = found[-1]
        return newest

    def answers(self, chat: int, job: str) -> int:
        return sum(f"End of {job}." in message.text for message in self.telegram.bot_messages(chat))


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer.start() as started:
        yield started


@pytest.fixture
async def troupe(tmp_path: Path, server: PostgresServer) -> AsyncIterator[Troupe]:
    home = tmp_path / "home"
    (home / "plugins").mkdir(parents=True)
    (home / "plugins" / "counted.py").write_text(PLUGIN)
    async with FakeTelegram() as telegram, FakeOpenAI(answer, models=["fake-model"]) as model:
        environment = {
            "PATH": os.environ["PATH"],
            "DIRIGENT_HOME": str(home),
            "DIRIGENT_TELEGRAM_TOKEN": TOKEN,
            "DIRIGENT_TELEGRAM_BASE_URL": telegram.base_url,
            "DIRIGENT_OWNERS": ",".join(map(str, OWNERS)),
            "DIRIGENT_MODEL": "fake-model",
            "OPENAI_API_KEY": "test-key",
            "OPENAI_BASE_URL": model.base_url,
            "DIRIGENT_ENGINE": "workers",
            "DIRIGENT_STORE": server.new_database(),
            "DIRIGENT_WORKERS__DEAD_SECONDS": "8",
        }
        made = Troupe(home, telegram, environment)
        try:
            yield made
        finally:
            for one in made.all:
                if one.process.returncode is None:
                    one.process.kill()
                await one.process.wait()
                assert one.reader is not None
                await one.reader


async def test_a_killed_workers_runs_are_taken_over_and_nothing_is_done_twice(troupe: Troupe):
    await troupe.start("serve")
    doomed = await troupe.start("worker", "--runs", "2")
    for chat in (11, 12):
        troupe.telegram.user_says(chat, f"Do job k{chat}")
        await troupe.holds(f"k{chat}")
    await troupe.start("worker")
    troupe.telegram.user_says(13, "Do job k13")
    await troupe.holds("k13")

    await doomed.ends(signal.SIGKILL)
    killed = time.monotonic()
    for chat in (11, 12):
        await troupe.holds(f"k{chat}", 2)
    assert time.monotonic() - killed < 30
    for chat in OWNERS:
        troupe.open_gate(chat)
        await troupe.sees(chat, f"End of k{chat}.")

    assert troupe.lines("held.log") == {"k11": 2, "k12": 2, "k13": 1}
    assert troupe.lines("tally.log") == {f"k{chat}-{part}": 1 for chat in OWNERS for part in "ab"}
    assert [troupe.answers(chat, f"k{chat}") for chat in OWNERS] == [1, 1, 1]


async def test_a_worker_that_was_frozen_can_write_nothing_more_and_works_again(troupe: Troupe):
    await troupe.start("serve")
    frozen = await troupe.start("worker")
    troupe.telegram.user_says(11, "Do job f1")
    await troupe.holds("f1")
    frozen.process.send_signal(signal.SIGSTOP)
    other = await troupe.start("worker")
    await troupe.holds("f1", 2)
    troupe.open_gate(11)
    await troupe.sees(11, "End of f1.")

    frozen.process.send_signal(signal.SIGCONT)
    log = troupe.home / "logs" / "dirigent.log"
    await troupe.until(lambda: "taken over by another worker" in log.read_text())
    assert await other.ends(signal.SIGTERM) == 0
    troupe.telegram.user_says(11, "Do job f2")
    await troupe.sees(11, "End of f2.")

    assert troupe.lines("tally.log") == {f"{job}-{part}": 1 for job in ("f1", "f2") for part in "ab"}
    assert troupe.answers(11, "f1") == 1


async def test_one_has_the_desk_the_next_takes_over_and_without_a_worker_that_is_said(troupe: Troupe):
    first = await troupe.start("serve")
    await first.says("At the desk.")
    second = await troupe.start("serve")
    troupe.telegram.user_says(11, "Do job d1")
    await troupe.sees(11, "No worker is running")
    assert not any("At the desk." in line for line in second.said)

    await first.ends(signal.SIGKILL)
    await asyncio.wait_for(second.says("At the desk."), 60)
    troupe.telegram.user_says(12, "Do job d2")
    await troupe.start("worker")
    for chat, job in ((11, "d1"), (12, "d2")):
        await troupe.holds(job)
        troupe.open_gate(chat)
        await troupe.sees(chat, f"End of {job}.")
    assert [troupe.answers(11, "d1"), troupe.answers(12, "d2")] == [1, 1]


async def test_a_run_at_work_elsewhere_hears_answers_decisions_and_the_word_to_stop(troupe: Troupe):
    always = {"DIRIGENT_POLICY__MODE": "always"}
    await troupe.start("serve", **always)
    await troupe.start("worker", **always)
    troupe.telegram.user_says(11, "Do job talk")
    await troupe.holds("talk")

    asked = await troupe.sees(11, "Which colour?", button="red")
    troupe.telegram.user_presses(11, asked.id, "red")
    await troupe.until(lambda: troupe.lines("tally.log")["red"])
    approval = await troupe.sees(11, "send_mail", button="✅ Allow")
    troupe.telegram.user_presses(11, approval.id, "✅ Allow")
    await troupe.until(lambda: troupe.lines("mails.log")["ann@example.org"])
    assert troupe.lines("held.log") == {"talk": 1}, "all of it happened while the first step went on"

    plan = await troupe.sees(11, "hold")
    troupe.telegram.user_says(11, "drop 5", reply_to=plan.id)
    await troupe.sees(11, "✏️ drop 5")
    assert troupe.lines("held.log") == {"talk": 1}, "that, too"

    troupe.telegram.user_says(11, "/stop")
    await troupe.sees(11, "⏹ Stopped")
    troupe.open_gate(11)
    troupe.telegram.user_says(11, "Do job next")
    await troupe.sees(11, "End of next.")
    assert troupe.lines("tally.log") == {"red": 1, "next-a": 1, "next-b": 1}
    assert troupe.lines("mails.log") == {"ann@example.org": 1}


async def test_workers_are_replaced_one_after_the_other_with_runs_in_flight(troupe: Troupe):
    await troupe.start("serve")
    patient = await troupe.start("worker", DIRIGENT_WORKERS__DRAIN_SECONDS="60")
    troupe.telegram.user_says(11, "Do job r1")
    await troupe.holds("r1")
    leaves = asyncio.create_task(patient.ends(signal.SIGTERM))
    hasty = await troupe.start("worker", DIRIGENT_WORKERS__DRAIN_SECONDS="0")
    troupe.telegram.user_says(12, "Do job r2")
    await troupe.holds("r2")
    troupe.open_gate(11)
    await troupe.sees(11, "End of r1.")
    assert await leaves == 0

    await troupe.start("worker")
    assert await hasty.ends(signal.SIGTERM) == 0
    await troupe.holds("r2", 2)
    troupe.open_gate(12)
    await troupe.sees(12, "End of r2.")
    assert troupe.lines("held.log") == {"r1": 1, "r2": 2}
    assert troupe.lines("tally.log") == {f"{job}-{part}": 1 for job in ("r1", "r2") for part in "ab"}
    assert [troupe.answers(11, "r1"), troupe.answers(12, "r2")] == [1, 1]


async def test_connections_that_are_cut_lose_nothing_and_end_nobody(troupe: Troupe, server: PostgresServer):
    serve, worker = await troupe.start("serve"), await troupe.start("worker")
    troupe.telegram.user_says(11, "Do job c1")
    await troupe.holds("c1")
    database = troupe.environment["DIRIGENT_STORE"].rsplit("/", 1)[-1]
    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
    await asyncio.to_thread(server.execute, cut)
    troupe.open_gate(11)
    await troupe.sees(11, "End of c1.")
    troupe.telegram.user_says(12, "Do job c2")
    await troupe.holds("c2")
    troupe.open_gate(12)
    await troupe.sees(12, "End of c2.")
    assert [serve.process.returncode, worker.process.returncode] == [None, None]
    assert troupe.lines("tally.log") == {f"{job}-{part}": 1 for job in ("c1", "c2") for part in "ab"}


async def test_of_several_that_are_called_one_hears_a_message_and_what_a_killed_one_had_another_hears(
    troupe: Troupe, unused_tcp_port_factory: Callable[[], int]
):
    ports = [unused_tcp_port_factory(), unused_tcp_port_factory()]
    address = {"DIRIGENT_TELEGRAM__WEBHOOK_URL": "https://bot.example.org/telegram"}
    doomed = await troupe.start("serve", **address, DIRIGENT_WEB__PORT=str(ports[0]))
    await troupe.start("worker")
    troupe.telegram.fail("getFile", "hang")
    troupe.telegram.user_sends_file(11, "list.txt", b"x", caption="Do job w1")
    troupe.telegram.user_says(11, "Do job w2")
    await troupe.brings(ports[0])
    await troupe.telegram.wait_for(lambda: troupe.telegram.called("getFile"), SECONDS)

    await troupe.start("serve", **address, DIRIGENT_WEB__PORT=str(ports[1]))
    troupe.telegram.user_says(12, "Do job w3")
    await troupe.brings(ports[1])
    troupe.folder(12).mkdir(parents=True, exist_ok=True)
    troupe.open_gate(12)
    await troupe.sees(12, "End of w3.")
    assert len(troupe.telegram.called("getFile")) == 1, "the other leaves it to the one that has it"

    await doomed.ends(signal.SIGKILL)
    killed = time.monotonic()
    await troupe.telegram.wait_for(lambda: len(troupe.telegram.called("getFile")) == 2, SECONDS)
    assert time.monotonic() - killed < 30
    for job in ("w1", "w2"):
        await troupe.holds(job)
        troupe.open_gate(11)
        await troupe.sees(11, f"End of {job}.")
    assert [troupe.answers(11, "w1"), troupe.answers(11, "w2"), troupe.answers(12, "w3")] == [1, 1, 1]
    assert troupe.lines("tally.log") == {f"{job}-{part}": 1 for job in ("w1", "w2", "w3") for part in "ab"}
