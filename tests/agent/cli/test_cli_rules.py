"""`dirigent rules`: the owner's own rules from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Dirigent = Callable[..., tuple[int, str, str]]
MAIL = '''"""Mail."""
from plugins.api import tool

@tool(effect="once", content_args=["text"])
def mail(to: str, text: str = "", copies: int = 0) -> str:
    """Write to somebody."""
    return to
'''


@pytest.fixture(autouse=True)
def at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIRIGENT_MODEL", "offline")
    (home / "plugins").mkdir(parents=True)
    (home / "plugins" / "mail.py").write_text(MAIL)


def test_rules_are_made_listed_and_taken_back(dirigent: Dirigent):
    assert dirigent("rules")[1].startswith("No rules of your own.")
    assert dirigent("rules", "never", "web.*")[1] == "Rule 1: never web.*\n"
    code, out, _ = dirigent("rules", "allow", "mail", "to=ada@example.org", "copies=2", "--days", "7")
    assert code == 0
    assert out.startswith('Rule 2: allow mail.mail(to="ada@example.org", copies=2) until 20')
    assert dirigent("rules", "know", "bob", "bob@example.org")[1] == "Known: bob is bob@example.org\n"
    listed = dirigent("rules")[1]
    assert "  1  never web.*" in listed
    assert "bob is bob@example.org" in listed
    stored = json.loads(dirigent("rules", "--json")[1])
    assert (len(stored["rules"]), stored["known"]) == (2, {"bob": "bob@example.org"})
    assert dirigent("rules", "remove", "1")[1] == "Taken back: never web.*\n"
    assert dirigent("rules", "know", "bob")[1] == "bob is no longer known.\n"
    assert "never" not in dirigent("rules")[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("never",), "needs more words"),
        (("never", "mial"), "There is no tool 'mial'"),
        (("allow", "mail", "ada"), "'ada' says no argument"),
        (("allow", "mail"), "has to say what 'to'"),
        (("remove", "x"), "'x' is no number"),
        (("remove", "7"), "There is no rule 7"),
        (("know", "eve"), "Nobody is known as 'eve'"),
    ],
)
def test_what_can_not_be_is_said_with_a_way_on(dirigent: Dirigent, words: tuple[str, ...], said: str):
    code, _, error = dirigent("rules", *words)
    assert code == 1
    assert said in error
