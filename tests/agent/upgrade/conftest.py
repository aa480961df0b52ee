"""Homes that earlier versions left behind; `make_home.py` made them."""

from __future__ import annotations

import gzip
import json
import re
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.testing.telegram_server import FakeTelegram
from tests.agent.cli import conftest as cli

dirigent, home = cli.dirigent, cli.home  # the command line, as its own tests call it
HERE = Path(__file__).parent
OWNERS = "11,12,13,14,15"
A_TIME = 1.6e9  # seconds since 1970; no other number of theirs is as large


@dataclass
class Earlier:
    """A home as it was when its process was killed, just now."""

    home: Path
    schema: str
    chats: dict[str, Any]
    next_update: int
    next_message: int

    @property
    def journal(self) -> Path:
        return self.home / "journal.db"

    def rows(self, statement: str, journal: Path | None = None) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{journal or self.journal}?mode=ro", uri=True)) as db:
            return db.execute(statement).fetchall()

    def known_to(self, telegram: FakeTelegram) -> None:
        """Have Telegram show what its chats showed."""
        for number, messages in self.chats.items():
            telegram.chat(int(number)).messages.update({message["message_id"]: message for message in messages})
            for message in messages:
                if "document" in message:
                    telegram.files[message["document"]["file_id"]] = ("earlier", b"")
        telegram.next_update, telegram.next_message = self.next_update, self.next_message


def unpacked(schema: str, place: Path) -> Earlier:
    made = json.loads(gzip.decompress((HERE / f"home-{schema}.json.gz").read_bytes()))
    for name, text in made["files"].items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("@HOME@", str(place)))
    (place / "inbox").mkdir()
    with closing(sqlite3.connect(place / "journal.db")) as db:
        db.executescript(made["sql"].replace("@HOME@", str(place)))
        _as_if_now(db)
    return Earlier(place, made["schema"], made["chats"], made["next_update"], made["next_message"])


def _as_if_now(db: sqlite3.Connection) -> None:
    """Move all times, so that nothing has expired since."""
    columns = [
        (table, column)
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for _, column, kind, *_ in db.execute(f"PRAGMA table_info({table!r})").fetchall()
        if re.match("DOUBLE|FLOAT|REAL", kind)
    ]
    newest = db.execute("SELECT max(received_at) FROM inbox").fetchone()[0]
    for table, column in columns:
        statement = f'UPDATE "{table}" SET "{column}" = "{column}" + ? WHERE "{column}" > {A_TIME}'
        db.execute(statement, (time.time() - newest,))
    db.execute("UPDATE outbox SET not_before = 0")  # Telegram has asked for patience; that is over
    db.commit()


@pytest.fixture(params=["0001", "0004"])
def earlier(request: pytest.FixtureRequest, tmp_path: Path) -> Earlier:
    return unpacked(request.param, tmp_path / "before")
