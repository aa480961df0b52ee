"""A job is followed while it runs: what it writes comes as it is written, and the last item is the result."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from sandbox.api import Job, JobResult, JobStatus, Limits, Policy, Progress, Written
from sandbox.boxes import Box, Boxes
from sandbox.canaries import probe
from sandbox.session import Session

WAITS = Job("shell", "echo one; echo oops >&2; read line < go; echo $line", limits=Limits(wall_s=60))


async def followed(box: Session, folder: Path) -> None:
    """The job goes on only when its first words have been seen, so they cannot have come with the result."""
    folder.mkdir(parents=True, exist_ok=True)
    os.mkfifo(folder / "go")
    seen: dict[str, str] = {"stdout": "", "stderr": ""}
    async for item in box.stream(WAITS):
        match item:
            case Written(stream, text):
                seen[stream] += text
                if seen == {"stdout": "one\n", "stderr": "oops\n"}:
                    await asyncio.to_thread((folder / "go").write_text, "two\n")
            case JobResult() as result:
                assert (result.status, result.stdout.text) == (JobStatus.EXIT, "one\ntwo\n")
            case Progress():
                raise AssertionError("a command has no progress")
    assert seen["stdout"] == "one\ntwo\n"
    assert isinstance(item, JobResult)


async def test_what_a_job_writes_comes_while_it_runs(any_box: Box, folder: Path):
    await followed(any_box, folder)


async def test_no_more_is_told_than_is_kept_and_no_character_comes_in_halves(any_box: Box):
    job = Job(
        "python",
        "import sys\nfor _ in range(4000): sys.stdout.write('äö'); sys.stdout.flush()",
        limits=Limits(output_bytes=999),
    )
    items = [item async for item in any_box.stream(job)]
    text = "".join(item.text for item in items if isinstance(item, Written))
    assert len(text.encode()) in range(900, 1000)
    assert set(text) == {"ä", "ö"}
    assert isinstance(items[-1], JobResult)
    assert items[-1].stdout.dropped > 10_000


async def test_who_stops_following_stops_the_job(any_box: Box, folder: Path):
    await any_box.run(Job("shell", "true"))
    follower = any_box.stream(Job("shell", "echo up; sleep 4724; echo late > late"))
    async for item in follower:
        assert isinstance(item, Written)
        break
    await follower.aclose()
    assert (await any_box.run(Job("shell", "ls"))).stdout.text == ""
    [cell] = any_box._cells.values()
    assert not cell.busy


async def test_several_jobs_of_a_session_run_at_once_each_with_its_own_output(tmp_path: Path):
    """Through the pool, as steps do: all of them have begun before any ends."""
    boxes, folder = Boxes(), tmp_path / "w"
    code = "echo {0} > up{0}; until [ -e up0 -a -e up1 -a -e up2 -a -e up3 ]; do sleep 0.01; done; echo done {0}"
    told: dict[int, list[str]] = {n: [] for n in range(4)}
    jobs = [
        boxes.run(
            "s",
            folder,
            Job("shell", code.format(n), limits=Limits(wall_s=60)),
            None,
            lambda piece, n=n: told[n].append(piece.text),
        )
        for n in range(4)
    ]
    results = await asyncio.gather(*jobs)
    assert [r.stdout.text for r in results] == [f"done {n}\n" for n in range(4)]
    assert {n: "".join(pieces) for n, pieces in told.items()} == {n: f"done {n}\n" for n in range(4)}
    assert boxes.opened() == 1
    await boxes.close()


async def test_a_crash_is_told_to_who_follows_and_the_next_job_gets_a_new_box(tmp_path: Path):
    async with Box("s", tmp_path / "w", Policy(), await probe()) as box:
        items = []
        async for item in box.stream(Job("shell", "echo up; sleep 4725")):
            items.append(item)
            if isinstance(item, Written):
                box._cells[False].kill()
        assert isinstance(items[-1], JobResult)
        assert items[-1].status is JobStatus.SIGNAL
        again = [item async for item in box.stream(Job("shell", "echo back"))]
        assert again[0] == Written("stdout", "back\n")
