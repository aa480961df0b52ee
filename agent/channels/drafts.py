"""Answers that grow in a channel's own drafts: shown for a moment and kept nowhere, so they pass the outbox by.

A draft waits for the chat's pace as all progress does, and leaves what the answer needs. Only the newest is shown, and
it ends with whatever is said for good. After a crash nothing of it is left: the answer alone comes out of the outbox.
"""

from __future__ import annotations

import asyncio
import functools
import math
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

from loguru import logger

from agent.channels.base import Drafting
from agent.channels.pacing import chat_of
from agent.errors import DeliveryDelayed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from agent.channels.base import Channel
    from agent.channels.pacing import Pace
    from agent.domain.messages import OutboundMessage


class Drafts:
    """Holds the newest draft of each chat until it may be shown. `wake` is called when something may be.

    `clock` gives seconds.
    """

    def __init__(self, wake: Callable[[], None], clock: Callable[[], float]) -> None:
        self._wake = wake
        self._clock = clock
        self._channels: dict[str, Drafting] = {}
        self._waiting: dict[str, OutboundMessage] = {}
        self._shown: dict[str, asyncio.Task[None]] = {}
        self._quiet_until: dict[str, float] = {}

    def add(self, channel: Channel) -> None:
        """Show drafts in this channel too, if it has any."""
        if isinstance(channel, Drafting):
            self._channels[channel.name] = channel

    def take(self, message: OutboundMessage) -> bool:
        """Have a growing answer shown as a draft; False where it has to grow by edits."""
        if not self._is_taken(message):
            return False
        # The pace tells messages apart by their ids; those below zero are in no outbox.
        self._waiting[chat_of(message.dest)] = replace(message, id=-draft_id(message.key))
        self._wake()
        return True

    def launch(self, paces: Mapping[str, Pace], taken: Collection[str]) -> float:
        """Show what may be shown now, but in no chat of `taken`; return the seconds until more may be."""
        pause = math.inf
        for chat, message in list(self._waiting.items()):
            if not self._is_taken(message):
                del self._waiting[chat]
            elif chat not in taken and chat not in self._shown:
                pace = paces[message.dest.channel]
                quiet = self._quiet_until.get(chat, 0.0) - self._clock()
                wait = max(pace.wait(message, settled=False), quiet)
                if wait > 0:
                    pause = min(pause, wait)
                else:
                    pace.count(self._waiting.pop(chat))
                    self._start(chat, message)
        return pause

    def end(self, chat: str) -> None:
        """Show no more of what a chat's answer was: something is said for good, and it does not wait."""
        self._waiting.pop(chat, None)
        if chat in self._shown:
            self._shown[chat].cancel()

    async def close(self) -> None:
        """End all that is under way."""
        self._waiting.clear()
        tasks = list(self._shown.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _is_taken(self, message: OutboundMessage) -> bool:
        channel = self._channels.get(message.dest.channel)
        return channel is not None and channel.takes_drafts(message.dest)

    def _start(self, chat: str, message: OutboundMessage) -> None:
        task = asyncio.create_task(self._show(chat, message), name=f"draft {message.key}")
        self._shown[chat] = task
        task.add_done_callback(functools.partial(self._finished, chat))

    def _finished(self, chat: str, _: asyncio.Task[None]) -> None:
        del self._shown[chat]
        self._wake()

    async def _show(self, chat: str, message: OutboundMessage) -> None:
        try:
            await self._channels[message.dest.channel].draft(message)
        except DeliveryDelayed as delay:
            # Only drafts keep quiet: the answer finds out for itself whether it has to wait.
            self._quiet_until[chat] = self._clock() + delay.retry_after
        except Exception:
            logger.exception("A draft of {} could not be shown", message.key)


def draft_id(key: str) -> int:
    """Return the number of a message's draft, always the same and never 0."""
    return zlib.crc32(key.encode()) & 0x7FFFFFFF or 1
