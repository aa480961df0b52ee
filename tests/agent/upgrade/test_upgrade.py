"""An update from an earlier version: everything goes on where it was, and there is a way back."""

from __future__ import annotations

import re
import socket
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent.store import schema
from agent.testing.openai_server import FakeOpenAI
from agent.testing.served import serving
from agent.testing.telegram_server import FakeTelegram
from tests.agent.upgrade.conftest import OWNERS, Earlier

TOKEN = "a-token-for-the-upgrade"


def answer(request: dict[str, Any]) -> str:
    """Play the model as it was played then; plans are made already, but for the watched folder's."""
    text = "\n".join(str(message["content"]) for message in request["messages"])
    job = re.findall(r"job (\d+)", text)[-1]
    if str(request["messages"][0]["content"]).startswith("You write the final answer"):
        return f"This is the answer to job {job}."
    return 'Job 11\ns1 = tally(name="again")\n'


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def answers(telegram: FakeTelegram, chat: int) -> list[str]:
    return [m.text for m in telegram.bot_messages(chat) if m.text == f"This is the answer to job {chat}."]


def button(telegram: FakeTelegram, chat: int, label: str) -> None:
    (message,) = [m for m in telegram.bot_messages(chat) if any(label in each for each in m.labels)]
    telegram.user_presses(chat, message.id, next(each for each in message.labels if label in each))


def tallied(earlier: Earlier, chat: int) -> Counter[str]:
    return Counter((earlier.home / "sessions" / f"telegram_{chat}" / "work" / "tally.log").read_text().split())


@pytest.mark.crash
@pytest.mark.timeout(300)
async def test_what_was_under_way_goes_on_after_an_update(earlier: Earlier):
    port = free_port()
    settings = {"DIRIGENT_OWNERS": OWNERS, "DIRIGENT_WEB__PORT": port, "DIRIGENT_WEB__TOKEN": TOKEN}
    (earlier.home / "sessions" / "telegram_14" / "work" / "go").touch()
    async with FakeTelegram() as telegram, FakeOpenAI(answer, models=["fake-model"]) as model:
        earlier.known_to(telegram)
        async with serving(earlier.home, telegram, model, **settings):
            await telegram.wait_for(lambda: answers(telegram, 15))  # what was not sent, is
            await telegram.wait_for(lambda: answers(telegram, 14))  # what was at work, goes on
            button(telegram, 12, "Allow")
            button(telegram, 13, "red")
            await telegram.wait_for(lambda: answers(telegram, 12) and answers(telegram, 13))
            telegram.user_says(11, "/undo")
            await telegram.wait_for(lambda: "ndo" in telegram.bot_messages(11)[-1].text)
            await the_pages_show_it(earlier, port)
            if earlier.schema != "0001":
                (earlier.home / "inbox" / "new.csv").write_text("a\n1\n")
                await telegram.wait_for(lambda: len(answers(telegram, 11)) == 2)
    assert [len(answers(telegram, chat)) for chat in (12, 13, 14, 15)] == [1, 1, 1, 1]
    sent = earlier.home / "sessions" / "telegram_12" / "work" / "sent.log"
    assert sent.read_text() == "ada@example.org: hello\n"
    seen = tallied(earlier, 14)
    assert (seen["a"], seen["c"]) == (1, 1)  # what was finished did not run again
    assert all(tallied(earlier, chat)["a"] == 1 for chat in (11, 12, 13, 15))
    assert "Likes green" in next(earlier.home.glob("sessions/telegram_11/MEMORY.md")).read_text()
    [backup] = schema.backups_of(earlier.journal)
    assert earlier.rows("SELECT version_num FROM alembic_version", backup) == [(earlier.schema,)]
    assert earlier.rows("SELECT version_num FROM alembic_version") == [(schema.HEAD,)]


async def the_pages_show_it(earlier: Earlier, port: str) -> None:
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {TOKEN}"}
    ) as web:
        assert (await web.get("/health")).json() == {"status": "ok"}
        said = (await web.get("/api/runs")).text
        assert all(ref in said for (ref,) in earlier.rows("SELECT ref FROM runs"))
        if earlier.schema != "0001":
            assert "thing.happened" in (await web.get("/api/events")).text
            assert "inbox" in (await web.get("/api/triggers")).text


async def test_every_row_of_before_is_still_there(earlier: Earlier):
    from agent.store.sql import SqlStore

    tables = [name for (name,) in earlier.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
    counted = {name: earlier.rows(f'SELECT count(*) FROM "{name}"') for name in tables if "sqlite" not in name}
    store = SqlStore(earlier.journal)
    await store.open()
    await store.close()
    assert {name: earlier.rows(f'SELECT count(*) FROM "{name}"') for name in counted} == counted


def test_the_journal_of_a_newer_version_is_refused_and_stays_as_it_is(earlier: Earlier, dirigent):
    with closing(sqlite3.connect(earlier.journal)) as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
        db.commit()
    before = earlier.rows("SELECT * FROM tasks"), earlier.rows("SELECT * FROM sqlite_master")
    code, _, err = dirigent("events", "--home", str(earlier.home))
    assert code == 1
    assert "written by a newer Dirigent" in err
    assert "Update Dirigent, or put back the backup" in err
    assert (earlier.rows("SELECT * FROM tasks"), earlier.rows("SELECT * FROM sqlite_master")) == before
    assert not schema.backups_of(earlier.journal)


def test_an_update_that_fails_says_where_the_copy_is(earlier: Earlier, dirigent, monkeypatch: pytest.MonkeyPatch):
    from alembic import command

    def broken(*_: object) -> None:
        raise RuntimeError("half-way")

    monkeypatch.setattr(command, "upgrade", broken)
    code, _, err = dirigent("events", "--home", str(earlier.home))
    [backup] = schema.backups_of(earlier.journal)
    assert code == 1
    assert str(backup) in err
    assert "earlier version" in err
    assert earlier.rows("SELECT version_num FROM alembic_version") == [(earlier.schema,)]
    assert len(earlier.rows("SELECT id FROM runs")) == 5


def test_an_earlier_home_can_be_exported_and_imported(earlier: Earlier, dirigent, tmp_path: Path):
    archive = tmp_path / "old.tar.gz"
    assert dirigent("export", str(archive), "--home", str(earlier.home))[0] == 0
    assert earlier.rows("SELECT version_num FROM alembic_version") == [(earlier.schema,)]  # as it was
    assert dirigent("import", str(archive), "--home", str(tmp_path / "new"))[0] == 0
    code, out, err = dirigent("audit", "--home", str(tmp_path / "new"))
    assert code == 0, err
    assert out
    assert earlier.rows("SELECT count(*) FROM runs", tmp_path / "new" / "journal.db") == [(5,)]
    assert len(schema.backups_of(tmp_path / "new" / "journal.db")) == 1
