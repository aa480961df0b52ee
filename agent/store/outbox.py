"""What is to be seen by people: one row per message, changed in place, sent version by version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import and_, bindparam, func, not_, or_, select, update

from agent.errors import NotFound
from agent.store.dialect import insert
from agent.store.rows import dump, outbound
from agent.store.tables import outbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Subquery

    from agent.domain.messages import OutboundMessage

PENDING = "pending"
SENDING = "sending"
SENT = "sent"
FAILED = "failed"
HELD_SECONDS = 60.0  # what is to be tried later than that may be overtaken


@dataclass(frozen=True, slots=True)
class Posted:
    """A message as a row."""

    key: str
    channel: str
    session_id: str
    run_id: int | None
    kind: str
    dest: str
    payload: str


def posted(message: OutboundMessage) -> Posted:
    """Return the message as a row. Raises TypeError when the payload is no JSON."""
    return Posted(
        key=message.key,
        channel=message.dest.channel,
        session_id=message.session_id or message.dest.session_id,
        run_id=message.run_id,
        kind=message.kind.value,
        dest=dump(message.dest.to_json()),
        payload=dump(message.payload),
    )


def post(connection: Connection, message: Posted, now: float) -> bool:
    """Insert or change the message with this key; False when it looks like that already."""
    created = connection.execute(
        insert(connection, outbox)
        .values(
            key=message.key,
            channel=message.channel,
            session_id=message.session_id,
            run_id=message.run_id,
            kind=message.kind,
            dest=message.dest,
            payload=message.payload,
            state=PENDING,
            created_at=now,
        )
        .on_conflict_do_nothing(index_elements=[outbox.c.key])
        .returning(outbox.c.id),
    ).first()
    return created is not None or _change(connection, message)


def _change(connection: Connection, message: Posted) -> bool:
    known = connection.execute(select(outbox).where(outbox.c.key == message.key).with_for_update()).one()
    if (known.payload, known.kind) == (message.payload, message.kind):
        return False
    fresh = {"state": PENDING}
    if known.state == SENDING:  # the sender, or who comes after it, has yet to find out what became of it
        fresh = {}
    elif known.state == FAILED:  # given up as it was; what it is now deserves its own attempts
        fresh |= {"attempts": 0, "error": "", "not_before": 0.0}  # type: ignore[dict-item]
    connection.execute(
        update(outbox)
        .where(outbox.c.id == known.id)
        .values(payload=message.payload, kind=message.kind, version=known.version + 1, **fresh),
    )
    return True


def due(connection: Connection, channel: str, limit: int, now: float) -> list[OutboundMessage]:
    """Return the messages whose newest version has not been seen and whose time has come, oldest first."""
    waiting = (
        outbox.c.channel == channel,
        outbox.c.state.in_([PENDING, SENDING]),
        outbox.c.not_before <= now,
        or_(outbox.c.sent_version < outbox.c.version, outbox.c.state == SENDING),
    )
    held = _held(channel, now)
    overtakes = and_(outbox.c.message_id == "", outbox.c.id > held.c.first)
    query = (
        select(outbox)
        .outerjoin(held, held.c.session_id == outbox.c.session_id)
        .where(*waiting, or_(held.c.first.is_(None), not_(overtakes)))
        .order_by(outbox.c.id)
        .limit(limit)
    )
    return [outbound(row) for row in connection.execute(query)]


def _held(channel: str, now: float) -> Subquery:
    """Return where something that was never seen is soon tried again: what comes later there must not overtake it."""
    soon = (
        outbox.c.channel == channel,
        outbox.c.state == PENDING,
        outbox.c.not_before > now,
        outbox.c.not_before <= now + HELD_SECONDS,
        outbox.c.message_id == "",
        outbox.c.sent_version < outbox.c.version,
    )
    first = func.min(outbox.c.id).label("first")
    return select(outbox.c.session_id, first).where(*soon).group_by(outbox.c.session_id).subquery()


def lately(connection: Connection, channel: str, since: float) -> list[tuple[OutboundMessage, float]]:
    """Return the messages that were sent or changed since a time, with that time, oldest first."""
    query = select(outbox).where(outbox.c.channel == channel, outbox.c.sent_at >= since).order_by(outbox.c.sent_at)
    return [(outbound(row), row.sent_at) for row in connection.execute(query)]


def delayed(connection: Connection, channel: str, now: float) -> dict[int, float]:
    """Return when what is tried again later is due, in seconds since 1970, by the messages' ids."""
    waits = (outbox.c.channel == channel, outbox.c.state == PENDING, outbox.c.not_before > now)
    return {
        row.id: row.not_before for row in connection.execute(select(outbox.c.id, outbox.c.not_before).where(*waits))
    }


def sending(connection: Connection, message_ids: Sequence[int]) -> None:
    """Note that these are about to be sent for the first time."""
    statement = (
        update(outbox).where(outbox.c.id == bindparam("of_id")).values(state=SENDING, attempts=outbox.c.attempts + 1)
    )
    if message_ids:
        connection.execute(statement, [{"of_id": number} for number in message_ids])


def sent(connection: Connection, outbox_id: int, version: int, message_id: str, now: float) -> None:
    """Note what the person now sees. An older version than the one already seen changes nothing. Raises NotFound."""
    known = _known(connection, outbox_id)
    seen = max(version, known.sent_version)
    connection.execute(
        update(outbox)
        .where(outbox.c.id == outbox_id)
        .values(
            sent_version=seen,
            message_id=message_id or known.message_id,
            state=SENT if seen >= known.version else PENDING,
            attempts=0,
            error="",
            not_before=0.0,
            sent_at=now,
        ),
    )


def failed(connection: Connection, outbox_id: int, error: str, retry_at: float | None) -> None:
    """Note a failure: due again at `retry_at`, or given up when None. Raises NotFound."""
    _known(connection, outbox_id)
    connection.execute(
        update(outbox)
        .where(outbox.c.id == outbox_id)
        .values(state=FAILED if retry_at is None else PENDING, error=error, not_before=retry_at or 0.0),
    )


def _known(connection: Connection, outbox_id: int) -> OutboundMessage:
    row = connection.execute(select(outbox).where(outbox.c.id == outbox_id).with_for_update()).first()
    if row is None:
        raise NotFound(f"There is no message {outbox_id} in the outbox.")
    return outbound(row)


def get(connection: Connection, key: str) -> OutboundMessage | None:
    """Return the message with this key."""
    row = connection.execute(select(outbox).where(outbox.c.key == key)).first()
    return None if row is None else outbound(row)


def of_session(connection: Connection, session_id: str, limit: int) -> list[OutboundMessage]:
    """Return the newest messages of a session, newest first."""
    query = select(outbox).where(outbox.c.session_id == session_id).order_by(outbox.c.id.desc()).limit(limit)
    return [outbound(row) for row in connection.execute(query)]


def revive(connection: Connection, chat: tuple[str, str], error: str, since: float) -> bool:
    """Give what was given up in a chat (its session, the beginning of its topics') new attempts; False for nothing."""
    there = or_(outbox.c.session_id == chat[0], outbox.c.session_id.startswith(chat[1], autoescape=True))
    because = outbox.c.error.startswith(error, autoescape=True)
    lost = update(outbox).where(outbox.c.state == FAILED, there, because, outbox.c.created_at >= since)
    return connection.execute(lost.values(state=PENDING, attempts=0, error="", not_before=0.0)).rowcount > 0
