"""The Telegram channel: one bot, one polling process, one way in and one way out."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from loguru import logger
from telegram import Bot
from telegram.error import InvalidToken, TelegramError
from telegram.request import HTTPXRequest

from agent.channels.claims import Claims
from agent.channels.inbox import Lanes
from agent.channels.pacing import CAREFUL
from agent.channels.telegram.asked_in_private import AskedInPrivate
from agent.channels.telegram.calls import is_closed
from agent.channels.telegram.courier import Courier
from agent.channels.telegram.directory import CHANNEL, CLOSED_TO_US, Directory
from agent.channels.telegram.drafts import DraftCourier
from agent.channels.telegram.files import Downloads
from agent.channels.telegram.intake import Intake
from agent.channels.telegram.menu import Menu
from agent.channels.telegram.presses import Presses
from agent.channels.telegram.receive import Receiver
from agent.channels.telegram.sendfiles import FileCourier
from agent.channels.telegram.signs import Signs
from agent.channels.telegram.start import FACTS
from agent.channels.telegram.strangers import Doorkeeper
from agent.channels.telegram.tasks import Tasks
from agent.channels.telegram.updates import Reader
from agent.channels.telegram.voices import Voices
from agent.channels.telegram.webhook import Webhook
from agent.domain.messages import MessageKind
from agent.errors import ConfigError, DeliveryRefused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from agent.channels.base import Hearer
    from agent.channels.pacing import Rates
    from agent.config import AppConfig
    from agent.domain.messages import Destination, InboundMessage, OutboundMessage
    from agent.llm.hearing import Listener
    from agent.store.protocol import Store

LOCK_SECONDS = 1.0
UPLOAD_SECONDS = 180.0


class TelegramChannel:
    """The `Channel` of chats on Telegram.

    `press` may take a button press before the hearer does (`OutboxSender.press`); `listener` understands voice
    messages; `plugins` are the plugins' commands for the menu; `patience` scales the pauses after failures. Raises
    ConfigError when there is no token.
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
        listener: Listener | None = None,
        plugins: Mapping[str, str] | None = None,
        patience: float = 1.0,
    ) -> None:
        self._config = config
        self._store = store
        self._requests = _requests()
        self._bot = _bot(config, *self._requests)
        self._directory = Directory(config.owners, config.telegram.groups)
        self._consents = AskedInPrivate(store, self._directory)
        self._courier = Courier(self._bot, moved=self._moved)
        self._drafts = DraftCourier(self._bot)
        self._files = FileCourier(self._bot, self._courier)
        self._downloads = Downloads(self._bot, store, config.folder / "inbox", pause=patience)
        self._listener = listener
        self._tasks = Tasks()
        self._menu = Menu(self._bot, store, plugins or {}, self._tasks)
        self._voices = Voices(store, listener, config.telegram.voice_minutes)
        self._presses = Presses(self._bot, self._tasks)
        self._signs = Signs(self._bot, self._tasks, self._directory.outside, reactions=config.telegram.reactions)
        self._lanes = Lanes(
            store,
            hearer,
            prepare=self._prepare,
            pressed=self._presses.pressed,
            press=press,
            claims=Claims(store, CHANNEL) if config.engine == "workers" else None,
        )
        self._patience = patience
        self._receiver: Receiver | Webhook | None = None
        self._shared = config.engine == "workers" and config.telegram.webhook_url is not None

    def last_poll_age(self) -> float | None:
        """Return the seconds since Telegram last answered a poll; None before the first time."""
        last = self._receiver.last_poll if self._receiver is not None else None
        return None if last is None else time.monotonic() - last

    def pulse(self) -> str:
        """Say when Telegram was last heard of, for /status."""
        age = self.last_poll_age()
        return "Telegram: not reached yet" if age is None else f"Telegram: last heard of {age:.0f} s ago"

    # --- in -----------------------------------------------------------------------------------------------------
    async def serve(self) -> None:
        """Receive until cancelled. Raises ConfigError when Telegram refuses the token at the start."""
        async with self._only_poller(), self._ending(), self._lanes as lanes:
            waiting = await lanes.replay(self.name)
            logger.info("{} messages were waiting to be heard", waiting)
            await self._connect()
            await self._introduce()
            self._receiver = self._way_in(self._intake(lanes))
            try:
                await self._receiver.run()
            finally:
                self._receiver = None

    def _way_in(self, intake: Intake) -> Receiver | Webhook:
        """Return what receives: calls where an address for them is set, else polling."""
        settings = self._config.telegram
        if settings.webhook_url is not None:
            return Webhook(
                self._bot, self._store, intake, settings.webhook_url, patience=self._patience, shared=self._shared
            )
        return Receiver(self._bot, self._store, intake, poll_seconds=settings.poll_seconds, patience=self._patience)

    async def webhook(self, headers: Mapping[str, str], body: bytes) -> int:
        """Take one of Telegram's calls; return the HTTP status for it. 503 while nothing receives calls."""
        receiver = self._receiver
        return await receiver.receive(headers, body) if isinstance(receiver, Webhook) else 503

    async def _introduce(self) -> None:
        """Note what kind of bot this is, and have Telegram show its commands."""
        facts = {
            "reads_groups": bool(self._bot.can_read_all_group_messages),
            "topics": bool(getattr(self._bot.bot, "has_topics_enabled", False)),
        }
        await self._store.set_value(FACTS, json.dumps(facts))
        await self._directory.refresh(self._store)
        self._tasks.own(self._menu.publish(self._directory.all_owners()))

    def _intake(self, lanes: Lanes) -> Intake:
        return Intake(
            self._store,
            Reader(self._bot.id, self._bot.username, directory=self._directory),
            lanes,
            Doorkeeper(self._store, self._directory),
            queried=self._presses.queried,
            refused=self._presses.refuse,
            received=self._signs.seen,
            placed=self._consents.placed,
        )

    async def _prepare(self, message: InboundMessage) -> InboundMessage:
        """Fetch a message's files, and understand what was spoken."""
        return await self._voices.understand(await self._downloads.complete(message))

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
        if self._shared:  # any number of processes are called
            yield
            return
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
            await self._tasks.end()

    # --- out ----------------------------------------------------------------------------------------------------
    async def deliver(self, message: OutboundMessage) -> str:
        """Bring the chat one step nearer to what the message says; see `Channel.deliver`."""
        directory, chat_id = self._directory, message.dest.chat_id
        await directory.read_once(self._store)
        if chat_id in directory.closed:
            raise DeliveryRefused(f"{CLOSED_TO_US}.")
        shown = await self._consents.told(message)
        outside = replace(shown, dest=replace(shown.dest, chat_id=directory.outside(chat_id)))
        courier = self._files if message.kind is MessageKind.FILES else self._courier
        try:
            delivered = await courier.deliver(outside)
        except DeliveryRefused as refused:
            if not is_closed(refused):
                raise
            await directory.close(self._store, chat_id)
            await self._consents.unreachable(message)
            raise DeliveryRefused(f"{CLOSED_TO_US}: {refused}") from refused
        self._signs.spoken(outside.dest.chat_id)
        return delivered

    def takes_drafts(self, dest: Destination) -> bool:
        """Tell whether answers may grow as drafts there: in private chats, where the server knows and allows them."""
        return dest.chat_id not in self._directory.closed and self._drafts.takes(dest)

    async def draft(self, message: OutboundMessage) -> None:
        """Show how far an answer is; see `Drafting.draft`."""
        await self._drafts.show(message)

    async def _moved(self, old: int, new: int) -> None:
        await self._directory.move(self._store, str(old), str(new))

    def busy(self, dest: Destination, *, on: bool) -> None:
        """Show "typing …" in the chat and topic until it is switched off."""
        self._signs.busy(dest, on=on)

    async def close(self) -> None:
        """Give the connections back. Nothing can be delivered after that."""
        await self._tasks.end()
        if self._listener is not None:
            await self._listener.close()
        for request in self._requests:
            await request.shutdown()


def _requests() -> tuple[HTTPXRequest, HTTPXRequest]:
    """Return the connections for polling and for everything else."""
    polling = HTTPXRequest(connection_pool_size=2, read_timeout=15.0, connect_timeout=10.0)
    sending = HTTPXRequest(
        connection_pool_size=24,
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
