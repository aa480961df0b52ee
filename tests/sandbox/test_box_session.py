"""A box and the terminal that it was started from."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from sandbox.api import Job, JobStatus
from sandbox.boxes import Box


async def test_a_box_is_no_member_of_our_terminals_process_group(any_box: Box) -> None:
    """Ctrl-C goes to the whole group: a box in it would die before we could stop the step in order."""
    await any_box.warm()
    children = (await asyncio.to_thread(_children))[os.getpid()]
    assert children
    assert os.getpgrp() not in {os.getpgid(child) for child in children}
    assert (await any_box.run(Job("shell", "true"))).status is JobStatus.EXIT


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                with (folder / "stat").open(encoding="utf-8") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
            except OSError:
                continue
            found.setdefault(parent, []).append(int(folder.name))
    return found
