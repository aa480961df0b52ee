"""`dirigent serve` where workers do the work: one of any number of processes is at the desk, the others stand by."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from loguru import logger

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from agent.app import App
    from agent.channels.telegram.channel import TelegramChannel
    from agent.store.desk import Desk

AT_THE_DESK = "At the desk."
STANDING_BY = "Another process has the desk; standing by."


async def keep_desk(app: App, desk: Desk, channel: TelegramChannel | None) -> None:
    """Wait for the desk, then poll, send, fire and tidy up; ends when another process has it, or one of these ends.

    `channel` is the bot's where it is called by Telegram, which any process may be; else this makes its own.
    """
    from agent.cli.serve import add_telegram

    async with desk.taken() as lost:
        logger.info(AT_THE_DESK)
        print(AT_THE_DESK, flush=True)
        works: list[Coroutine[Any, Any, None]] = []
        if channel is None and app.config.telegram_token is not None:
            works.append((await add_telegram(app)).serve())
        await app.orchestrator.resume()  # what triggers began may report to no channel of ours
        works += [app.sender.run(), app.automation.run(), app.orchestrator.keep_house(), _until(lost)]
        tasks = [asyncio.create_task(work) for work in works]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()
    logger.warning("Another process is at the desk now; this one begins anew, and stands by")


async def _until(event: asyncio.Event) -> None:
    await event.wait()
