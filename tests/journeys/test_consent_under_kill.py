"""kill -9 right after a commit of a run that asks about three calls at once: taken up again, it ends the same."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

LIVES = Path(__file__).with_name("consent_lives.py")
STRIDE = "4"  # every commit takes a minute; `consent_lives.py FOLDER` does that


@pytest.mark.crash
@pytest.mark.timeout(600)
async def test_calls_asked_about_together_that_are_killed_after_any_commit_come_to_the_same_end(tmp_path: Path):
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(LIVES), str(tmp_path), STRIDE, stdout=asyncio.subprocess.PIPE, cwd=LIVES.parents[2]
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    lives = [json.loads(line) for line in output.splitlines()]
    last = lives[-1]
    assert not last["killed"]
    assert len(lives) > 8
    for life in lives[:-1]:
        assert life == {**last, "killed": True, "commits": life["commits"]}
    assert last["sent"] == ["ada", "bobby"]
    assert last["decisions"] == [["ada", "allow"], ["bob", "edit"], ["bobby", "allow"], ["eve", "deny"]]
    assert last["shown"] == [["ada", "allow"], ["bobby", "allow"], ["eve", "deny"]]
    assert (last["edits"], last["buttons"]) == (1, [])
