"""Requests carried out without a model, as a process: real files, the real sandbox, answers with the right numbers."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

DICE = '''"""Roll dice."""
import random
from plugins.api import tool

@tool(examples=("roll {times} dice with {sides} sides",))
def roll(sides: int = 6, times: int = 1) -> list[int]:
    """Roll a die and return what came up."""
    return [random.randint(1, sides) for _ in range(times)]
'''
NAMELESS = '''"""Nothing is said about its tool."""
from plugins.api import tool

@tool
def nothing(a: int):
    return a
'''


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with files, and a home with plugins."""
    monkeypatch.setenv("DIRIGENT_HOME", str(tmp_path / "home"))
    plugins, folder = tmp_path / "home" / "plugins", tmp_path / "here"
    plugins.mkdir(parents=True)
    folder.mkdir()
    (plugins / "dice.py").write_text(DICE, encoding="utf-8")
    (plugins / "nameless.py").write_text(NAMELESS, encoding="utf-8")
    with (folder / "sales.csv").open("w", newline="", encoding="utf-8") as file:
        rows = [
            (f"2026-{month:02d}-15", region, month * 10.5) for month in range(1, 13) for region in ("North", "South")
        ]
        csv.writer(file).writerows([("date", "region", "revenue"), *rows])
    (folder / "umsatz.csv").write_bytes(
        "Datum;Filiale;Umsatz\n31.01.2026;Köln;1.234,50\n28.02.2026;Köln;0,50\n".encode("cp1252")
    )
    (folder / "notes.md").write_text("# Notes\n\nTODO: call\n", encoding="utf-8")
    return folder


def asks(folder: Path, *words: str) -> list[dict]:
    """Return what `dirigent chat --json` says to one request."""
    command = [sys.executable, "-P", "-m", "agent", "chat", "--json", "--model", "offline", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200, check=False)
    return [json.loads(line) for line in done.stdout.splitlines()]


def answer(said: list[dict]) -> dict:
    return [record for record in said if record["type"] == "answer"][-1]


@pytest.mark.parametrize(
    ("request_text", "expected"),
    [
        ("total revenue by region from sales.csv", "819"),
        ("how much revenue did we make in March in sales.csv", "63"),
        ("total Umsatz in umsatz.csv", "1,235"),
        ("what is 15% of 240", "15% of 240 = 36"),
        ("find TODO in notes.md", "notes.md:3: TODO: call"),
        ("how many words are in notes.md?", "4 words"),
        ("read missing.txt", "There is no file 'missing.txt'"),
        ("average colour in sales.csv", "Its columns are date"),
    ],
)
def test_the_answer_holds_the_number_or_says_the_way_on(here, request_text, expected):
    assert expected in answer(asks(here, request_text))["text"]


def test_a_chart_in_a_report_is_delivered_as_files(here):
    said = asks(here, "make a PDF report with a chart of revenue by region from sales.csv")
    files = [Path(name) for name in answer(said)["files"]]
    assert {file.suffix for file in files} == {".png", ".pdf"}
    assert all(file.is_absolute() and file.stat().st_size > 1_000 for file in files)


def test_a_persons_own_plugin_is_used_in_plain_words_and_as_a_command(here):
    rolled = json.loads(answer(asks(here, "roll two dice with 20 sides"))["text"])
    assert len(rolled) == 2
    assert all(1 <= number <= 20 for number in rolled)
    assert len(json.loads(answer(asks(here, "/roll sides=6 times=3"))["text"])) == 3


def test_a_plugin_with_a_mistake_is_named_and_the_others_work(here):
    command = [sys.executable, "-P", "-m", "agent", "plugins"]
    listed = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=200, check=False)
    said = listed.stdout + listed.stderr
    assert "nameless" in said
    assert "docstring" in said
    assert "roll" in said
