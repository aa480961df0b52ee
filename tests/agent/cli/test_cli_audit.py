"""`dirigent audit` reads the log, and says whether it is as it was written."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.store.sql import SqlStore

Dirigent = Callable[..., tuple[int, str, str]]


@pytest.fixture
def journal(home: Path, monkeypatch) -> Path:
    monkeypatch.setenv("DIRIGENT_MODEL", "offline")
    home.mkdir()
    file = home / "journal.db"

    async def fill() -> None:
        store = SqlStore(file)
        await store.open()
        for number in range(5):
            await store.audit(
                "approval" if number % 2 else "asked", f"telegram:{number}", {"n": number, "x": "\x1b[2J"}
            )
        await store.close()

    asyncio.run(fill())
    return file


def change(file: Path, statement: str) -> None:
    connection = sqlite3.connect(file)
    connection.execute(statement)
    connection.commit()
    connection.close()


def head_of(said: str) -> str:
    return said.split("head ")[1].strip()


def test_entries_are_listed_by_chat_and_kind(dirigent: Dirigent, journal):
    code, out, _ = dirigent("audit", "--kind", "approval", "--since", "1h")
    assert code == 0
    assert [line.split(": ")[1].split()[0] for line in out.splitlines()] == ["n=1", "n=3"]
    assert "\x1b" not in out
    _, out, _ = dirigent("audit", "--session", "telegram:2", "--json")
    assert [entry["detail"]["n"] for entry in json.loads(out)] == [2]
    assert dirigent("audit", "--kind", "nothing")[1] == "No such entries.\n"


def test_a_log_that_is_as_it_was_written_has_a_head(dirigent: Dirigent, journal):
    code, out, _ = dirigent("audit", "verify")
    assert code == 0
    assert out.startswith("5 entries, all as they were written.\n")
    assert dirigent("audit", "verify", "--head", head_of(out))[0] == 0


def test_the_first_entry_that_was_changed_is_named(dirigent: Dirigent, journal):
    change(journal, "UPDATE audit SET detail = '{\"n\":7}' WHERE id = 3")
    code, out, _ = dirigent("audit", "verify")
    assert code == 1
    assert out.startswith("Entry 3 does not fit the one before it")
    code, out, _ = dirigent("audit", "verify", "--json")
    told = json.loads(out)
    assert (code, told["fits"], told["broken"], told["entries"]) == (1, False, 3, 2)


def test_a_log_whose_end_was_cut_off_lacks_the_head_that_was_noted(dirigent: Dirigent, journal):
    head = head_of(dirigent("audit", "verify")[1])
    change(journal, "DELETE FROM audit WHERE id = 5")
    assert dirigent("audit", "verify")[0] == 0
    code, out, _ = dirigent("audit", "verify", "--head", head)
    assert code == 1
    assert "not in the log" in out


@pytest.mark.parametrize("words", [("--since", "soon"), ("verify", "--head", "abc")])
def test_a_time_or_a_head_that_is_none_is_refused_in_words(dirigent: Dirigent, journal, words):
    code, _, err = dirigent("audit", *words)
    assert code == 1
    assert words[-1] in err
