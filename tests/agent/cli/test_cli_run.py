"""`dirigent run`: a pipeline from a file to its outputs, as a process; and what it says without running anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.planning.pipeline import schema

COUNT = """\
name: count
inputs: {file: file, factor: {type: integer, default: 1}}
steps:
  - {id: read, use: read_file, args: {path: "{{ inputs.file }}"}}
  - {id: words, use: value, args: {value: "{{ (steps.read.text.split() | length) * inputs.factor }}"}}
outputs: {words: "{{ steps.words.output }} words"}
"""
Process = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def process(home: Path, tmp_path: Path) -> Process:
    """Run the command line as a process, in a folder with a pipeline and a file."""
    here = tmp_path / "here"
    here.mkdir()
    (here / "count.yaml").write_text(COUNT)
    (here / "notes.txt").write_text("one two\nthree\n")
    root = Path(__file__).parents[3]

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "agent", *words],
            cwd=here,
            env={**os.environ, "DIRIGENT_HOME": str(home), "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=100,
            check=False,
        )

    return run


def test_a_file_is_run_and_its_outputs_are_the_answer(process: Process):
    done = process("run", "count.yaml", "--model", "offline", "--input", "file=notes.txt", "--input", "factor=2")
    assert (done.returncode, done.stdout) == (0, "6 words\n"), done.stderr


def test_an_old_run_goes_on_from_a_step(process: Process):
    first = process("run", "count.yaml", "--model", "offline", "--input", "file=notes.txt", "--json")
    ref = json.loads(first.stdout.splitlines()[-1])["run"]

    again = process("run", f"--run={ref}", "--from", "words", "--model", "offline")
    wrong = process("run", f"--run={ref}", "--from", "word", "--model", "offline")

    assert (again.returncode, again.stdout) == (0, "3 words\n"), again.stderr
    assert "Did you mean 'words'?" in wrong.stderr


def test_a_dry_run_shows_the_plan_and_runs_nothing(process: Process, home: Path, tmp_path: Path):
    done = process("run", "count.yaml", "--dry-run", "--picture", "plan.png")
    assert done.returncode == 0, done.stderr
    assert "├─ read: read_file" in done.stdout.replace("└─ read", "├─ read")
    assert "Outside: nothing is changed" in done.stdout
    assert "Changes and sends nothing outside." in done.stdout
    assert (tmp_path / "here" / "plan.png").read_bytes().startswith(b"\x89PNG")
    assert not (home / "journal.db").exists()


def test_the_schema_is_printed(dirigent):
    code, out, _ = dirigent("run", "--schema")
    assert (code, json.loads(out)) == (0, json.loads(json.dumps(schema())))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run"], "Name one pipeline, or an old run."),
        (["run", "x", "--from", "a"], "--run and --from go together."),
        (["run", "x", "--picture", "p.png"], "--picture belongs to --dry-run."),
        (["run", "nothing"], "There is no pipeline 'nothing'."),
        (["run", "nothing", "--dry-run"], "There is no pipeline 'nothing'."),
    ],
)
def test_wrong_use_is_answered_with_the_way_on(dirigent, words, said):
    code, _, err = dirigent(*words, *(["--model", "offline"] if len(words) > 1 else []))
    assert code == 1
    assert said in err
