"""Lanes: what was received is heard in order per chat and topic, with chats beside each other.

Button presses and "stop" do not queue: Stop must not wait behind the very work that it stops. A message that can't be
heard is reported to its chat and put away; nothing that one chat does holds up another. Where the machine is in the way
(the journal is locked, the disk full) a message is heard again a few times before that. Where several processes hear
for a channel, claims say which of them has a message.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Self, TypeVar

from loguru import logger

from agent.channels.claims import LOOK_SECONDS
from agent.domain.messages import InboundMessage, MessageKind, OutboundMessage
from agent.errors import ChannelError, DirigentError, ModelError, may_pass
from agent.logs import correlated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from contextlib import AbstractAsyncContextManager

    from agent.channels.base import Hearer
    from agent.channels.claims import Claims
    from agent.store.protocol import Store

Said = TypeVar("Said")
PAUSES = (0.5, 2.0, 8.0)


class Lanes:
    """Hands stored messages to the hearer. Use as `async with Lanes(...) as lanes`; leaving it cancels what is running.

    What is cancelled stays unheard in the store, and is heard at the next start. `prepare` may complete a message first
    (download its files); `pressed` is told what to show for a press once the hearer has committed it; `press` may take
    a press before the hearer does and returns None for what is not its own. With `claims`, other processes hear for
    the channel, too: what nobody has is taken up again and again, and leaving leaves them what was not heard.
    """

    def __init__(
        self,
        store: Store,
        hearer: Hearer,
        *,
        prepare: Callable[[InboundMessage], Awaitable[InboundMessage]] | None = None,
        pressed: Callable[[InboundMessage, str], Awaitable[None]] | None = None,
        press: Callable[[str], Awaitable[str | None]] | None = None,
        claims: Claims | None = None,
    ) -> None:
        self._store = store
        self._hearer = hearer
        self._prepare = prepare
        self._pressed = pressed
        self._press = press
        self._claims = claims
        self._lanes: dict[str, deque[InboundMessage]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._emptied = asyncio.Event()  # a lane: what has come to it at another process may have its turn now

    async def __aenter__(self) -> Self:
        if self._claims is not None:
            self._own(self._keep(self._claims))
            self._own(self._look(self._claims))
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._claims is not None:
            await self._claims.release()

    async def replay(self, channel: str) -> int:
        """Take up what the last process received and did not hear; return how many messages that were."""
        waiting = await (self._store.unheard(channel) if self._claims is None else self._claims.take())
        self.take(waiting)
        return len(waiting)

    async def receive(self, messages: Sequence[InboundMessage], key: str, value: str) -> list[InboundMessage]:
        """Store messages and a value in one transaction, then queue what is ours; return the messages that were new."""
        if self._claims is None:
            ours = fresh = await self._store.receive_and_set(messages, key, value)
        else:
            fresh, ours = await self._claims.receive(messages, key, value)
        self.take(ours)
        return fresh

    async def _keep(self, claims: Claims) -> None:
        """Say again and again that what is ours is ours, until cancelled."""
        while True:
            try:
                await claims.renew()
            except Exception as error:
                logger.warning("That messages are ours can't be said: {!r}", error)
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self, claims: Claims) -> None:
        """Take up what others have left, and what has its turn now that a lane here is empty, until cancelled."""
        while True:
            self._emptied.clear()
            try:
                self.take(await claims.take())
            except Exception as error:
                logger.warning("Which messages are whose can't be asked: {!r}", error)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._emptied.wait()

    def take(self, messages: Iterable[InboundMessage]) -> None:
        """Queue stored messages, oldest first; returns at once."""
        for message in messages:
            if message.action:
                self._own(self._hear_press(message))
            elif message.waits_its_turn:
                self._queue(message)
            else:
                self._own(self._hear(message))

    def waiting(self) -> int:
        """Return how many messages wait for their turn."""
        return sum(len(lane) for lane in self._lanes.values())

    # --- lanes --------------------------------------------------------------------------------------------------
    def _queue(self, message: InboundMessage) -> None:
        key = message.dest.session_id
        lane = self._lanes.get(key)
        if lane is not None:
            lane.append(message)
            return
        self._lanes[key] = deque([message])
        self._own(self._drain(key))

    async def _drain(self, key: str) -> None:
        lane = self._lanes[key]
        try:
            while lane:
                await self._hear(lane.popleft())
        finally:
            del self._lanes[key]
            self._emptied.set()

    def _own(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- one message --------------------------------------------------------------------------------------------
    def _having(self, message: InboundMessage) -> AbstractAsyncContextManager[bool]:
        return nullcontext(enter_result=True) if self._claims is None else self._claims.hearing(message)

    async def _hear(self, message: InboundMessage) -> None:
        with correlated(message.corr_id):
            async with self._having(message) as ours:
                if ours:
                    await self._heard(message)

    async def _heard(self, message: InboundMessage) -> None:
        try:
            received = message
            if self._prepare is not None and message.attachments:
                message = await self._prepare(message)
            await _patiently(lambda: self._hear_as_edited(message, received.text))
        except Exception as problem:
            await self._report(message, problem)
        await self._put_away(message)

    async def _hear_as_edited(self, message: InboundMessage, received: str) -> None:
        """Hear a message with the words that it has by now: another process may have seen that it was edited."""
        text = await self._store.text_of(message.id)
        await self._hearer.hear(message if text == received else replace(message, text=text))

    async def _hear_press(self, message: InboundMessage) -> None:
        with correlated(message.corr_id):
            async with self._having(message) as ours:
                if ours:
                    await self._pressed_on(message)

    async def _pressed_on(self, message: InboundMessage) -> None:
        try:
            said = await self._press(message.action) if self._press is not None else None
            if said is None:
                said = await _patiently(lambda: self._hearer.press(message))
        except Exception as problem:
            said = await self._report(message, problem)
        await self._put_away(message)
        if self._pressed is not None:
            await self._pressed(message, said)

    async def _put_away(self, message: InboundMessage) -> None:
        try:
            await self._store.heard(message.id)
        except Exception:
            logger.exception("Message {} could not be marked as heard; it will be heard again", message.id)

    async def _report(self, message: InboundMessage, problem: Exception) -> str:
        """Tell the chat what happened, with a reference that the log carries too; return the sentence."""
        ref = message.corr_id
        text, hint = "Something went wrong on my side with this message.", "Send it again, or quote this reference."
        if isinstance(problem, DirigentError):
            text, hint = problem.message, problem.hint
        logger.opt(exception=problem).error("{} message {} of {}", ref, message.id, message.dest.session_id)
        report = OutboundMessage(
            dest=replace(message.dest, reply_to=message.message_id if not message.action else ""),
            kind=MessageKind.ERROR,
            key=f"inbox/{message.id}/error",
            payload={"text": text, "hint": hint, "ref": ref},
        )
        try:
            await self._store.post(report)
        except Exception:
            logger.exception("{} could not be reported to {}", ref, message.dest.session_id)
        return f"{text} {ref}"


async def _patiently(hear: Callable[[], Awaitable[Said]]) -> Said:
    """Hear a message again, as after a crash, when the machine was in the way; return what came of it.

    Raises what it raises: anything else at once, and after some seconds also what the machine is to blame for.
    """
    for pause in PAUSES:
        try:
            return await hear()
        except Exception as problem:
            if not may_pass(problem) or isinstance(problem, (ModelError, ChannelError)):
                raise
            logger.warning("A message could not be heard yet ({}); it is tried again in {} s", problem, pause)
        await asyncio.sleep(pause)
    return await hear()
