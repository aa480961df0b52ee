"""A rolling upgrade: an earlier version's processes are replaced by today's, one by one, while people write.

    python -m tests.benchmarks.rolling COMMIT [--called] [--killed] [--new COMMIT]

Both versions are cloned from this repository; their processes share a PostgreSQL, a home, a fake Telegram and a fake
model. COMMIT must know engine = "workers", and that a second signal hurries a worker. One `dirigent serve` and two
workers of before have requests in flight: one at work, one that waits for an answer while it works, one that will be
left to others. Other chats write all the time. A worker of today comes, which brings the journal up to date under the
running ones; the workers of before are told to end; then the `serve` of before, beside today's. With `--killed` those
of before are killed instead, and with `--called` Telegram calls both that serve, in turn, instead of being asked.

In the end every message must have exactly one answer, and no finished step may have been done twice; what was seen on
the way is printed. Exits with 1 when something is missing or double. It takes a minute or two.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from agent.planning.notation import render
from agent.testing import step
from agent.testing.openai_script import Answer
from agent.testing.openai_server import FakeOpenAI
from agent.testing.postgres import PostgresServer
from agent.testing.telegram_server import FakeTelegram
from agent.testing.telegram_world import TOKEN, Shown
from tests.journeys import test_workers as workers
from tests.journeys.test_workers import Process, Troupe

HERE = Path(__file__).parents[2]
HELD, WRITERS = (11, 12, 13), (14, 15, 16)
AT_ONCE = 3  # messages of the writers without an answer yet: a slow machine is not to be flooded
PATIENCE = 300.0
DRAINS = "600"
PLUGIN = workers.PLUGIN.replace("timeout=300", "timeout=1800")  # what is held is held until the end
SCHEMA = "SELECT version_num FROM alembic_version"


def answer(request: dict[str, Any]) -> Answer:
    """Play the model: jobs that begin with q take one step, the others are those of many workers."""
    text = "\n".join(str(message["content"]) for message in request["messages"])
    job = re.findall(r"job (\w+)", text)[-1]
    if not job.startswith("q") or str(request["messages"][0]["content"]).startswith("You write the final answer"):
        return workers.answer(request)
    return Answer(render(f"Job {job}", [step("s1", "tally", name=job)]))


def cloned(commit: str, folder: Path) -> dict[str, str]:
    """Check a version out into a folder; return the settings that have a process run it."""
    for words in (("clone", "-q", str(HERE), str(folder)), ("-C", str(folder), "checkout", "-q", commit)):
        subprocess.run(["git", *words], check=True)
    return {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Stage(Troupe):
    """Waits for longer than tests do."""

    async def until(self, holds: Callable[[], object], seconds: float = PATIENCE) -> None:
        await super().until(holds, seconds)

    async def sees(self, chat: int, text: str, seconds: float = PATIENCE, button: str = "") -> Shown:
        return await super().sees(chat, text, seconds, button)

    def shown(self, chat: int, job: str) -> list[bool]:
        """Return of each message with a job's answer whether it is whole: what is killed may leave a beginning."""
        found = [message.text for message in self.telegram.bot_messages(chat) if f"End of {job}." in message.text]
        return [not text.endswith("…") for text in found]

    def answers(self, chat: int, job: str) -> int:
        return sum(self.shown(chat, job))


@dataclass
class Upgrade:
    """One upgrade, and what was seen of it."""

    troupe: Stage
    server: PostgresServer
    old: dict[str, str]
    new: dict[str, str]
    called: bool
    killed: bool
    ports: list[int] = field(default_factory=list)
    said: list[tuple[int, str]] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def note(self, text: str) -> None:
        print(f"{time.monotonic() - self.began:6.1f} s  {text}", flush=True)

    def schema(self) -> str:
        return self.server.execute(SCHEMA, self.troupe.environment["DIRIGENT_STORE"].rpartition("/")[2]).strip()

    def say(self, chat: int, job: str) -> None:
        self.said.append((chat, job))
        self.troupe.telegram.user_says(chat, f"Do job {job}")

    async def serve(self, version: dict[str, str]) -> Process:
        port = free_port()
        called = {"DIRIGENT_TELEGRAM__WEBHOOK_URL": "https://bot.example.org/telegram"} if self.called else {}
        started = await self.troupe.start("serve", **version, **called, DIRIGENT_WEB__PORT=str(port))
        if self.called:
            self.ports.append(port)
        return started

    async def keep_writing(self) -> None:
        """Write in one chat after the other."""
        for number in count():
            await self.troupe.until(lambda: sum(not times for times in self.writers().values()) < AT_ONCE)
            self.say(WRITERS[number % len(WRITERS)], f"q{number}")

    async def keep_calling(self) -> None:
        """Call those that serve in turn with whatever waits, as a proxy does before several."""
        number = 0
        while True:
            if self.troupe.telegram.updates and self.ports:
                number += 1
                await self.troupe.brings(self.ports[number % len(self.ports)])
            await asyncio.sleep(0.1)

    def answered(self) -> dict[str, int]:
        return {job: self.troupe.answers(chat, job) for chat, job in self.said}

    def writers(self) -> dict[str, int]:
        return {job: times for job, times in self.answered().items() if job.startswith("q")}

    async def more_are_answered(self, number: int = 5) -> None:
        """Wait until so many of those who write from now on have an answer."""
        before = len(self.writers())
        await self.troupe.until(lambda: len(self.writers()) >= before + number)
        wanted = list(self.writers())[before : before + number]
        await self.troupe.until(lambda: all(self.writers()[job] for job in wanted))

    # --- the story --------------------------------------------------------------------------------------------------
    async def run(self) -> list[str]:
        """Tell it, and return what is wrong."""
        writing = asyncio.create_task(self.keep_writing())
        calling = [asyncio.create_task(self.keep_calling())] if self.called else []
        try:
            await self._replace()
            writing.cancel()
            await self.troupe.until(lambda: all(self.answered().values()))
        except TimeoutError:
            self.note("this was not to be seen")
        finally:
            for task in (writing, *calling):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        return self.wrong()

    async def _replace(self) -> None:
        patient = {"DIRIGENT_WORKERS__DRAIN_SECONDS": DRAINS}
        desk = await self.serve(self.old)
        first = await self.troupe.start("worker", **self.old, **patient)
        for chat, job in ((11, "r1"), (12, "talk2")):
            self.say(chat, job)
            await self.troupe.holds(job)
        second = await self.troupe.start("worker", **self.old, **patient)
        asked = await self.troupe.sees(12, "Which colour?", button="red")
        self.say(13, "r3")
        await self.troupe.holds("r3")
        self.note(f"before: schema {self.schema()}, three requests at work, one of them waits for an answer, too")

        began = time.monotonic()
        await self.troupe.start("worker", **self.new, **patient)
        self.note(f"a worker of today works after {time.monotonic() - began:.1f} s; schema {self.schema()}")
        await self.more_are_answered()
        self.note("those of before and of today work beside each other")

        await self._end_workers(first, second)
        self.troupe.telegram.user_presses(12, asked.id, "red")
        await self.troupe.until(lambda: self.troupe.lines("tally.log", 12)["red"])
        self.note("the question of before is answered, and its request goes on")
        await self._change_desk(desk)
        await self._old_comes_back()
        for chat, job in ((11, "r1"), (12, "talk2"), (13, "r3")):
            self.troupe.open_gate(chat)
            if job == "talk2":
                approval = await self.troupe.sees(chat, "send_mail", button="✅ Allow")
                self.troupe.telegram.user_presses(chat, approval.id, "✅ Allow")
            await self.troupe.sees(chat, f"End of {job}.")
        self.note("what was at work in between is answered")

    async def _end_workers(self, first: Process, second: Process) -> None:
        if self.killed:
            for one in (first, second):
                await one.ends(signal.SIGKILL)
                self.note("a worker of before is killed")
        else:
            first.process.send_signal(signal.SIGTERM)
            second.process.send_signal(signal.SIGTERM)
            await second.says("Ending:")
            await self.more_are_answered()
            self.troupe.open_gate(11)
            await self.troupe.sees(11, "End of r1.")
            self.note("the workers of before take up nothing more, and one has answered what it had")
            for one in (first, second):
                with contextlib.suppress(ProcessLookupError):
                    await one.ends(signal.SIGTERM)
                self.note(f"a worker of before has left the rest to others, exit code {one.process.returncode}")
        await self.troupe.start("worker", **self.new)
        await self.troupe.holds("talk2", 2)
        await self.troupe.holds("r3", 2)
        self.note("workers of today have what was left")

    async def _change_desk(self, desk: Process) -> None:
        today = await self.serve(self.new)
        self.note("one of today serves, too")
        await self.more_are_answered()
        self.note("those of before and of today serve beside each other")
        if self.called:
            self.ports.pop(0)
        code = await desk.ends(signal.SIGKILL if self.killed else signal.SIGTERM)
        self.note(f"the one of before that served has ended ({code})")
        await today.says("At the desk.")
        self.note("one of today is at the desk")
        await self.more_are_answered()

    async def _old_comes_back(self) -> None:
        """Start one of before once more: it works, or says why it does not."""
        starts = asyncio.create_task(self.troupe.start("worker", **self.old))
        known = len(self.troupe.all)
        await self.troupe.until(lambda: len(self.troupe.all) > known)
        again = self.troupe.all[-1].process
        ends = asyncio.create_task(again.wait())
        await asyncio.wait([starts, ends], return_when=asyncio.FIRST_COMPLETED)
        if not ends.done():
            await self.more_are_answered()
            again.terminate()
            self.note(f"one of before that starts now works, too, and ends with {await ends}")
            return
        self.note(f"one of before that starts now ends with {await ends}, having said why")
        starts.cancel()
        await asyncio.wait([starts])

    def wrong(self) -> list[str]:
        """Return what is missing or double."""
        found = [f"{job} has {times} answers" for job, times in self.answered().items() if times != 1]
        chats = (*HELD, *WRITERS)
        done = self.troupe.lines("tally.log", *chats) + self.troupe.lines("mails.log", *chats)
        wanted = {job for _, job in self.said if job.startswith("q")} | {"red", "ann@example.org", "talk2-never"}
        wanted |= {f"{job}-{part}" for job in ("r1", "r3") for part in "ab"}
        found += [f"{one} was done {done[one]} times" for one in sorted(wanted | done.keys()) if done[one] != 1]
        held = dict(self.troupe.lines("held.log"))
        times = {"r1": 1 + self.killed, "talk2": 2, "r3": 2}
        found += [f"held: {held}"] if held != times else []
        self.note(f"{len(self.said)} messages, {sum(self.answered().values())} answers, begun while held: {held}")
        begun = sum(not whole for chat, job in self.said for whole in self.troupe.shown(chat, job))
        self.note(f"beginnings of answers left behind by what was killed: {begun}")
        log = (self.troupe.home / "logs" / "dirigent.log").read_text().splitlines()
        told = [line for line in log if re.search(r"ERROR|WARNING", line)]
        for line in dict.fromkeys(re.sub(r"^.*?(ERROR|WARNING)", r"\1", line)[:200] for line in told):
            self.note(f"log: {line}")
        return found


@contextlib.asynccontextmanager
async def staged(server: PostgresServer, home: Path) -> AsyncIterator[Stage]:
    """Yield an installation on workers, whose processes are killed in the end."""
    (home / "plugins").mkdir(parents=True)
    (home / "plugins" / "counted.py").write_text(PLUGIN)
    async with FakeTelegram() as telegram, FakeOpenAI(answer, models=["fake-model"]) as model:
        environment = {
            "PATH": os.environ["PATH"],
            "DIRIGENT_HOME": str(home),
            "DIRIGENT_TELEGRAM_TOKEN": TOKEN,
            "DIRIGENT_TELEGRAM_BASE_URL": telegram.base_url,
            "DIRIGENT_OWNERS": ",".join(map(str, (*HELD, *WRITERS))),
            "DIRIGENT_MODEL": "fake-model",
            "OPENAI_API_KEY": "test-key",
            "OPENAI_BASE_URL": model.base_url,
            "DIRIGENT_ENGINE": "workers",
            "DIRIGENT_STORE": server.new_database(),
            "DIRIGENT_POLICY__MODE": "always",
            "DIRIGENT_WORKERS__DEAD_SECONDS": "8",
        }
        troupe = Stage(home, telegram, environment)
        try:
            yield troupe
        finally:
            for one in troupe.all:
                if one.process.returncode is None:
                    one.process.kill()
                await one.process.wait()


async def main(options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="dirigent-rolling-") as name, PostgresServer.start() as server:
        folder = Path(name)
        old, new = cloned(options.commit, folder / "old"), cloned(options.new, folder / "new")
        async with staged(server, folder / "home") as troupe:
            wrong = await Upgrade(troupe, server, old, new, options.called, options.killed).run()
    print("\n".join(wrong) or "Every message was answered once, and no finished step was done twice.")
    return 1 if wrong else 0


if __name__ == "__main__":
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("commit", help="the version of before")
    made.add_argument("--new", default="HEAD", help="the version that replaces it")
    made.add_argument("--called", action="store_true", help="Telegram calls those that serve")
    made.add_argument("--killed", action="store_true", help="kill -9 instead of SIGTERM")
    sys.exit(asyncio.run(main(made.parse_args())))
