"""How `home-*.json.gz` beside this file were made: an earlier Dirigent was run, and killed in the middle of everything.

    git clone . /tmp/old && git -C /tmp/old checkout COMMIT
    cd /tmp/old && PYTHONPATH=/tmp/old python …/make_home.py …/home-SCHEMA.json.gz

`home-0001` comes from 289209d (schema 0001), `home-0004` from afc55eb (schema 0004). Each holds the journal as SQL, the
home's files (its own path written as @HOME@), and what Telegram's chats showed. Five owners' chats: in 11 a request is
done, with a file and a memory; in 12 one waits for an approval, in 13 for an answer; in 14 a step was at work; in 15
an answer was not sent yet. It runs the old code, so it uses nothing of today's.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from agent.planning.notation import render
from agent.testing import step
from agent.testing.openai_script import Answer
from agent.testing.openai_server import FakeOpenAI
from agent.testing.telegram_server import FakeTelegram
from agent.testing.telegram_world import TOKEN

PLUGIN = '''"""What the upgrade's stories do."""
import time
from pathlib import Path
from plugins.api import tool

@tool
def tally(name: str) -> str:
    """Note that something was done."""
    with open("tally.log", "a") as log:
        log.write(name + "\\n")
    return name

@tool(timeout=120)
def slow(name: str) -> str:
    """Wait until there is a file `go`."""
    with open("tally.log", "a") as log:
        log.write(name + "\\n")
    while not Path("go").exists():
        time.sleep(0.05)
    return name

@tool(effect="once")
def send(to: str, text: str) -> str:
    """Send a message."""
    with open("sent.log", "a") as log:
        log.write(f"{to}: {text}\\n")
    return f"sent to {to}"
'''
PLANS = {
    "11": [
        step("s1", "tally", name="a"),
        step("s2", "write_file", path="report.txt", text="All is well."),
        step("s3", "remember", text="Likes green"),
    ],
    "12": [step("s1", "tally", name="a"), step("s2", "send", to="ada@example.org", text="hello", after=("s1",))],
    "13": [step("s1", "tally", name="a"), step("s2", ask="Which colour?", options=("red", "blue"), after=("s1",))],
    "14": [
        step("s1", "tally", name="a"),
        step("s2", "slow", name="b", after=("s1",)),
        step("s3", "tally", name="c", after=("s2",)),
    ],
    "15": [step("s1", "tally", name="a")],
}


def answer(request: dict[str, Any]) -> Answer | str:
    """Play the model."""
    text = "\n".join(str(message["content"]) for message in request["messages"])
    job = re.findall(r"job (\d+)", text)[-1]
    if str(request["messages"][0]["content"]).startswith("You write the final answer"):
        return f"This is the answer to job {job}."
    return render(f"Job {job}", PLANS[job])


async def story(home: Path, telegram: FakeTelegram, model: FakeOpenAI) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ["PYTHONPATH"],
        "DIRIGENT_HOME": str(home),
        "DIRIGENT_TELEGRAM_TOKEN": TOKEN,
        "DIRIGENT_TELEGRAM_BASE_URL": telegram.base_url,
        "DIRIGENT_OWNERS": "11,12,13,14,15",
        "DIRIGENT_MODEL": "fake-model",
        "OPENAI_API_KEY": "test-key",
        "OPENAI_BASE_URL": model.base_url,
    }
    command = (sys.executable, "-P", "-m", "agent")
    process = await asyncio.create_subprocess_exec(*command, "serve", env=environment)
    try:
        async with asyncio.timeout(90):
            await lived(home, telegram, lambda *words: subprocess.run([*command, *words], env=environment, check=True))
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()


async def lived(home: Path, telegram: FakeTelegram, does: Callable[..., object]) -> None:
    """Be the five owners, until everything is under way."""
    for chat in (11, 12, 13, 14, 15):
        telegram.chat(chat)
    telegram.user_says(11, "Do job 11")
    await telegram.wait_for(lambda: [m for m in telegram.bot_messages(11) if m.files], 60)
    while "green" not in "".join(path.read_text() for path in home.rglob("MEMORY.md")):
        await asyncio.sleep(0.05)
    if (Path(os.environ["PYTHONPATH"]) / "agent" / "cli" / "events.py").exists():
        (home / "inbox").mkdir()
        watch = ("schedules", "watch", str(home / "inbox"), "--pattern", "*.csv", "--do", "Do job 11")
        await asyncio.to_thread(does, *watch, "--chat", "telegram:11")
        happened = ("events", "publish", "thing.happened", "--payload", '{"size": 3}', "--key", "thing-1")
        await asyncio.to_thread(does, *happened)
    telegram.user_says(12, "Do job 12")
    await telegram.wait_for(lambda: [m for m in telegram.bot_messages(12) if "Allow" in str(m.labels)], 60)
    telegram.user_says(13, "Do job 13")
    await telegram.wait_for(lambda: [m for m in telegram.bot_messages(13) if "red" in m.labels], 60)
    telegram.user_says(14, "Do job 14")
    log = home / "sessions" / "telegram_14" / "work" / "tally.log"
    while not (log.exists() and "b" in log.read_text()):
        await asyncio.sleep(0.05)
    telegram.fail("*", "error", times=10_000, code=429, retry_after=600, chat=15)
    telegram.user_says(15, "Do job 15")
    await until_unsent(home / "journal.db")
    await asyncio.sleep(1)


async def until_unsent(journal: Path) -> None:
    """Wait until the answer of chat 15 stands in the outbox, unsent."""
    while True:
        with closing(sqlite3.connect(journal)) as db:
            rows = db.execute("SELECT payload FROM outbox WHERE session_id LIKE '%15%' AND sent_at IS NULL").fetchall()
        if any("answer to job 15" in row[0] for row in rows):
            return
        await asyncio.sleep(0.05)


def packed(home: Path, telegram: FakeTelegram) -> dict[str, Any]:
    """Return everything as text."""
    with closing(sqlite3.connect(home / "journal.db")) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        sql = "\n".join(db.iterdump()).replace(str(home), "@HOME@")
        schema = db.execute("SELECT version_num FROM alembic_version").fetchone()[0]
    files = {
        str(path.relative_to(home)): path.read_text().replace(str(home), "@HOME@")
        for path in sorted(home.rglob("*"))
        if path.is_file() and not path.name.startswith("journal") and not {"logs", "__pycache__"} & set(path.parts)
    }
    chats = {str(number): list(chat.messages.values()) for number, chat in telegram.chats.items()}
    counters = {"next_update": telegram.next_update, "next_message": telegram.next_message}
    return {"schema": schema, "sql": sql, "files": files, "chats": chats, **counters}


async def main(target: Path) -> None:
    home = Path(tempfile.mkdtemp(prefix="made-", dir="/tmp")) / "home"
    (home / "plugins").mkdir(parents=True)
    (home / "plugins" / "upgraded.py").write_text(PLUGIN)
    async with FakeTelegram() as telegram, FakeOpenAI(answer, models=["fake-model"]) as model:
        await story(home, telegram, model)
        target.write_bytes(gzip.compress(json.dumps(packed(home, telegram), ensure_ascii=False).encode(), mtime=0))
    shutil.rmtree(home.parent)


asyncio.run(main(Path(sys.argv[1])))
