"""`dirigent serve`: answers on Telegram and carries out what is due, until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING

from agent.errors import ConfigError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Coroutine
    from typing import Any

    from agent.config import AppConfig

EXAMPLES = """\
examples:
  dirigent serve
  DIRIGENT_TELEGRAM_TOKEN_FILE=/run/secrets/token dirigent serve

Ctrl-C or SIGTERM ends it in good order: what is unfinished goes on after the next start.
Warnings go to standard error, everything to logs/dirigent.log in the home.
"""


def parser(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Declare the arguments."""
    made.epilog = EXAMPLES
    return made


def run(arguments: argparse.Namespace) -> int:
    """Serve until stopped. Raises ConfigError when there is nobody to serve."""
    from agent.cli.opening import open_config

    config = open_config(arguments, to_stderr=True)
    if config.telegram_token is None:
        raise ConfigError(
            "There is no bot to serve: telegram_token is not set.",
            hint="`dirigent init` sets it up; `dirigent chat` works without.",
        )
    asyncio.run(serve(config))
    return 0


async def serve(config: AppConfig) -> None:
    """Join everything, say what is in use, and work until SIGINT or SIGTERM."""
    from agent.app import plugin_commands
    from agent.channels.telegram.channel import TelegramChannel
    from agent.cli.chat import opened
    from agent.llm.hearing import build_listener
    from agent.parts import sandbox_policy
    from sandbox.boxes import rung_of

    async with opened(config) as (app, model):
        listener = build_listener(config, app.llm)
        channel = TelegramChannel(
            config,
            app.store,
            app.reception,
            press=app.sender.press,
            listener=listener,
            plugins=plugin_commands(app.catalogue),
        )
        await app.add_channel(channel)
        rung = await rung_of(sandbox_policy(config))
        print(f"{model}\nSandbox {rung.name}: {rung.stance} {rung.remedy}".rstrip(), flush=True)
        await until_stopped([channel.serve(), app.sender.run(), app.automation.run()], "Serving; Ctrl-C ends it.")


async def until_stopped(works: list[Coroutine[Any, Any, None]], ready: str) -> None:
    """Run the works until a signal comes or one of them ends; then cancel all, in order. Raises what ended it."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    print(ready, flush=True)  # only now: whoever reads it may send a signal
    tasks = [asyncio.create_task(work) for work in works]
    stopped = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait([*tasks, stopped], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in [*tasks, stopped]:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
    for task in done:
        task.result()
