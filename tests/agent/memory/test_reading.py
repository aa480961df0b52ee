"""Whoever stops waiting for a session's files leaves none of them open."""

from __future__ import annotations

import asyncio
import gc
import os
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from agent.memory import memory, session_file
from agent.memory.memory import SessionMemory

READERS = {session_file.FILE_NAME: session_file.load, memory.FILE_NAME: lambda folder: SessionMemory(folder).text()}


@pytest.mark.parametrize(("name", "read"), READERS.items(), ids=list(READERS))
async def test_a_reader_that_is_cancelled_while_a_file_opens_leaves_none_open(
    tmp_path: Path, name: str, read: Callable[[Path], Awaitable[Any]]
):
    os.mkfifo(tmp_path / name)  # it opens when both ends are wanted, and not before
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", ResourceWarning)
        reading = asyncio.ensure_future(read(tmp_path))
        await asyncio.sleep(0)  # a thread opens it now
        other_end = os.open(tmp_path / name, os.O_WRONLY)
        reading.cancel()  # before the loop hears that it is open
        with pytest.raises(asyncio.CancelledError):
            await reading
        os.close(other_end)
        await asyncio.get_running_loop().shutdown_default_executor()
        del reading
        gc.collect()
    assert [str(warning.message) for warning in seen] == []
