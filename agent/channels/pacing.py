"""How fast a channel may write: an allowance per chat and one for all, filled by the clock."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.domain.messages import Destination, OutboundMessage

Key = TypeVar("Key")
Kept = TypeVar("Kept")

EDIT_GAP = 1.5
PRIVATE_RATE, PRIVATE_BURST = 1.0, 4.0
GROUP_RATE, GROUP_BURST = 20 / 60, 5.0
OVERALL_RATE, OVERALL_BURST = 30.0, 30.0
# Progress may not use up what the answer will need.
RESERVE = 2.0
REMEMBERED = 4096


class Allowance:
    """A token bucket: `rate` a second, `burst` at once. It may be overdrawn; the debt is waited for."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self._left = burst
        self._at = now

    def wait(self, now: float, needed: float = 1.0) -> float:
        """Return the seconds until `needed` are there."""
        left = min(self.burst, self._left + (now - self._at) * self.rate)
        return max(0.0, (needed - left) / self.rate)

    def take(self, now: float) -> None:
        """Use one."""
        self._left = min(self.burst, self._left + (now - self._at) * self.rate) - 1
        self._at = now


class Pace:
    """Says how long a message has to wait. Times are those of `clock`, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._overall = Allowance(OVERALL_RATE, OVERALL_BURST, clock())
        self._chats: OrderedDict[str, Allowance] = OrderedDict()
        self._touched: OrderedDict[int, float] = OrderedDict()
        self._closed_until: dict[str, float] = {}

    def wait(self, message: OutboundMessage, *, settled: bool) -> float:
        """Return the seconds until this message may be sent or edited; `settled` says that it stays as it is now."""
        now = self._clock()
        progress = bool(message.sent_version) and not settled
        waits = [
            self._closed_until.get(chat_of(message.dest), 0.0) - now,
            self._overall.wait(now),
            self._chat(message.dest).wait(now, 1 + RESERVE if progress else 1.0),
        ]
        if progress:
            waits.append(self._touched.get(message.id, -EDIT_GAP) + EDIT_GAP - now)
        return max(0.0, *waits)

    def count(self, message: OutboundMessage) -> None:
        """Note that a call is being made for this message."""
        now = self._clock()
        self._overall.take(now)
        self._chat(message.dest).take(now)
        _keep(self._touched, message.id, now)

    def close(self, dest: Destination, seconds: float) -> None:
        """Leave a chat alone for a while; the others go on."""
        self._closed_until[chat_of(dest)] = self._clock() + seconds

    def _chat(self, dest: Destination) -> Allowance:
        name = chat_of(dest)
        known = self._chats.get(name)
        if known is None:
            group = dest.chat_type != "private"
            rate, burst = (GROUP_RATE, GROUP_BURST) if group else (PRIVATE_RATE, PRIVATE_BURST)
            known = Allowance(rate, burst, self._clock())
            _keep(self._chats, name, known)
        return known


def chat_of(dest: Destination) -> str:
    """Return what limits are counted by: the chat with all its topics."""
    return f"{dest.channel}:{dest.chat_id}"


def _keep(kept: OrderedDict[Key, Kept], key: Key, value: Kept) -> None:
    kept[key] = value
    if len(kept) > REMEMBERED:
        kept.popitem(last=False)
