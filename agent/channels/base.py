"""The protocol of a door for people, and of what stands behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from agent.channels.pacing import Rates
    from agent.domain.messages import Destination, InboundMessage, OutboundMessage


class Unfinished(str):
    """What `Channel.deliver` returns when part of the message is in the chat: store this id, then deliver again.

    So an answer's preview, or the first of several files, is known before the next part is sent.
    """

    __slots__ = ()


class Alert(str):
    """What `Hearer.press` returns when it must be read and not only noticed: shown as a dialog where there is one."""

    __slots__ = ()


class Hearer(Protocol):
    """What a channel hands its messages to; the orchestrator is one."""

    async def hear(self, message: InboundMessage) -> None:
        """Act on a stored message: open a run, or take it as the answer to an open question. Returns quickly."""

    async def press(self, message: InboundMessage) -> str:
        """Act on a button press (committed when this returns) and return what to show: "Allowed", "Too late: …"."""


class Channel(Protocol):
    """A door. It stores what comes in before it acknowledges it, and delivers what the outbox holds."""

    name: str

    async def serve(self) -> None:
        """Receive until cancelled."""

    async def deliver(self, message: OutboundMessage) -> str:
        """Send the message, or edit it when `message.message_id` is set; return the channel's message id.

        An `Unfinished` id is to be stored before the same message is delivered again with it. `payload["again"]` is
        set on a message that may have been shown before (it was being sent when the connection or the process ended).
        Raises DeliveryDelayed, DeliveryRefused or DeliveryUnknown.
        """

    def busy(self, dest: Destination, *, on: bool) -> None:
        """Show or stop showing that work is going on there."""


@runtime_checkable
class Closable(Protocol):
    """A channel that holds connections for sending; the sender closes them when it ends."""

    async def close(self) -> None:
        """Give the connections back. Nothing can be delivered after that."""


@runtime_checkable
class Drafting(Protocol):
    """A channel with drafts of its own, in which an answer may be shown while it grows; they are kept nowhere."""

    name: str

    def takes_drafts(self, dest: Destination) -> bool:
        """Tell whether drafts can be shown there now; where not, answers grow by edits."""

    async def draft(self, message: OutboundMessage) -> None:
        """Show a growing answer, or more of it. Raises DeliveryDelayed; a draft that is lost is no error."""


@runtime_checkable
class Paced(Protocol):
    """A channel that says how fast it may be written to; one that does not is written to carefully."""

    rates: Rates | None
    """None: as fast as messages come."""
