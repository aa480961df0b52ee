"""Many chats, many messages, faults on every wire and `kill -9` again and again: each message is answered exactly once.

    python -m tests.benchmarks.soak [--chats 200] [--messages 20] [--kills 12] [--seed 7]

`dirigent serve` is a real process between a strict fake Telegram (with flood control) and a scripted model server.
People write at random moments and do not wait for answers; three of four messages are answered at once, the others by
a plan of one step. One call in ten goes wrong: Telegram answers 502 or 429, or cuts the connection before or after it
has done what was asked; polls are cut off too, and the model server breaks off streams. In the middle of all this the
process is killed and started again. Afterwards every message must have exactly one whole answer, and the answers of a
chat must stand in the order of its messages. Printed is what happened on the way; exits with 1 when something is
missing, double or out of order. Refusals that nobody staged are counted: edits that change nothing after a restart,
and flood control, because a restart forgets how fast it has just written.

At 30 calls a second, which is what Telegram allows one bot, the full size takes some six minutes. With
`DIRIGENT_TEST_ENGINE=workers` it is told on workers: what is killed is `dirigent serve` and a worker, at a PostgreSQL.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.planning.notation import render
from agent.testing import served, step
from agent.testing.openai_script import Answer
from agent.testing.openai_server import FakeOpenAI
from agent.testing.telegram_server import FakeTelegram

FIRST = 1001
ASKED = re.compile(r"word (\d+-\d+)")
ANSWERED = re.compile(r"^Here is (\d+-\d+)\. .*That was \1\.$", re.DOTALL)
WIRE = ("sendMessage", "editMessageText", "*")
KINDS = ("error", "error_after", "drop_before", "drop_after", "flood")


def words_of(name: str) -> str:
    """Return the whole answer to a message."""
    return f"Here is {name}. " + "It has some length. " * 3 + f"That was {name}."


@dataclass
class Model:
    """Answers by the name of the message, and breaks off now and then, but never twice on the same message."""

    dice: random.Random
    breaks: float = 0.05
    broken: set[str] = field(default_factory=set)

    def __call__(self, request: dict[str, Any]) -> Answer:
        purpose = str(request["messages"][0]["content"])[:40]
        text = "\n".join(str(message["content"]) for message in request["messages"])
        name = ASKED.findall(text)[-1]
        if name not in self.broken and self.dice.random() < self.breaks:
            self.broken.add(name)
            return self.dice.choice([Answer(status=503), Answer("s1", drop_after=-1)])
        if purpose.startswith("You write the final answer"):
            return Answer(words_of(name))
        if int(name.rpartition("-")[2]) % 4 == 3:
            return Answer(render(f"Word {name}", [step("s1", "now")]))
        return Answer(f"answer: {words_of(name)}")


@dataclass
class Soak:
    """One soak: what it consists of, and in the end what was found."""

    chats: int
    messages: int
    kills: int
    seed: int
    seconds: float
    faults: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    previews: int = 0
    notices: int = 0
    calls: int = 0
    took: float = 0.0

    @property
    def total(self) -> int:
        """How many messages people write."""
        return self.chats * self.messages

    async def run(self, home: Path) -> None:
        """Do it; what is wrong afterwards stands in `wrong`."""
        dice = random.Random(self.seed)
        began = time.monotonic()
        async with FakeTelegram() as telegram, FakeOpenAI(Model(dice), models=["fake-model"]) as model:
            telegram.flood_control = True
            others = [
                asyncio.create_task(self._people(telegram, dice)),
                asyncio.create_task(self._trouble(telegram, dice)),
            ]
            try:
                for kill in range(self.kills):
                    async with serving(home, telegram, model, self.chats):
                        await self._until(telegram, (kill + 1) / (self.kills + 1), dice)
                async with serving(home, telegram, model, self.chats):
                    await others[0]
                    others[1].cancel()
                    telegram.faults.clear()
                    await self._until(telegram, 1.0, dice)
            finally:
                for task in others:
                    task.cancel()
                await asyncio.gather(*others, return_exceptions=True)
        self.took = time.monotonic() - began
        self._look(telegram)

    async def _people(self, telegram: FakeTelegram, dice: random.Random) -> None:
        """Write everything, in order per chat, within two thirds of the time that answering takes at best."""
        left = {chat: list(range(self.messages)) for chat in range(self.chats)}
        pause = self.total * 2 / 30 * 0.66 / self.total
        while left:
            chat = dice.choice(list(left))
            telegram.user_says(FIRST + chat, f"Give me the word {chat}-{left[chat].pop(0)}")
            if not left[chat]:
                del left[chat]
            await asyncio.sleep(pause)

    async def _trouble(self, telegram: FakeTelegram, dice: random.Random) -> None:
        """Have about one call in ten go wrong."""
        while True:
            seen = len(telegram.calls) + dice.randrange(20)
            await telegram.wait_for(lambda: len(telegram.calls) > seen, self.seconds)  # noqa: B023 — waited for at once
            telegram.faults[:] = [fault for fault in telegram.faults if fault.times]
            kind, method = dice.choice(KINDS), dice.choice(WIRE)
            self.faults[kind] += 1
            if kind == "flood":
                wait = "Too Many Requests: retry after 1"
                chat = FIRST + dice.randrange(self.chats)
                telegram.fail(method, "error", chat=chat, code=429, description=wait, retry_after=1)
            else:
                telegram.fail(method, kind, code=502, description="Bad Gateway")
            if dice.random() < 0.1:
                self.faults["poll"] += 1
                telegram.fail("getUpdates", dice.choice(("error", "drop_before", "drop_after")), code=502)

    async def _until(self, telegram: FakeTelegram, share: float, dice: random.Random) -> None:
        """Wait until this share of the answers is there, and a moment that hits anywhere."""
        end = time.monotonic() + self.seconds
        while self._answers(telegram) < self.total * share and time.monotonic() < end:
            await asyncio.sleep(0.5)  # counting at every change would be most of the work
        await asyncio.sleep(dice.uniform(0, 0.5) if share < 1 else 0)

    def _answers(self, telegram: FakeTelegram) -> int:
        return sum(
            1
            for chat in telegram.chats.values()
            for message in chat.messages.values()
            if message["from"]["is_bot"] and message.get("text", "").endswith(".") and ANSWERED.match(message["text"])
        )

    def _look(self, telegram: FakeTelegram) -> None:
        """Judge what the chats show."""
        for chat in range(self.chats):
            shown = [message.text for message in telegram.bot_messages(FIRST + chat)]
            found = [match[1] for text in shown if (match := ANSWERED.match(text))]
            expected = [f"{chat}-{number}" for number in range(self.messages)]
            if found != expected:
                self.wrong.append(f"chat {chat}: {_difference(expected, found)}")
            self.wrong += [f"chat {chat}: {text!r}" for text in shown if text.startswith("⚠️")]
            self.previews += sum(text.endswith("…") for text in shown)
            self.notices += len(shown) - len(found)
        self.calls = len(telegram.calls)
        unstaged = [call.outcome for call in telegram.calls if call.outcome[:3].isdigit() and not call.staged]
        self.refused.update(outcome[:60] for outcome in unstaged)


def _difference(expected: list[str], found: list[str]) -> str:
    counted = Counter(found)
    missing = [name for name in expected if not counted[name]]
    double = [name for name, times in counted.items() if times > 1]
    return f"missing {missing}, double {double}" if missing or double else f"out of order: {found}"


@asynccontextmanager
async def serving(home: Path, telegram: FakeTelegram, model: FakeOpenAI, chats: int) -> AsyncIterator[None]:
    """Run `dirigent serve`, beside a worker where workers are tested; the end of the block kills with SIGKILL."""
    owners = ",".join(str(FIRST + chat) for chat in range(chats))
    with (home.parent / "soak.log").open("ab") as log:
        async with served.serving(home, telegram, model, log, DIRIGENT_OWNERS=owners):
            yield


def main() -> int:
    """Run it and print what happened; return 1 when something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chats", type=int, default=200)
    parser.add_argument("--messages", type=int, default=20)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    soak = Soak(options.chats, options.messages, options.kills, options.seed, seconds=900.0)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "home")
        home.mkdir()
        asyncio.run(soak.run(home))
    print(f"{soak.total} messages of {soak.chats} chats, {soak.kills} kills, {soak.took:.0f} s, {soak.calls} calls")
    print(f"troubles {dict(soak.faults)}; refused {dict(soak.refused)}; previews left behind {soak.previews}")
    print("\n".join(soak.wrong[:40]) or "each answered exactly once, in order")
    return int(bool(soak.wrong))


if __name__ == "__main__":
    sys.exit(main())
