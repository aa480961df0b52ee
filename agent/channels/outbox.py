"""The one sender: what the outbox holds goes out, in order per chat, at the pace each chat bears.

What is done with a message that was being sent when the connection or the process ended is decided by kind: an answer
starts as a preview that is completed by edits, so it is simply carried on; a plan, a notice or an error is sent again;
a question or an approval is sent again and says so; about files the person is asked.
"""

from __future__ import annotations

import asyncio
import functools
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from loguru import logger

from agent.channels.base import Closable, Paced, Unfinished
from agent.channels.deliveries import Requests, delivered, delivering
from agent.channels.doubts import INTERRUPTED, Doubts
from agent.channels.drafts import Drafts
from agent.channels.pacing import CAREFUL, Pace, chat_of, is_draft
from agent.domain.messages import MessageKind, OutboundMessage
from agent.errors import DeliveryDelayed, DeliveryRefused, DeliveryUnknown, may_pass, reference_id
from agent.logs import correlated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from agent.channels.base import Channel
    from agent.domain.messages import Destination
    from agent.store.protocol import Store

    Here = Callable[[str, Sequence[str]], Awaitable[list[str]]]  # where files put aside for sending lie on this host

LIMIT = 1000
GRACE = 0.7
MARGIN = 0.05
IDLE = 30.0
CROWDED = 50  # messages
BREATH = 0.1  # seconds
SLOWEST = 60.0
RECALLED = 60.0  # seconds, after which every limit is as if nothing had been sent
SLOWEST_UNKNOWN = 900.0
TRIES_OF_A_BUG = 5
SAYS_SO = frozenset({MessageKind.QUESTION, MessageKind.APPROVAL})


def is_settled(message: OutboundMessage) -> bool:
    """Tell whether this is how the message stays, so that its edit is not held back."""
    payload = message.payload
    return payload.get("state", "done") not in {"running", "waiting"} and bool(payload.get("final", True))


class OutboxSender:
    """Sends until cancelled. `channels` may be added to while it runs; `wall` gives seconds since 1970."""

    def __init__(
        self,
        store: Store,
        channels: Iterable[Channel] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._channels: dict[str, Channel] = {}
        self._paces: dict[str, Pace] = {}
        self._clock = clock
        self._wall = wall
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._tries: dict[int, int] = {}
        self._retry_at: dict[int, float] = {}
        self._stopping = self._closed = False
        self._backlog = 0
        self._requests = Requests(store)
        self._doubts = Doubts(store, wall)
        self.drafts = Drafts(store.outbox_changed.set, clock)
        self.here: Here | None = None
        for channel in channels:
            self.add(channel)

    def add(self, channel: Channel) -> None:
        """Deliver for this channel too, at its own pace."""
        rates = channel.rates if isinstance(channel, Paced) else CAREFUL
        self._channels[channel.name] = channel
        self._paces[channel.name] = Pace(self._clock, rates)
        self.drafts.add(channel)
        self._store.outbox_changed.set()

    async def run(self) -> None:
        """Send what is due until cancelled; then let what is under way finish for a moment, and close the channels."""
        try:
            await self._recall()
            while True:
                self._store.outbox_changed.clear()
                pause = await self._round()
                if self._backlog > CROWDED:  # the pace lets few go; reading all the others at each step costs most
                    await asyncio.sleep(BREATH)
                await self._woken(pause)
        finally:
            await self._stop()

    async def press(self, action: str) -> str | None:
        """Act on a press about files whose fate is unknown; return what to show, None when it is not ours."""
        return await self._doubts.press(action)

    async def _recall(self) -> None:
        """Take over an earlier process's delays, and count what it has sent just now: the limits are the chats'."""
        try:
            for name, pace in self._paces.items():
                self._retry_at |= await self._store.delayed_messages(name)
                now = self._wall()
                for message, sent_at in await self._store.sent_lately(name, RECALLED):
                    for _ in range(min(message.sent_version, 2)):  # what was edited was sent before
                        pace.recall(message.dest, max(0.0, now - sent_at))
        except Exception:
            logger.exception("The outbox could not be looked through at the start; a chat may be asked to wait")

    # --- one round ----------------------------------------------------------------------------------------------
    async def _round(self) -> float:
        """Start what can be sent now; return the seconds until something else may be."""
        ready: list[OutboundMessage] = []
        pause = IDLE
        taken = set(self._busy)
        self._backlog = 0
        for name in list(self._channels):
            full = self._paces[name].full()
            if full > 0:  # then reading what waits would be for nothing
                pause = min(pause, full)
                continue
            due = await self._due(name)
            self._backlog += len(due)
            for message in due:
                wait = 0.0 if chat_of(message.dest) in taken else self._wait(message)
                if is_settled(message):
                    self.drafts.end(chat_of(message.dest))
                if wait > 0:
                    pause = min(pause, wait)
                elif chat_of(message.dest) not in taken:
                    self._pace(message.dest).count(message)
                    ready.append(message)
                if wait == 0 or not (message.message_id or is_draft(message)):
                    taken.add(chat_of(message.dest))  # what comes later in this chat does not overtake it
        try:
            await self._launch(ready)
        except Exception:
            logger.exception("The outbox could not be written; trying again")
            self._retry_at[-1] = self._wall() + 1.0
        pause = min(pause, self.drafts.launch(self._paces, taken))
        return min([pause, *(at - self._wall() for at in self._retry_at.values())])

    async def _due(self, name: str) -> list[OutboundMessage]:
        try:
            return await self._store.due_messages(name, LIMIT)
        except Exception:
            logger.exception("The outbox could not be read; trying again")
            self._retry_at[-1] = self._wall() + 1.0
            return []

    def _wait(self, message: OutboundMessage) -> float:
        return self._pace(message.dest).wait(message, settled=is_settled(message))

    def _pace(self, dest: Destination) -> Pace:
        return self._paces[dest.channel]

    async def _launch(self, ready: list[OutboundMessage]) -> None:
        now = self._wall()
        self._retry_at = {number: at for number, at in self._retry_at.items() if at > now}
        fresh = [m.id for m in ready if not m.message_id and m.state != "sending"]
        if fresh:
            await self._store.mark_sending(fresh)
        for message in ready:
            chat = chat_of(message.dest)
            task = asyncio.create_task(self._send(message), name=f"outbox {message.key}")
            self._busy[chat] = task
            task.add_done_callback(functools.partial(self._finished, chat))

    def _finished(self, chat: str, _: asyncio.Task[None]) -> None:
        del self._busy[chat]
        self._store.outbox_changed.set()

    async def _woken(self, pause: float) -> None:
        try:
            async with asyncio.timeout(max(pause, 0.0)):
                await self._store.outbox_changed.wait()
        except TimeoutError:
            pass

    async def _stop(self) -> None:
        tasks = list(self._busy.values())
        self._stopping = True
        if tasks:
            await asyncio.wait(tasks, timeout=GRACE)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.close()

    async def close(self) -> None:
        """Close the channels, also when nothing was ever sent: a process that stands by has them, too."""
        if self._closed:
            return
        self._closed = True
        await self.drafts.close()
        for channel in self._channels.values():
            if isinstance(channel, Closable):
                await channel.close()

    # --- one message --------------------------------------------------------------------------------------------
    async def _send(self, message: OutboundMessage) -> None:
        """Deliver one message; whatever happens is noted in the outbox, and nothing of it stops the sender."""
        corr_id = await self._requests.of(message)
        with correlated(corr_id), delivering(message, corr_id):
            await self._send_now(message)

    async def _send_now(self, message: OutboundMessage) -> None:
        if message.state == "sending":
            message = replace(message, error=f"{INTERRUPTED}: the process ended while it was being sent")
        elif message.message_id and not message.sent_version:
            logger.debug("Carrying on with {}, of which {} is there", message.key, message.message_id)
        try:
            if message.kind is MessageKind.FILES and message.error.startswith(INTERRUPTED):
                await self._doubts.ask(message, message.error)
            else:
                await self._deliver(_saying_so(await self._with_files(message)))
        except asyncio.CancelledError:
            raise
        except Exception as problem:
            ref = reference_id()
            logger.exception("{} {} could not be handled", ref, message.key)
            await self._give_back(message, f"an error of ours, {ref}", for_good=not may_pass(problem))

    async def _with_files(self, message: OutboundMessage) -> OutboundMessage:
        if self.here is None or message.kind is not MessageKind.FILES or not message.session_id:
            return message
        paths = await self.here(message.session_id, message.payload.get("paths", ()))
        return replace(message, payload={**message.payload, "paths": paths})

    async def _deliver(self, message: OutboundMessage) -> None:
        try:
            await self._step_by_step(message)
        except DeliveryDelayed as delay:
            delivered("delayed")
            await self._later(message, str(delay), delay.retry_after)
        except DeliveryUnknown as unknown:
            delivered("unknown")
            await self._unknown(message, str(unknown))
        except DeliveryRefused as refused:
            delivered("refused")
            logger.warning("{} was given up: {}", message.key, refused)
            await self._store.mark_failed(message.id, str(refused), retry_at=None)
        else:
            delivered("sent")
            self._tries.pop(message.id, None)

    async def _step_by_step(self, message: OutboundMessage) -> None:
        channel = self._channels[message.dest.channel]
        while True:
            shown = await channel.deliver(message)
            if not isinstance(shown, Unfinished):
                await self._store.mark_sent(message.id, message.version, shown)
                if message.message_id not in {"", shown}:
                    self._count_replacing(message)
                return
            await self._store.mark_sent(message.id, message.sent_version, str(shown))
            self._pace(message.dest).count(message)
            message = replace(message, message_id=str(shown))
            if self._stopping:
                return
            if message.kind is MessageKind.FILES:
                await asyncio.sleep(self._wait(message))
                await self._store.mark_sending([message.id])

    def _count_replacing(self, message: OutboundMessage) -> None:
        """Count the calls beside the one that failed: a new message was sent, and the old one's buttons were taken."""
        for _ in range(2):
            self._pace(message.dest).count(message)

    async def _later(self, message: OutboundMessage, error: str, seconds: float) -> None:
        """Try again: when the channel says so, and that chat waits with it; otherwise ever more slowly."""
        if seconds:
            self._pace(message.dest).close(message.dest, seconds)
        else:
            seconds = self._backoff(message, SLOWEST)
            self._pace(message.dest).close(message.dest, min(seconds, 5.0) + MARGIN)
        kept = f"{INTERRUPTED}: {error}" if message.error.startswith(INTERRUPTED) else error
        logger.info("{} waits {:.1f} s: {}", message.key, seconds, error)
        await self._retry(message, kept, seconds)

    async def _unknown(self, message: OutboundMessage, error: str) -> None:
        """It may have arrived."""
        logger.warning("{} may or may not have arrived: {}", message.key, error)
        if message.kind is MessageKind.FILES:
            await self._doubts.ask(message, f"{INTERRUPTED}: {error}")
        else:
            seconds = self._backoff(message, SLOWEST_UNKNOWN)
            self._pace(message.dest).close(
                message.dest, min(seconds, 5.0) + MARGIN
            )  # what comes later does not overtake it
            await self._retry(message, f"{INTERRUPTED}: {error}", seconds)

    async def _give_back(self, message: OutboundMessage, error: str, *, for_good: bool) -> None:
        """Have a message tried again; `for_good` gives it up in the end, which the machine's troubles never do."""
        try:
            seconds = self._backoff(message, SLOWEST)
            if for_good and self._tries[message.id] >= TRIES_OF_A_BUG:
                await self._store.mark_failed(message.id, error, retry_at=None)
            else:
                await self._retry(message, error, seconds)
        except Exception:
            logger.exception("The outbox could not be written; {} is tried again", message.key)
            self._pace(message.dest).close(message.dest, 5.0)

    async def _retry(self, message: OutboundMessage, error: str, seconds: float) -> None:
        at = self._wall() + seconds
        self._retry_at[message.id] = at
        await self._store.mark_failed(message.id, error, retry_at=at)

    def _backoff(self, message: OutboundMessage, most: float) -> float:
        tries = self._tries[message.id] = self._tries.get(message.id, 0) + 1
        return min(most, 0.25 * 2.0 ** min(tries, 16)) * random.uniform(0.7, 1.0)  # noqa: S311 — spreads load only


def _saying_so(message: OutboundMessage) -> OutboundMessage:
    """Mark a question that may be in the chat already, so that it says that it is asked again."""
    if message.kind in SAYS_SO and not message.message_id and message.error.startswith(INTERRUPTED):
        return replace(message, payload={**message.payload, "again": True})
    return message


class OutboxBot:
    """How the orchestrator speaks (`domain.messages.Bot`): posts go to the outbox, signs of life to the channel.

    `drafts` (the sender's) takes growing answers that are to be shown as drafts; without it they grow by edits.
    """

    def __init__(self, store: Store, channels: Iterable[Channel] = (), drafts: Drafts | None = None) -> None:
        self._store = store
        self._drafts = drafts
        self._channels: dict[str, Channel] = {channel.name: channel for channel in channels}

    def add(self, channel: Channel) -> None:
        """Show signs of life through this channel too."""
        self._channels[channel.name] = channel

    async def post(self, message: OutboundMessage) -> None:
        """Store the message (committed when this returns) and have it sent; a draft is only shown, where it can be."""
        if message.payload.get("draft"):
            if self._drafts is not None and self._drafts.take(message):
                return
            payload = {name: value for name, value in message.payload.items() if name != "draft"}
            message = replace(message, payload=payload)
        await self._store.post(message)

    def busy(self, dest: Destination, *, on: bool) -> None:
        """Show or stop showing that work is going on; a channel that is not there shows nothing."""
        channel = self._channels.get(dest.channel)
        if channel is not None:
            channel.busy(dest, on=on)
