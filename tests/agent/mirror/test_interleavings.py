"""Two hosts that take turns in any order end with the same files, and what was kept last is what both have."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from typing import Any

import pytest

Hosts = Callable[..., Any]
NAMES = ("a", "b", "d/a", "d/b", "d", "e/f/g", "leer")


def write(at: Any, dice: random.Random) -> None:
    """Do what a program does with its files: write one, remove one, put a folder where a file was."""
    name = dice.choice(NAMES)
    path = at.work / name
    if dice.random() < 0.3:
        shutil.rmtree(path, ignore_errors=True)
        if path.is_file():
            path.unlink()
        return
    for above in reversed(path.relative_to(at.work).parents):
        if (at.work / above).is_file():
            (at.work / above).unlink()
    if path.is_dir():
        shutil.rmtree(path)
    at.put(name, str(dice.random()) if name != "leer" else "")


@pytest.mark.parametrize("seed", range(5))
async def test_hosts_that_take_turns_have_the_same_files(host: Hosts, seed: int) -> None:
    dice = random.Random(seed)
    names, cut_off = ("one", "two", "three"), set[str]()
    seen, now = dict.fromkeys(("one", "two", "three"), 0), 0  # which state of the storage each has seen last
    expected: dict[str, str] = {}
    for turn in range(25):
        name = dice.choice(names)
        at = host(name)  # a new process each time: only the home is left of the one before
        await at.mirror.take_up(at.session, turn)
        if name not in cut_off or seen[name] != now:  # what was cut off stays only until somebody else has worked
            assert at.names() == expected, f"turn {turn} of {name}"
            cut_off.discard(name)
        seen[name] = now
        for _ in range(dice.randint(0, 4)):
            write(at, dice)
        if dice.random() < 0.25:
            cut_off.add(name)
        else:
            await at.mirror.keep(at.session)
            now += at.names() != expected
            expected, seen[name] = at.names(), now
            cut_off.discard(name)
        at.mirror.let_go(turn)
    last = host("four")
    await last.mirror.fetch(last.session)
    assert last.names() == expected
