"""What comes in and what goes out: sessions, inbox, outbox."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from agent.domain.messages import Claim, InboundMessage, OutboundMessage


class Sessions(Protocol):
    """The chats."""

    async def touch_session(self, session_id: str, folder: Path, dest: dict[str, str]) -> None:
        """Create or refresh the session's row."""

    async def sessions(self) -> list[dict[str, Any]]:
        """Return every session: id, folder, dest, created_at, seen_at."""


class Inbox(Protocol):
    """What people wrote, kept before it is acknowledged."""

    async def receive(self, messages: Sequence[InboundMessage]) -> list[InboundMessage]:
        """Insert and return the messages that were new, with their ids; a known (channel, update_id) is left out."""

    async def unheard(self, channel: str) -> list[InboundMessage]:
        """Return the messages that nothing has been done about yet, oldest first."""

    async def heard(self, inbox_id: int) -> None:
        """Mark a message as done. Opening a run for it does that too, in the same transaction."""

    async def edit_message(self, inbox_id: int, text: str) -> bool:
        """Replace the text of a message that is still unheard (it was edited); False when it is too late."""

    async def text_of(self, inbox_id: int) -> str:
        """Return a message's text as it is by now, after edits. Raises NotFound."""

    async def receive_and_set(self, messages: Sequence[InboundMessage], key: str, value: str) -> list[InboundMessage]:
        """`receive` and `set_value` in one transaction: the offset moves only with the messages."""

    async def receive_and_claim(
        self, messages: Sequence[InboundMessage], key: str, value: str, claim: Claim
    ) -> tuple[list[InboundMessage], list[InboundMessage]]:
        """Do `receive_and_set` and, in the same transaction, `take_unheard` in these messages' sessions.

        Returns the messages that were new, and those that the claimant now has.
        """

    async def claimants(self, channel: str) -> dict[int, str]:
        """Return who has each message that is unheard, "" where nobody does (any more), by the messages' ids."""

    async def take_unheard(self, channel: str, claim: Claim, gone: Collection[str] = ()) -> list[InboundMessage]:
        """Claim what is unheard and nobody's, or whose claim has run out or is of one that is gone; oldest first.

        A message whose turn has not come, as another claimant has an earlier one of its session, stays nobody's. What
        the claimant itself has already is left out.
        """

    async def renew_claims(self, inbox_ids: Sequence[int], claim: Claim) -> set[int]:
        """Make claims good for another while; return those that the claimant still has, heard or not."""

    async def release_claims(self, channel: str, claim: Claim) -> None:
        """Make whatever the claimant has not heard nobody's."""

    async def find_message(self, channel: str, session_id: str, message_id: str) -> InboundMessage | None:
        """Return a message of a session by its id in the chat, if it is among the newest few hundred."""


class Outbox(Protocol):
    """What is to be said, written first and sent after."""

    async def post(self, message: OutboundMessage) -> None:
        """Insert or change the message with this key; an equal payload changes nothing. Sets `outbox_changed`."""

    async def due_messages(self, channel: str, limit: int = 100) -> list[OutboundMessage]:
        """Return messages whose `sent_version` is behind and whose `not_before` has come, oldest first.

        What was never seen is left out while an earlier message of its session is tried again within a minute. State
        `sending` (a send that was under way when the process died) is returned too; the sender decides by kind.
        """

    async def sent_lately(self, channel: str, seconds: float) -> list[tuple[OutboundMessage, float]]:
        """Return what was sent or changed in the last `seconds`, and when (seconds since 1970), oldest first."""

    async def delayed_messages(self, channel: str) -> dict[int, float]:
        """Return when what is tried again later is due (seconds since 1970), by the messages' ids."""

    async def mark_sending(self, message_ids: Sequence[int]) -> None:
        """Note that these are about to be sent for the first time."""

    async def mark_sent(self, outbox_id: int, version: int, message_id: str) -> None:
        """Note what the person now sees."""

    async def mark_failed(self, outbox_id: int, error: str, *, retry_at: float | None) -> None:
        """Note a failure: due again at `retry_at` (seconds since 1970), or given up when None."""

    async def get_message(self, key: str) -> OutboundMessage | None:
        """Return the outbox message with this key."""

    async def messages_of(self, session_id: str, limit: int = 100) -> list[OutboundMessage]:
        """Return the newest outbox messages of a session, newest first."""

    async def revive(self, session_id: str, error: str, seconds: float) -> None:
        """Have sent what was posted in the last `seconds` to a chat or its topics and given up with this error."""
