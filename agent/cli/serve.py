"""`dirigent serve`: answers on Telegram, takes webhooks and carries out what is due, until it is stopped."""

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

    from agent.app import App
    from agent.channels.telegram.channel import TelegramChannel
    from agent.config import AppConfig
    from sandbox.api import Rung

EXAMPLES = """\
examples:
  dirigent serve
  DIRIGENT_TELEGRAM_TOKEN_FILE=/run/secrets/token dirigent serve
  DIRIGENT_WEB__PORT=8385 dirigent serve          takes webhooks, also without a bot

Webhooks come to POST /hooks/ID (`dirigent schedules webhook` makes them), /health says whether all is well, /metrics
has figures for Prometheus (on this machine, or with web.metrics_token). web.token opens the API,
web.read_token to read: GET /api/automation/status, POST /api/automation/start and stop (as `dirigent schedules
start` and `stop`), /api/runs, pipelines, triggers, events, approvals, audit …; /api/openapi.json describes it.
web.mcp lets other programs ask over MCP at /mcp, with the same token; see `dirigent mcp --help`.
web.pages (or web.password) shows runs, approvals, triggers and all else under /admin; `dirigent web` prints a way in.

With engine = "workers" it takes the messages, and `dirigent worker`s do the work. Several may serve: one is at the
desk, the others stand by (with telegram.webhook_url all take messages; what one had that died, another takes up).

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
    web = config.web
    if config.telegram_token is None and not (web.port or web.mcp or web.pages or web.password):
        raise ConfigError(
            "There is no bot to serve: telegram_token is not set.",
            hint="`dirigent init` sets it up; `dirigent chat` works without, web.port and web.pages need no bot.",
        )
    asyncio.run(serve(config))
    return 0


async def serve(config: AppConfig) -> None:
    """Join everything, say what is in use, and work until SIGINT or SIGTERM."""
    from agent.cli.chat import opened

    stopped = False
    while not stopped:
        async with opened(config) as (app, model):
            stopped = await _serve(app, model)


async def _serve(app: App, model: str) -> bool:
    """Serve until stopped; False when it was another process that took over the desk."""
    from agent.cli.door import open_door
    from agent.parts import sandbox_policy
    from sandbox.boxes import rung_of

    config = app.config
    calls = config.telegram.webhook_url
    shared = config.engine == "workers"
    mine = config.telegram_token is not None and (calls or not shared)  # else whoever is at the desk polls
    channels = [await add_telegram(app)] if mine else []
    rung = await rung_of(sandbox_policy(config))
    print(f"{model}\n{in_words(rung)}", flush=True)
    door = await open_door(app, channels[0].webhook if channels and calls else None, rung.name)
    works = [channel.serve() for channel in channels]
    works += [_at_desk(app, channels[0] if channels else None)] if shared else await _all_of_it(app)
    if door is not None:
        works += [one.run() for one in door]
    return await until_stopped(works, "Serving; Ctrl-C ends it.") or not shared


def in_words(rung: Rung) -> str:
    """Return what is said at the start of the walls that there are."""
    return f"Sandbox {rung.name}: {rung.stance}" + (f". {rung.remedy}" if rung.remedy else "")


async def _all_of_it(app: App) -> list[Coroutine[Any, Any, None]]:
    """Return what a process does that does everything."""
    await app.orchestrator.resume()  # what triggers began may report to no channel of ours
    return [app.sender.run(), app.automation.run()]


async def _at_desk(app: App, channel: TelegramChannel | None) -> None:
    from agent.cli.desk import keep_desk
    from agent.parts import journal_of
    from agent.store.desk import Desk

    await keep_desk(app, Desk(str(journal_of(app.config))), channel)


async def add_telegram(app: App) -> TelegramChannel:
    """Add the bot to the channels and return it."""
    from agent.app import plugin_commands
    from agent.channels.telegram.channel import TelegramChannel
    from agent.llm.hearing import build_listener

    channel = TelegramChannel(
        app.config,
        app.store,
        app.reception,
        press=app.sender.press,
        listener=build_listener(app.config, app.llm),
        plugins=plugin_commands(app.catalogue),
    )
    app.reception.pulses.append(channel.pulse)
    await app.add_channel(channel)
    return channel


async def until_stopped(works: list[Coroutine[Any, Any, None]], ready: str) -> bool:
    """Run the works until a signal comes or one of them ends; then cancel all, in order. Raises what ended it.

    Return whether it was a signal.
    """
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
    return stopped in done
