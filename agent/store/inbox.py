"""What came in, once each, until something has been done about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, not_, select, update

from agent.errors import NotFound
from agent.store import audit, records
from agent.store.dialect import insert
from agent.store.rows import inbound, inbound_body, plain
from agent.store.tables import inbox

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from sqlalchemy import ColumnElement, Connection, Row

    from agent.domain.messages import Claim, InboundMessage

FIND_AMONG = 300
NewMessage = dict[str, str | float]


def new_message(message: InboundMessage, now: float) -> NewMessage:
    """Return the message as a row."""
    return {
        "channel": message.channel,
        "update_id": message.update_id,
        "session_id": message.dest.session_id,
        "text": plain(message.text),
        "body": inbound_body(message),
        "received_at": message.received_at or now,
    }


def receive(connection: Connection, messages: Sequence[NewMessage]) -> list[InboundMessage]:
    """Insert the messages and return those that were new, with their ids."""
    fresh: list[InboundMessage] = []
    for message in messages:
        row = connection.execute(
            insert(connection, inbox)
            .values(**message)
            .on_conflict_do_nothing(index_elements=[inbox.c.channel, inbox.c.update_id])
            .returning(*inbox.c),
        ).first()
        if row is not None:
            fresh.append(inbound(row))
            _note(connection, fresh[-1], row.received_at)
    return fresh


def receive_and_set(
    connection: Connection, messages: Sequence[NewMessage], key: str, value: str
) -> list[InboundMessage]:
    """Insert the messages and set a value; return those that were new."""
    records.set_value(connection, key, value)
    return receive(connection, messages)


def receive_and_claim(
    connection: Connection, messages: Sequence[NewMessage], setting: tuple[str, str], claim: Claim, now: float
) -> tuple[list[InboundMessage], list[InboundMessage]]:
    """Insert the messages, set a value, and claim what may be heard; return what was new, and what is claimed."""
    fresh = receive_and_set(connection, messages, *setting)
    channels = inbox.c.channel.in_({message.channel for message in fresh})
    sessions = inbox.c.session_id.in_({message.dest.session_id for message in fresh})
    return fresh, _take(connection, (channels, sessions), claim, now) if fresh else []


def _note(connection: Connection, message: InboundMessage, now: float) -> None:
    """Note who has said something; of words only their digest, since the log is kept for good."""
    detail = {"id": message.id, "user": message.user_id, "trusted": message.trusted}
    detail |= {"action": message.action} if message.action else {}
    said = {} if message.action else {"said": audit.digest(message.text)}
    audit.note(connection, "message", message.dest.session_id, detail, now, digests=said)


def unheard(connection: Connection, channel: str) -> list[InboundMessage]:
    """Return the messages that nothing has been done about yet, oldest first."""
    waiting = (inbox.c.channel == channel, inbox.c.heard_at.is_(None))
    return [inbound(row) for row in connection.execute(select(inbox).where(*waiting).order_by(inbox.c.id))]


def claimants(connection: Connection, channel: str, now: float) -> dict[int, str]:
    """Return who has each unheard message, "" where nobody has a good claim on it."""
    asked = select(inbox.c.id, inbox.c.claimed_by, inbox.c.claimed_until)
    rows = connection.execute(asked.where(inbox.c.channel == channel, inbox.c.heard_at.is_(None)))
    return {row.id: row.claimed_by if row.claimed_until > now else "" for row in rows}


def take_unheard(
    connection: Connection, channel: str, claim: Claim, now: float, gone: Collection[str] = ()
) -> list[InboundMessage]:
    """Claim what is unheard, has no good claim and whose turn it is; return it, oldest first.

    `gone` are claimants that will hear nothing any more.
    """
    return _take(connection, (inbox.c.channel == channel,), claim, now, gone)


def _take(
    connection: Connection,
    among: tuple[ColumnElement[bool], ...],
    claim: Claim,
    now: float,
    gone: Collection[str] = (),
) -> list[InboundMessage]:
    ours = and_(inbox.c.claimed_by == claim.owner, inbox.c.claimed_until > now)
    rows = connection.execute(select(inbox).where(*among, inbox.c.heard_at.is_(None), not_(ours)).order_by(inbox.c.id))
    taken = list(_takeable(rows, {"", *gone}, now))
    for at in range(0, len(taken), FIND_AMONG):
        some = inbox.c.id.in_([message.id for message in taken[at : at + FIND_AMONG]])
        connection.execute(update(inbox).where(some).values(**_claimed(claim, now)))
    return taken


def _takeable(rows: Iterable[Row[Any]], nobody: Collection[str], now: float) -> Iterator[InboundMessage]:
    """Yield the messages that are nobody's and follow none of the same session that somebody has."""
    at_work: set[str] = set()
    for row in rows:
        message = inbound(row)
        if row.claimed_by not in nobody and row.claimed_until > now:
            if message.waits_its_turn:
                at_work.add(row.session_id)
        elif row.session_id not in at_work or not message.waits_its_turn:
            yield message


def renew_claims(connection: Connection, inbox_ids: Sequence[int], claim: Claim, now: float) -> set[int]:
    """Prolong claims on messages; return which of them the claimant has, also of those that count as heard."""
    kept: set[int] = set()
    for at in range(0, len(inbox_ids), FIND_AMONG):
        some = inbox.c.id.in_(inbox_ids[at : at + FIND_AMONG])
        renewed = (
            update(inbox)
            .where(some, inbox.c.claimed_by == claim.owner)
            .values(**_claimed(claim, now))
            .returning(inbox.c.id)
        )
        kept |= set(connection.execute(renewed).scalars())
    return kept


def release_claims(connection: Connection, channel: str, claim: Claim) -> None:
    """Give back what the claimant has not heard."""
    own = (inbox.c.channel == channel, inbox.c.heard_at.is_(None), inbox.c.claimed_by == claim.owner)
    connection.execute(update(inbox).where(*own).values(claimed_by="", claimed_until=0.0))


def _claimed(claim: Claim, now: float) -> NewMessage:
    return {"claimed_by": claim.owner, "claimed_until": now + claim.seconds}


def heard(connection: Connection, inbox_id: int, now: float) -> None:
    """Mark a message as done; the first time counts. Raises NotFound."""
    waiting = (inbox.c.id == inbox_id, inbox.c.heard_at.is_(None))
    if connection.execute(update(inbox).where(*waiting).values(heard_at=now)).rowcount:
        return
    if connection.execute(select(inbox.c.id).where(inbox.c.id == inbox_id)).first() is None:
        raise NotFound(f"There is no message {inbox_id} in the inbox.")


def edit(connection: Connection, inbox_id: int, words: str) -> bool:
    """Replace the text of a message that is still unheard; False when it is too late."""
    waiting = (inbox.c.id == inbox_id, inbox.c.heard_at.is_(None))
    return connection.execute(update(inbox).where(*waiting).values(text=words)).rowcount == 1


def text_of(connection: Connection, inbox_id: int) -> str:
    """Return a message's text. Raises NotFound."""
    text: str | None = connection.execute(select(inbox.c.text).where(inbox.c.id == inbox_id)).scalar()
    if text is None:
        raise NotFound(f"There is no message {inbox_id} in the inbox.")
    return text


def find(connection: Connection, channel: str, session_id: str, message_id: str) -> InboundMessage | None:
    """Return the newest message of a session that has this id in its chat; presses are none."""
    where = (inbox.c.channel == channel, inbox.c.session_id == session_id)
    rows = connection.execute(select(inbox).where(*where).order_by(inbox.c.id.desc()).limit(FIND_AMONG))
    found = (inbound(row) for row in rows)
    return next((message for message in found if message.message_id == message_id and not message.action), None)
