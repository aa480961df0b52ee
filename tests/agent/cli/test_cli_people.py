"""`dirigent pair` and `dirigent people`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from agent.channels.pairing import digest
from agent.domain.people import Person, Role
from agent.store.sql import SqlStore


async def _pair(home: Path, code: str) -> Person | None:
    store = SqlStore(home / "journal.db")
    await store.open()
    try:
        return (await store.pair(Person("telegram", "99", "Ada"), await digest(code))).person
    finally:
        await store.close()


@pytest.mark.parametrize(("words", "role"), [((), Role.MEMBER), (("--owner",), Role.OWNER)])
def test_a_code_lets_somebody_in_who_can_be_listed_changed_and_removed(dirigent, home, words, role):
    code, out, _ = dirigent("pair", *words)
    assert code == 0
    assert f"one {role}" in out
    person = asyncio.run(_pair(home, out.split()[1]))
    assert person is not None
    assert person.role is role
    assert f"99  {role.value}" in dirigent("people")[1]
    assert dirigent("people", "block", "99")[1] == "99 is blocked now.\n"
    assert json.loads(dirigent("people", "--json")[1])[0]["role"] == "blocked"
    assert dirigent("people", "owner", "99")[1] == "99 is owner now.\n"
    assert dirigent("people", "remove", "99")[1] == "99 is removed.\n"
    assert "dirigent pair --owner" in dirigent("people")[1]


def test_owners_by_the_settings_are_listed_and_cannot_be_removed_here(dirigent, monkeypatch):
    monkeypatch.setenv("DIRIGENT_OWNERS", "4711")
    assert "4711  owner" in dirigent("people")[1]
    code, _, err = dirigent("people", "remove", "4711")
    assert code == 1
    assert "DIRIGENT_OWNERS" in err


def test_somebody_unknown_can_be_blocked_but_not_removed(dirigent):
    code, _, err = dirigent("people", "remove", "5")
    assert code == 1
    assert "nobody with the id '5'" in err
    assert dirigent("people", "block", "5")[0] == 0
    assert "blocked" in dirigent("people")[1]


@pytest.mark.parametrize("words", [("remove",), ("list", "5")])
def test_an_id_goes_with_what_needs_one(dirigent, words):
    assert dirigent("people", *words)[0] == 1
