"""The other way in: Telegram calls us. A call is answered only once what it brings is stored.

The secret is made anew at each start and told to Telegram with the address: there is nothing to configure or to leak.
It is compared before the body is looked at. Processes that are called alike share one, in the journal.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import time
from typing import TYPE_CHECKING

from loguru import logger
from telegram import Update
from telegram.error import BadRequest, TelegramError

from agent.channels.telegram.receive import ALBUM_LONGEST, ALBUM_PAUSE, KINDS, ends_in_album, resume
from agent.errors import ConfigError, reference_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from telegram import Bot

    from agent.channels.telegram.intake import Intake
    from agent.store.protocol import Store

SECRET = "telegram:webhook-secret"  # noqa: S105  # where it is
HEADER = "x-telegram-bot-api-secret-token"
BODY_BYTES = 1_000_000
SLOWEST = 30.0
WAIT = 50.0

Arrival = tuple[Update, "asyncio.Future[None]"]


class Webhook:
    """Takes updates by calls for one bot. `url` is where Telegram calls; `patience` scales all pauses.

    `shared`: other processes are called there, too, and go on being called when this one ends.
    """

    def __init__(
        self, bot: Bot, store: Store, intake: Intake, url: str, *, patience: float = 1.0, shared: bool = False
    ) -> None:
        self._bot = bot
        self._store = store
        self._intake = intake
        self._url = url
        self._patience = patience
        self._shared = shared
        self._secret = secrets.token_urlsafe(32)
        self._arrivals: asyncio.Queue[Arrival] = asyncio.Queue()
        self.last_poll: float | None = None

    async def run(self) -> None:
        """Have Telegram call, and store what it brings, until cancelled; then have it call no more."""
        await resume(self._store, self._intake.reader.bot_id)
        if self._shared:
            self._secret = await self._store.first_value(SECRET, self._secret)
        await self._announce()
        try:
            while True:
                await self._take(await self._batch())
        finally:
            if not self._shared:
                await self._withdraw()

    async def receive(self, headers: Mapping[str, str], body: bytes) -> int:
        """Take a call; return the HTTP status: 200 once it is stored, 403 for a wrong secret, 500 to be tried again."""
        given = next((value for name, value in headers.items() if name.lower() == HEADER), "")
        if not hmac.compare_digest(given.encode(), self._secret.encode()):
            return 403
        if len(body) > BODY_BYTES:
            return 413
        try:
            raw = json.loads(body)
            number = int(raw["update_id"])
        except (ValueError, KeyError, TypeError):
            return 400
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._arrivals.put_nowait((self._read(raw, number), stored))
        try:
            async with asyncio.timeout(WAIT):
                await stored
        except Exception as error:
            logger.warning("Update {} was not stored in time ({!r}); Telegram brings it again", number, error)
            return 500
        return 200

    def _read(self, raw: dict[str, object], number: int) -> Update:
        try:
            return Update.de_json(raw, self._bot)
        except Exception:
            logger.exception("{} update {} is left out", reference_id(), number)
            return Update(number)

    # --- batches ------------------------------------------------------------------------------------------------
    async def _batch(self) -> list[Arrival]:
        """Return what has come; of an album, a moment later, all of it: its parts come in calls beside each other."""
        found = [await self._arrivals.get()]
        deadline = time.monotonic() + ALBUM_LONGEST * self._patience
        while True:
            while not self._arrivals.empty():
                found.append(self._arrivals.get_nowait())
            found.sort(key=lambda arrival: arrival[0].update_id)
            if not ends_in_album([update for update, _ in found]) or time.monotonic() > deadline:
                return found
            try:
                async with asyncio.timeout(ALBUM_PAUSE * self._patience):
                    found.append(await self._arrivals.get())
            except TimeoutError:
                return found

    async def _take(self, batch: list[Arrival]) -> None:
        self.last_poll = time.monotonic()
        try:
            await self._intake.take([update for update, _ in batch])
        except Exception as error:
            logger.opt(exception=error).error("{} updates could not be stored", reference_id())
            for _, stored in batch:
                if not stored.done():
                    stored.set_exception(error)
            return
        for _, stored in batch:
            if not stored.done():
                stored.set_result(None)

    # --- Telegram's side ----------------------------------------------------------------------------------------
    async def _announce(self) -> None:
        """Tell Telegram where to call, however long the network takes. Raises ConfigError for an address it refuses."""
        failures = 0
        while True:
            try:
                await self._bot.set_webhook(self._url, secret_token=self._secret, allowed_updates=KINDS)
            except BadRequest as error:
                raise ConfigError(
                    f"Telegram does not take the address {self._url!r}: {error}.",
                    hint="telegram.webhook_url is an https address with the port 443, 80, 88 or 8443.",
                ) from None
            except TelegramError as error:
                failures += 1
                pause = min(SLOWEST, 0.5 * 2.0 ** min(failures, 8)) * self._patience
                logger.warning("The webhook was not set ({}); trying again in {:.1f} s", error, pause)
                await asyncio.sleep(pause)
            else:
                logger.info("Telegram calls {}", self._url)
                self.last_poll = time.monotonic()
                return

    async def _withdraw(self) -> None:
        """Have Telegram keep what comes from now on; if it can't be reached, the next start does that."""
        try:
            async with asyncio.timeout(2.0):
                await self._bot.delete_webhook()
        except (TelegramError, TimeoutError) as error:
            logger.info("The webhook stays set: {}", error or "no answer")
