"""Judges what a bot did on the wire: refusals that no test staged, and more than Telegram's limits allow.

    assert problems(telegram.calls) == []

The limits are those of https://core.telegram.org/bots/faq#broadcasting-to-users: one message a second in a chat with
small bursts, 20 a minute in a group, 30 a second overall. Edits count as messages do. An edit that changes nothing,
which Telegram refuses, is fine: after a restart nobody knows what the chat shows.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from agent.testing.telegram_server import Call

BURST = 5
GROUP = (20, 59.0)  # the times are those of arrival, so a window's ends may be a little off
# Calls that were made in time may arrive together on a busy machine: that is not the bot's doing.
OVERALL, CLUMP = (30, 5.0), 10
WRITING = ("send", "edit")
FINE = "message is not modified"


def problems(calls: Iterable[Call], tolerated: Collection[str] = ()) -> list[str]:
    """Return a sentence for everything that is wrong. A refusal that holds one of `tolerated` is none."""
    seen = list(calls)
    written = [call for call in seen if call.method.startswith(WRITING) and call.method != "sendChatAction"]
    chats = {call.chat for call in written}
    found = [_refusal(call) for call in seen if _is_refused(call, tolerated)]
    for chat in sorted(chats):
        there = [call.at for call in written if call.chat == chat]
        found += _too_fast(chat, there) if chat > 0 else _too_many(f"group {chat}", there, *GROUP)
    most, seconds = OVERALL
    return found + _too_many("all chats", [call.at for call in written], round(most * seconds) + CLUMP, seconds)


def _is_refused(call: Call, tolerated: Collection[str]) -> bool:
    is_error = call.outcome[:3].isdigit()
    return is_error and not call.staged and not any(one in call.outcome for one in (FINE, *tolerated))


def _refusal(call: Call) -> str:
    return f"{call.method} in chat {call.chat} was refused: {call.outcome} ({call.params})"


def _too_fast(chat: int, times: Sequence[float]) -> list[str]:
    """Apply a second's allowance with a burst."""
    left, before = float(BURST), 0.0
    for at in times:
        left = min(float(BURST), left + (at - before)) - 1
        if left < 0:
            return [f"chat {chat} was written to faster than once a second after a burst of {BURST}: {_gaps(times)}"]
        before = at
    return []


def _too_many(where: str, times: Sequence[float], most: int, seconds: float) -> list[str]:
    """Look for more than so many within some seconds."""
    for first, last in zip(times, times[most:], strict=False):
        if last - first < seconds:
            return [f"{where}: more than {most} messages within {seconds:g} s"]
    return []


def _gaps(times: Sequence[float]) -> list[float]:
    return [round(later - earlier, 2) for earlier, later in pairwise(times)]
