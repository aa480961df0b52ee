"""Several calls at once in the terminal, as a process: one by one, one of them changed, the rest with one key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agent.planning.notation import render
from agent.testing import served, step
from agent.testing.openai_script import Playbook, Rule
from agent.testing.openai_server import FakeOpenAI
from tests.journeys.conftest import PURPOSES

PLUGIN = '''
"""Letters."""

from pathlib import Path

from plugins.api import tool


@tool(effect="once")
def post_letter(to: str, copies: int = 1) -> str:
    """Post a letter."""
    with Path("posted.txt").open("a") as log:
        log.write(f"{to} {copies}\\n")
    return f"posted to {to}"
'''


async def converse(folder: Path, stdin: str, *words: str) -> tuple[int, str, str]:
    """Run `dirigent chat` on lines from a pipe, with a plan of three letters."""
    plan = render("Letters", [step(f"s{n}", "post_letter", to=to) for n, to in enumerate(("ada", "bob", "eve"))])
    book = Playbook(
        rules=[Rule((plan,), purpose=PURPOSES["plan"]), Rule(("The letters are posted.",), purpose=PURPOSES["answer"])]
    )
    (folder / "home" / "plugins").mkdir(parents=True)
    (folder / "home" / "plugins" / "letters.py").write_text(PLUGIN)
    async with FakeOpenAI(book) as model:
        return await served.converse(folder, model, stdin, *words, DIRIGENT_POLICY__MODE="always")


def posted(folder: Path) -> list[str]:
    (found,) = (folder / "home").glob("sessions/*/work/posted.txt")
    return sorted(found.read_text().splitlines())


async def test_calls_are_decided_one_by_one_and_one_is_changed(tmp_path: Path):
    lines = ["post three letters", "o", "e", "2", "two", "2", "y", "n", "l", "y"]
    code, _out, aside = await converse(tmp_path, "\n".join(lines) + "\n")
    assert code == 0, aside
    assert posted(tmp_path) == ["ada 2", "eve 1"]
    assert "? 3 calls wait for your word" in aside
    assert "? Call 1 of 3" in aside
    assert "'copies' must be a whole number" in aside


async def test_a_program_decides_about_all_with_one_key(tmp_path: Path):
    code, out, aside = await converse(tmp_path, "post three letters\ny\n", "--json")
    assert code == 0, aside
    told: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    (asked,) = [line for line in told if line["type"] == "approval"]
    assert asked["keys"] == {"y": "Allow all", "n": "Deny all", "o": "One by one"}
    assert [call["details"] for call in asked["calls"]] == [{"to": to, "copies": 1} for to in ("ada", "bob", "eve")]
    assert posted(tmp_path) == ["ada 1", "bob 1", "eve 1"]
