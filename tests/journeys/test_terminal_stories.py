"""The same story in the terminal, as a process: plain lines and JSON lines, against a real model server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.planning.notation import render
from agent.testing import served, step
from agent.testing.openai_script import Playbook, Rule
from agent.testing.openai_server import FakeOpenAI
from tests.journeys.conftest import PURPOSES

SALES = "month,region,sales\n2026-01,North,10\n2026-02,North,14\n2026-01,South,7\n"


def book() -> Playbook:
    """Play the model: parallel steps and a question, a step that fails, a new plan, the answer."""
    first = render(
        "Sales by month",
        [
            step("s1", "aggregate", file="sales.csv", y="sales", by="region", how="sum"),
            step("s2", "write_file", path="table.csv", text="region,total\nNorth,24\n", outputs=("table.csv",)),
            step("s3", ask="Which kind of chart?", options=("bar", "line"), after=("s1",)),
            step("s4", "read_file", path="nowhere.txt", after=("s3",)),
        ],
    )
    chart = step("s5", "chart", file="sales.csv", y="sales", x="month", kind="{{ s3.output }}", path="sales.png")
    anew = Rule((render("", [chart]),), purpose=PURPOSES["plan"], when="nowhere.txt")
    answer = Rule(("North sold **24**.",), purpose=PURPOSES["answer"])
    return Playbook(rules=[anew, Rule((first,), purpose=PURPOSES["plan"]), answer])


async def converse(folder: Path, *words: str, stdin: str) -> tuple[int, str, str]:
    """Run `dirigent chat` on lines from a pipe; return exit code, standard output and standard error."""
    async with FakeOpenAI(book()) as model:
        return await served.converse(folder, model, stdin, *words)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the table that the request names."""
    (tmp_path / "sales.csv").write_text(SALES)
    return tmp_path


async def test_plain_lines_show_the_plan_the_question_the_answer_and_the_files(folder: Path):
    code, out, err = await converse(folder, stdin="Chart my sales.csv by month\nbar\n")
    assert code == 0, err
    assert "North sold **24**." in out
    assert {Path(line).name for line in out.splitlines() if line.startswith("/")} == {"table.csv", "sales.png"}
    assert "Which kind of chart?" in err
    assert "There is no file 'nowhere.txt'" in err
    assert "Traceback" not in err


async def test_json_lines_tell_a_program_the_same(folder: Path):
    code, out, err = await converse(folder, "--json", stdin="Chart my sales.csv by month\nbar\n")
    assert code == 0, err
    told: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    asked = [line for line in told if line["type"] == "question"]
    assert asked[0]["options"] == ["bar", "line"]
    assert [line["text"] for line in told if line["type"] == "answer"][-1] == "North sold **24**."
    files = [Path(str(path)).name for line in told for path in line.get("files", ())]
    assert list(dict.fromkeys(files)) == ["table.csv", "sales.png"]
