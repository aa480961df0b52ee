"""kill -9 right after each commit of a pipeline's run, in real processes: taken up again, it comes to the same end.

On workers a life takes seconds, most of them until the death of the one before is noticed: there it is after each
fourth commit, by several processes side by side.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.testing.engines import on_workers

LIVES = Path(__file__).with_name("pipeline_lives.py")
EVERY, BESIDE = (4, 3) if on_workers() else (1, 1)


async def lives_of(folder: Path, scenario: str) -> list[dict[str, Any]]:
    """Return how the run ended for each moment of the kill; the last one was not killed any more."""
    async with asyncio.TaskGroup() as group:
        parts = [group.create_task(some_lives_of(folder, scenario, part)) for part in range(BESIDE)]
    lives = [life for part in parts for life in part.result()]
    whole = [life for life in lives if not life["killed"]]
    assert len(whole) == BESIDE
    return [*sorted((life for life in lives if life["killed"]), key=lambda life: int(life["commits"])), whole[0]]


async def some_lives_of(folder: Path, scenario: str, part: int) -> list[dict[str, Any]]:
    """Return the lives of one process: every so many, from a first one on."""
    words = (str(folder), scenario, str(1 + part * EVERY), str(EVERY * BESIDE))
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(LIVES), *words, stdout=asyncio.subprocess.PIPE, cwd=LIVES.parents[2]
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    return [json.loads(line) for line in output.splitlines()]


def same_end(lives: list[dict[str, Any]], *, but: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the end that all lives have come to, but for some of what is told of it."""
    last = lives[-1]
    assert not last["killed"]
    assert len(lives) > 20 / EVERY
    for life in lives[:-1]:
        assert life == {**last, "killed": True, "commits": life["commits"], **{name: life[name] for name in but}}
    return last


@pytest.mark.crash
@pytest.mark.timeout(600)
async def test_a_revision_that_is_killed_after_any_commit_comes_to_the_same_end(tmp_path: Path):
    end = same_end(await lives_of(tmp_path, "revision"))

    assert (end["status"], end["answer"], end["runs"]) == ("COMPLETED", "1 red door+2 red door", 1)
    assert end["decisions"] == [["revise", "make it red"], ["allow", ""]]
    assert end["questions"] == ["make it red"]
    assert end["ran_again"] == []
    assert end["steps"]["shots-r2__1"] == "COMPLETED"


@pytest.mark.crash
@pytest.mark.timeout(600)
async def test_lists_and_nested_pipelines_that_are_killed_after_any_commit_come_to_the_same_end(tmp_path: Path):
    end = same_end(await lives_of(tmp_path, "lists"))

    assert (end["status"], end["answer"], end["runs"]) == ("COMPLETED", "doors!x0!z2!", 1)
    assert end["events"] == [{"lost": [{"index": 1, "item": "bad", "error": "bad it is"}]}]
    assert end["ran_again"] == []


@pytest.mark.crash
@pytest.mark.timeout(600)
async def test_a_chain_that_is_killed_after_any_commit_carries_out_each_step_once_and_counts_once(tmp_path: Path):
    end = same_end(await lives_of(tmp_path, "chain"))

    assert (end["status"], end["answer"], end["runs"]) == ("COMPLETED", "doors++++ in the end", 1)
    assert end["history"] == [1, 0, ["COMPLETED"]]
    assert end["ran_again"] == []
    assert set(end["steps"].values()) == {"COMPLETED"}


@pytest.mark.crash
@pytest.mark.timeout(600)
async def test_a_chain_that_fails_stops_there_and_has_failed_once_whenever_it_is_killed(tmp_path: Path):
    lives = await lives_of(tmp_path, "broken")
    end = same_end(lives, but=("answer",))  # whether it lists the outputs that there are not, depends on the moment

    assert (end["status"], end["runs"], end["history"]) == ("FAILED", 1, [0, 1, ["FAILED"]])
    assert all("bad it is" in life["answer"] for life in lives)
    assert end["ran_again"] == []
    assert end["steps"]["p__z"] == "CANCELLED"
