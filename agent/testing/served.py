"""Dirigent as a real process between the fake servers: killed in the middle, or talked to through pipes."""

from __future__ import annotations

import asyncio
import functools
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from agent.testing.engines import environment_of, on_workers
from agent.testing.telegram_world import TOKEN

if TYPE_CHECKING:
    from agent.testing.openai_server import FakeOpenAI
    from agent.testing.telegram_server import FakeTelegram

OWNER = 11


async def started(
    home: Path,
    telegram: FakeTelegram,
    *words: str,
    model: FakeOpenAI | None = None,
    errors: IO[bytes] | None = None,
    **settings: str,
) -> asyncio.subprocess.Process:
    """Start a command of Dirigent in a home of its own, with this model server or none.

    Its standard error goes into the file `errors`, or to ours. `settings` are further environment values, such as
    `DIRIGENT_POLICY__MODE`.
    """
    environment = {
        "PATH": os.environ["PATH"],
        "DIRIGENT_HOME": str(home),
        "DIRIGENT_TELEGRAM_TOKEN": TOKEN,
        "DIRIGENT_TELEGRAM_BASE_URL": telegram.base_url,
        "DIRIGENT_OWNERS": str(OWNER),
        "DIRIGENT_MODEL": "offline",
    }
    if model is not None:
        environment |= {
            "DIRIGENT_MODEL": "fake-model",
            "OPENAI_API_KEY": "test-key",
            "OPENAI_BASE_URL": model.base_url,
        }
    environment |= environment_of(home) | settings
    quiet = asyncio.subprocess.DEVNULL
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent", *words, env=environment, stdout=quiet, stderr=errors
    )


@asynccontextmanager
async def serving(
    home: Path,
    telegram: FakeTelegram,
    model: FakeOpenAI | None = None,
    errors: IO[bytes] | None = None,
    **settings: str,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `dirigent serve`, beside a worker where workers are tested; the end of the block kills with SIGKILL."""
    words = ("serve", "worker") if on_workers() else ("serve",)
    processes = [await started(home, telegram, word, model=model, errors=errors, **settings) for word in words]
    try:
        yield processes[0]
    finally:
        await _end(processes)


async def converse(
    folder: Path, model: FakeOpenAI, stdin: str, *words: str, seconds: float = 120.0, **settings: str
) -> tuple[int, str, str]:
    """Run `dirigent chat` in a folder on lines from a pipe; return exit code, standard output and standard error.

    Where workers are tested, one works beside it. `settings` are further environment values, such as
    `DIRIGENT_POLICY__MODE`.
    """
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "DIRIGENT_HOME": str(folder / "home"),
        "DIRIGENT_MODEL": "fake-model",
        "OPENAI_BASE_URL": model.base_url,
        **environment_of(folder / "home"),
        **settings,
    }
    quiet, pipe = asyncio.subprocess.DEVNULL, asyncio.subprocess.PIPE
    start = functools.partial(
        asyncio.create_subprocess_exec, sys.executable, "-m", "agent", cwd=folder, env=environment
    )
    processes = [await start("worker", stdout=quiet, stderr=quiet)] if on_workers() else []
    try:
        process = await start("chat", *words, stdin=pipe, stdout=pipe, stderr=pipe)
        processes.append(process)
        out, err = await asyncio.wait_for(process.communicate(stdin.encode()), seconds)
    finally:
        await _end(processes)
    return process.returncode or 0, out.decode(), err.decode()


async def _end(processes: list[asyncio.subprocess.Process]) -> None:
    for process in processes:
        if process.returncode is None:
            process.kill()
        await process.wait()
