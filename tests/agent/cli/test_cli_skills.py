"""`dirigent skills` and `dirigent logs` from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Dirigent = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIRIGENT_MODEL", "offline")


def test_a_skill_is_made_checked_shown_and_listed(dirigent: Dirigent, home: Path):
    assert dirigent("skills")[1].startswith("There are no skills")
    code, out, _ = dirigent("skills", "new", "invoices")
    assert (code, (home / "skills" / "invoices" / "SKILL.md").is_file()) == (0, True)
    assert "Fill it in" in out
    assert dirigent("skills", "check")[0] == 0
    assert "How to do it" in dirigent("skills", "show", "invoices")[1]
    assert dirigent("skills")[1].startswith("invoices\n")
    (told,) = json.loads(dirigent("skills", "--json")[1])
    assert (told["name"], told["error"]) == ("invoices", "")


def test_what_is_wrong_with_a_skill_ends_a_check_with_its_line(dirigent: Dirigent, home: Path):
    folder = home / "skills" / "invoices"
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text("---\nname: invoices\n---\nx")
    code, out, _ = dirigent("skills", "check")
    assert code == 1
    assert f"{folder / 'SKILL.md'}, line 1: `description:` is missing" in out
    assert "! " in dirigent("skills")[1]
    assert dirigent("skills", "show", "invoices")[0] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("new",), "Which skill?"),
        (("new", "Bad Name"), "can't be called"),
        (("show", "nothing"), "There is no skill 'nothing'"),
    ],
)
def test_what_can_not_be_is_said_with_a_way_on(dirigent: Dirigent, words: tuple[str, ...], said: str):
    code, _, error = dirigent("skills", *words)
    assert code == 1
    assert said in error


def test_a_skill_that_is_there_is_not_written_over(dirigent: Dirigent, home: Path):
    dirigent("skills", "new", "invoices")
    (home / "skills" / "invoices" / "SKILL.md").write_text("mine")
    code, _, error = dirigent("skills", "new", "invoices")
    assert code == 1
    assert "is there already" in error
    assert (home / "skills" / "invoices" / "SKILL.md").read_text() == "mine"


def test_the_log_of_a_request_is_printed_by_its_id_and_by_its_run(dirigent: Dirigent, home: Path):
    assert dirigent("chat", "what is 2 + 2")[0] == 0
    corr_id, ref, *_ = dirigent("logs")[1].split()
    line = f"2030-01-01T00:00:00.000+00:00 INFO    {corr_id} agent.x:1 a line about it\n"
    with (home / "logs" / "dirigent.log").open("a") as file:
        file.write(line + line.replace(corr_id, "E-00000000"))
    for name in (corr_id, ref, corr_id.lower()):
        code, out, _ = dirigent("logs", name)
        assert code == 0
        assert out.splitlines()[-1] == line.strip()
    assert "holds nothing" in dirigent("logs", "E-12345678")[1]
    code, _, error = dirigent("logs", "nobody")
    assert (code, "There is no run 'nobody'" in error) == (1, True)
