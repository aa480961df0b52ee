"""The Telegram channel: one bot, one polling process, one way in and one way out."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from loguru import logger
from telegram import Bot
from telegram.error import BadRequest, Forbidden, InvalidToken, TelegramError
from telegram.request import HTTPXRequest

from agent.channels.inbox import Lanes
from agent.channels.pacing import CAREFUL
from agent.channels.telegram.courier import Courier
from agent.channels.telegram.files import Downloads
from agent.channels.telegram.receive import Receiver
from agent.channels.telegram.sendfiles import FileCourier
from agent.channels.telegram.updates import CHANNEL, Reader
from agent.domain.messages import MessageKind
from agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
    from typing import Any

    from agent.channels.base import Hearer
    from agent.channels.pacing import Rates
    from agent.config import AppConfig
    from agent.domain.messages import Destination, InboundMessage, OutboundMessage
    from agent.store.protocol import Store

ACTION_SECONDS = 4.5
LOCK_SECONDS = 1.0
SAID = 200
UPLOAD_SECONDS = 180.0


class TelegramChannel:
    """The `Channel` of chats on Telegram.

    `press` may take a button press before the hearer does (`OutboxSender.press`); `patience` scales the pauses after
    failures. Raises ConfigError when there is no token.
    """

    name = CHANNEL
    rates: Rates | None = CAREFUL

    def __init__(
        self,
        config: AppConfig,
        store: Store,
        hearer: Hearer,
        *,
        press: Callable[[str], Awaitable[str | None]] | None = None,
        patience: float = 1.0,
    ) -> None:
        self._config = config
        self._store = store
        self._requests = _requests()
        self._bot = _bot(config, *self._requests)
        self._courier = Courier(self._bot)
        self._files = FileCourier(self._bot, self._courier)
        self._downloads = Downloads(self._bot, store, config.folder / "inbox", pause=patience)
        self._lanes = Lanes(store, hearer, prepare=self._downloads.complete, pressed=self._pressed, press=press)
        self._patience = patience
        self._receiver: Receiver | None = None
        self._queries: dict[str, str] = {}
        self._actions: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def last_poll_age(self) -> float | None:
        """Return the seconds since Telegram last answered a poll; None before the first time."""
        last = self._receiver.last_poll if self._receiver is not None else None
        return None if last is None else time.monotonic() - last

    # --- in -----------------------------------------------------------------------------------------------------
    async def serve(self) -> None:
        """Receive until cancelled. Raises ConfigError when Telegram refuses the token at the start."""
        async with self._only_poller(), self._ending(), self._lanes as lanes:
            waiting = await lanes.replay(self.name)
            logger.info("{} messages were waiting to be heard", waiting)
            await self._connect()
            reader = Reader(self._bot.id, self._bot.username, self._config.owners, self._config.telegram.groups)
            self._receiver = Receiver(
                self._bot,
                self._store,
                reader,
                lanes,
                poll_seconds=self._config.telegram.poll_seconds,
                queried=self._queries.__setitem__,
                refused=self._refuse,
                patience=self._patience,
            )
            await self._receiver.run()

    async def _connect(self) -> None:
        """Learn who we are, however long the network takes."""
        failures = 0
        while True:
            try:
                await self._bot.initialize()
            except InvalidToken:
                # The library's message holds the token, so it must not be chained.
                raise ConfigError(
                    "Telegram does not accept the bot's token.",
                    hint="Copy it from @BotFather into DIRIGENT_TELEGRAM_TOKEN.",
                ) from None
            except TelegramError as error:
                failures += 1
                pause = min(30.0, 0.5 * 2.0 ** min(failures, 8)) * self._patience
                logger.warning("Telegram can't be reached ({}); trying again in {:.1f} s", error, pause)
                await asyncio.sleep(pause)
            else:
                logger.info("Telegram: @{} ({})", self._bot.username, self._bot.id)
                return

    @asynccontextmanager
    async def _only_poller(self) -> AsyncIterator[None]:
        """Hold the lock file; wait while another process of ours has it. The system frees it when a process dies."""
        path = self._config.folder / "telegram.lock"
        await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
        lock = FileLock(path)
        told = False
        while not lock.is_locked:
            try:
                lock.acquire(timeout=0)
            except Timeout:
                if not told:
                    logger.warning("Another Dirigent receives for this home ({}); waiting for it to end", path)
                told = True
                await asyncio.sleep(LOCK_SECONDS * self._patience)
        try:
            yield
        finally:
            lock.release()

    @asynccontextmanager
    async def _ending(self) -> AsyncIterator[None]:
        """Leave no task behind."""
        try:
            yield
        finally:
            await self._end_tasks()

    async def _end_tasks(self) -> None:
        tasks = [*self._tasks, *self._actions.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- presses ------------------------------------------------------------------------------------------------
    async def _pressed(self, message: InboundMessage, said: str) -> None:
        """Tell Telegram the outcome of a press, which is committed by now. After a restart there is nobody to tell."""
        query = self._queries.pop(message.update_id, None)
        if query is not None:
            await self._answer(query, said, alert=said.startswith(("Too late", "Something went wrong")))

    def _refuse(self, query: str) -> None:
        self._own(self._answer(query, "Only the owner of this bot can do that.", alert=True))

    async def _answer(self, query: str, said: str, *, alert: bool) -> None:
        try:
            await self._bot.answer_callback_query(query, said[:SAID] or None, show_alert=alert)
        except TelegramError as error:
            logger.info("A press could not be answered: {}", error)

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        self._keep(asyncio.create_task(work))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- out ----------------------------------------------------------------------------------------------------
    async def deliver(self, message: OutboundMessage) -> str:
        """Bring the chat one step nearer to what the message says; see `Channel.deliver`."""
        if message.kind is MessageKind.FILES:
            return await self._files.deliver(message)
        return await self._courier.deliver(message)

    def busy(self, dest: Destination, *, on: bool) -> None:
        """Show "typing …" in the chat and topic until it is switched off."""
        place = (dest.chat_id, dest.thread_id)
        running = self._actions.pop(place, None) if not on else self._actions.get(place)
        if not on:
            if running is not None:
                running.cancel()
                self._keep(running)
        elif running is None or running.done():
            self._actions[place] = asyncio.create_task(self._keep_typing(*place))

    async def _keep_typing(self, chat_id: str, thread_id: str) -> None:
        """Renew the chat action before it fades; a sign of life is not worth a retry."""
        while True:
            try:
                await self._bot.send_chat_action(
                    int(chat_id), "typing", message_thread_id=int(thread_id) if thread_id else None
                )
            except (BadRequest, Forbidden) as error:
                logger.info("No chat action in {}: {}", chat_id, error)
                return
            except TelegramError as error:
                logger.debug("The chat action was not renewed: {}", error)
            await asyncio.sleep(ACTION_SECONDS)

    async def close(self) -> None:
        """Give the connections back. Nothing can be delivered after that."""
        await self._end_tasks()
        for request in self._requests:
            await request.shutdown()


def _requests() -> tuple[HTTPXRequest, HTTPXRequest]:
    """Return the connections for polling and for everything else."""
    polling = HTTPXRequest(connection_pool_size=2, read_timeout=15.0, connect_timeout=10.0)
    sending = HTTPXRequest(
        connection_pool_size=64,
        read_timeout=20.0,
        write_timeout=20.0,
        connect_timeout=10.0,
        pool_timeout=20.0,
        media_write_timeout=UPLOAD_SECONDS,
    )
    return polling, sending


def _bot(config: AppConfig, polling: HTTPXRequest, sending: HTTPXRequest) -> Bot:
    if config.telegram_token is None:
        raise ConfigError(
            "There is no Telegram token.", hint="Get one from @BotFather and set DIRIGENT_TELEGRAM_TOKEN."
        )
    # At INFO these log every address, and with it the token.
    for name in ("httpx", "httpcore", "telegram"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # The library's coming behaviour; without it, every 429 is a deprecation warning.
    os.environ.setdefault("PTB_TIMEDELTA", "true")
    root = config.telegram_base_url.rstrip("/")
    return Bot(
        config.telegram_token.get_secret_value(),
        base_url=f"{root}/bot",
        base_file_url=f"{root}/file/bot",
        request=sending,
        get_updates_request=polling,
    )
