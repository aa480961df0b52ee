"""How fast a channel may write: an allowance per chat and one for all, filled by the clock.

A channel says its `rates`, or `rates = None` when it bears any pace, as a terminal does.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from agent.domain.messages import MessageKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.domain.messages import Destination, OutboundMessage

Key = TypeVar("Key")
Kept = TypeVar("Kept")

# Progress may not use up what the answer will need.
RESERVE = 2.0
SECOND = 1.05  # with what calls may be late or early on their way
REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Rates:
    """What a channel bears: messages a second, and at once; seconds between two edits of progress.

    The defaults stay within what Telegram allows a bot: burst and rate together are no more than 20 in a minute of a
    group, also when a preview is completed, for which one call more than allowed may follow at once.
    """

    private: float = 1.0
    private_burst: float = 3.0
    group: float = 14 / 60
    group_burst: float = 5.0
    overall: int = 30
    edit_gap: float = 1.5


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


class Window:
    """At most so many within `seconds`, all at once if they come so."""

    def __init__(self, most: int, seconds: float) -> None:
        self._seconds = seconds
        self._times: deque[float] = deque(maxlen=most)

    def wait(self, now: float) -> float:
        """Return the seconds until there is room for one."""
        is_full = len(self._times) == self._times.maxlen
        return max(0.0, self._times[0] + self._seconds - now) if is_full else 0.0

    def take(self, now: float) -> None:
        """Use one."""
        self._times.append(now)


CAREFUL = Rates()


class Pace:
    """Says how long a message of one channel has to wait. Times are those of `clock`, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, rates: Rates | None = CAREFUL) -> None:
        self._clock = clock
        self._rates = rates
        self._overall = Window(rates.overall, SECOND) if rates else None
        self._chats: OrderedDict[str, Allowance] = OrderedDict()
        self._touched: OrderedDict[int, float] = OrderedDict()
        self._closed_until: dict[str, float] = {}

    def full(self) -> float:
        """Return the seconds until any message at all may be sent."""
        return 0.0 if self._overall is None else self._overall.wait(self._clock())

    def wait(self, message: OutboundMessage, *, settled: bool) -> float:
        """Return the seconds until this message may be sent or edited; `settled` says that it stays as it is now."""
        now = self._clock()
        closed = self._closed_until.get(chat_of(message.dest), 0.0) - now
        progress = not settled and (bool(message.sent_version) or is_draft(message))
        return max(0.0, closed, self._bounds(message, now, progress=progress))

    def _bounds(self, message: OutboundMessage, now: float, *, progress: bool) -> float:
        if self._rates is None or self._overall is None:
            return 0.0
        allowed = self._chat(message.dest, self._rates).wait(now, 1 + RESERVE if progress else 1.0)
        touched = self._touched.get(message.id) if progress else None
        edited = 0.0 if touched is None else touched + self._rates.edit_gap - now
        return max(self._overall.wait(now), allowed, edited)

    def count(self, message: OutboundMessage) -> None:
        """Note that a call is being made for this message."""
        if self._rates is None or self._overall is None:
            return
        now = self._clock()
        self._overall.take(now)
        self._chat(message.dest, self._rates).take(now)
        _keep(self._touched, message.id, now)

    def recall(self, dest: Destination, ago: float) -> None:
        """Note a call of an earlier process, so many seconds ago; the oldest first."""
        if self._rates is not None:
            self._chat(dest, self._rates, ago).take(self._clock() - ago)

    def close(self, dest: Destination, seconds: float) -> None:
        """Leave a chat alone for a while; the others go on."""
        self._closed_until[chat_of(dest)] = self._clock() + seconds

    def _chat(self, dest: Destination, rates: Rates, ago: float = 0.0) -> Allowance:
        name = chat_of(dest)
        known = self._chats.get(name)
        if known is None:
            group = dest.chat_type != "private"
            bears = (rates.group, rates.group_burst) if group else (rates.private, rates.private_burst)
            known = Allowance(*bears, self._clock() - ago)
            _keep(self._chats, name, known)
        return known


def is_draft(message: OutboundMessage) -> bool:
    """Tell whether this is a part of an answer that still grows: the whole answer must not wait because of it."""
    return message.kind is MessageKind.ANSWER and not message.payload.get("final", True)


def chat_of(dest: Destination) -> str:
    """Return what limits are counted by: the chat with all its topics."""
    return f"{dest.channel}:{dest.chat_id}"


def _keep(kept: OrderedDict[Key, Kept], key: Key, value: Kept) -> None:
    kept[key] = value
    if len(kept) > REMEMBERED:
        kept.popitem(last=False)
