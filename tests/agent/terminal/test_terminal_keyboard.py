"""Reading lines from pipes."""

from __future__ import annotations

import asyncio
import os

from agent.channels.terminal.keyboard import LineKeyboard, NoKeyboard


async def test_a_pipe_is_read_line_by_line_to_its_end():
    read, write = os.pipe()
    os.write(write, "eins\nzwei €\nlast".encode())
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as stream:
        keys = LineKeyboard(stream)
        assert [await keys.ask("") for _ in range(5)] == ["eins", "zwei €", "last", None, None]


async def test_nothing_is_read_before_it_is_asked_for():
    read, write = os.pipe()
    os.write(write, b"one\n")
    with os.fdopen(read, buffering=1) as stream, os.fdopen(write, "w") as end:
        keys = LineKeyboard(stream)
        assert await keys.ask("") == "one"
        waiting = asyncio.create_task(keys.ask(""))
        end.write("two\n")
        end.flush()
        assert await waiting == "two"


async def test_nobody_says_nothing():
    assert await NoKeyboard().ask("?") is None
    assert not NoKeyboard.can_answer
