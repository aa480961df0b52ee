"""Who was let in, by which code, and how often codes were guessed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select, update
from sqlalchemy import insert as plain_insert

from agent.domain.people import Pairing, Person, Role
from agent.store.dialect import insert
from agent.store.people_tables import pairing_attempts, pairing_codes, people
from agent.store.rows import plain

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

WINDOW = 600.0
TRIES_OF_ONE = 5
TRIES_OF_ALL = 30


def person_row(person: Person, now: float) -> dict[str, Any]:
    """Return the person as a row."""
    return {
        "channel": person.channel,
        "user_id": person.user_id,
        "name": plain(person.name),
        "role": person.role.value,
        "language": plain(person.language),
        "paired_at": person.paired_at or now,
    }


def _person(row: Row[Any]) -> Person:
    return Person(row.channel, row.user_id, row.name, Role(row.role), row.language, row.paired_at)


def listed(connection: Connection, channel: str) -> list[Person]:
    """Return everybody of a channel ("" means all), the earliest first."""
    query = select(people).order_by(people.c.paired_at, people.c.user_id)
    if channel:
        query = query.where(people.c.channel == channel)
    return [_person(row) for row in connection.execute(query)]


def _get(connection: Connection, channel: str, user_id: str) -> Person | None:
    found = connection.execute(select(people).where(people.c.channel == channel, people.c.user_id == user_id)).first()
    return None if found is None else _person(found)


def put(connection: Connection, row: dict[str, Any]) -> None:
    """Insert a person, or change the name, role and language of the one who is there."""
    changed = {name: row[name] for name in ("name", "role", "language")}
    connection.execute(
        insert(connection, people)
        .values(**row)
        .on_conflict_do_update(index_elements=[people.c.channel, people.c.user_id], set_=changed)
    )


def remove(connection: Connection, channel: str, user_id: str) -> bool:
    """Forget a person; False when there is none."""
    which = (people.c.channel == channel, people.c.user_id == user_id)
    return connection.execute(delete(people).where(*which)).rowcount == 1


def add_code(connection: Connection, digest: str, role: str, now: float, expires_at: float) -> None:
    """Note a code that lets one person in; what is long over goes."""
    connection.execute(delete(pairing_codes).where(pairing_codes.c.expires_at < now - WINDOW))
    connection.execute(plain_insert(pairing_codes).values(digest=digest, role=role, expires_at=expires_at))


def pair(connection: Connection, digest: str, row: dict[str, Any], now: float) -> Pairing:
    """Use up the code for the person of `row`, or count the try; a code that this person has used is still theirs."""
    channel, user_id = row["channel"], row["user_id"]
    there = _get(connection, channel, user_id)
    if there is not None and there.role is Role.BLOCKED:
        return Pairing()
    if _too_many(connection, channel, user_id, now):
        return Pairing(wait=True)
    connection.execute(plain_insert(pairing_attempts).values(channel=channel, user_id=user_id, at=now))
    codes = pairing_codes.c
    good = (codes.digest == digest, codes.used_by == "", codes.expires_at > now)
    used = update(pairing_codes).where(*good).values(used_by=f"{channel}:{user_id}").returning(codes.role)
    role = connection.execute(used).scalar_one_or_none()
    if role is None:
        mine = select(codes.digest).where(codes.digest == digest, codes.used_by == f"{channel}:{user_id}")
        return Pairing(there if connection.execute(mine).first() else None)
    keeps = there is not None and there.role is Role.OWNER
    put(connection, {**row, "role": Role.OWNER.value if keeps else role})
    return Pairing(_get(connection, channel, user_id))


def _too_many(connection: Connection, channel: str, user_id: str, now: float) -> bool:
    """Tell whether this person, or everybody together, has tried often enough for now."""
    tries = pairing_attempts.c
    connection.execute(delete(pairing_attempts).where(tries.at < now - WINDOW))
    of_one = select(func.count()).where(tries.channel == channel, tries.user_id == user_id)
    of_all = select(func.count()).select_from(pairing_attempts)
    return (
        connection.execute(of_one).scalar_one() >= TRIES_OF_ONE
        or connection.execute(of_all).scalar_one() >= TRIES_OF_ALL
    )
