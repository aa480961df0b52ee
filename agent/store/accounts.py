"""What is spent and set aside, summed up by account: a call costs the same however long the ledger is.

Amounts are whole billionths of a US dollar, so that sums stay exact. Accounts are touched in the order of their names:
two transactions never wait for each other.
"""

from __future__ import annotations

import json
import math
import secrets
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, select
from sqlalchemy import insert as plain_insert
from sqlalchemy.dialects import postgresql, sqlite

from agent.domain.ledger import Balance, Reservation, Usage
from agent.store import audit, records
from agent.store.dialect import Prepared
from agent.store.rows import dump
from agent.store.tables import accounts, reservations, runs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection, Row
    from sqlalchemy.sql.dml import UpdateBase

    from agent.domain.ledger import Cap

BILLION = 1_000_000_000
LOST = "lost"
_AMOUNTS = ("money", "tokens", "reserved_money", "reserved_tokens")


def _adding(added: sqlite.Insert | postgresql.Insert) -> UpdateBase:
    row = added.values({name: bindparam(name) for name in ("account", *_AMOUNTS)})
    sums = {name: accounts.c[name] + row.excluded[name] for name in _AMOUNTS}
    return row.on_conflict_do_update(index_elements=[accounts.c.account], set_=sums)


_ADD = Prepared(
    _adding(sqlite.insert(accounts)), ("account", *_AMOUNTS), on_server=_adding(postgresql.insert(accounts))
)
_SELECT = select(accounts).where(accounts.c.account.in_(bindparam("names", expanding=True)))
_SET_ASIDE = Prepared(
    plain_insert(reservations).values(
        {name: bindparam(name) for name in ("id", "run_id", "accounts", "money", "tokens", "made_at")}
    ),
    ("id", "run_id", "accounts", "money", "tokens", "made_at"),
)
Amounts = tuple[int, int, int, int]


def billionths(money: float) -> int:
    """Return US dollars as whole billionths, rounded up: what is set aside is never too little."""
    return math.ceil(round(money * BILLION, 3))


def _add(connection: Connection, names: Iterable[str], amounts: Amounts) -> None:
    _ADD.run(connection, [(name, *amounts) for name in sorted(names)])


def balances(connection: Connection, names: Sequence[str]) -> tuple[Balance, ...]:
    """Return where accounts stand, in the order asked for; zeros for one that is unknown."""
    found = {row.account: _balance(row) for row in connection.execute(_SELECT, {"names": list(names)})}
    return tuple(found.get(name) or Balance(name) for name in names)


def balance(connection: Connection, name: str) -> Balance:
    """Return where one account stands."""
    return balances(connection, [name])[0]


def _balance(row: Row[Any]) -> Balance:
    return Balance(
        account=row.account,
        money=row.money / BILLION,
        tokens=row.tokens,
        reserved_money=row.reserved_money / BILLION,
        reserved_tokens=row.reserved_tokens,
    )


# --- setting aside ------------------------------------------------------------------------------------------------
def reserve(
    connection: Connection, caps: Sequence[Cap], amount: tuple[int, int], run_id: int | None, now: float
) -> Reservation:
    """Set (billionths, tokens) aside on every account, or on none when a cap would be passed.

    The accounts are raised first and read then, which locks them: whoever comes at the same time sees the sum.
    """
    money, tokens = amount
    names = list(dict.fromkeys(cap.account for cap in caps))
    _add(connection, names, (0, 0, money, tokens))
    rows = {row.account: row for row in connection.execute(_SELECT, {"names": names})}
    refused = next((cap.account for cap in caps if _passes(cap, rows[cap.account])), "")
    reservation_id = 0 if refused else secrets.randbits(62) | 1
    if refused:
        _add(connection, names, (0, 0, -money, -tokens))
    else:
        row = (reservation_id, run_id, dump(names), money, tokens, now)
        _SET_ASIDE.run(connection, [row])
    standing = balances(connection, names) if refused else tuple(_balance(rows[name]) for name in names)
    return Reservation(reservation_id, run_id, money / BILLION, tokens, standing, refused)


def _passes(cap: Cap, row: Row[Any]) -> bool:
    over = cap.money is not None and row.money + row.reserved_money > billionths(cap.money)
    return over or (cap.tokens is not None and row.tokens + row.reserved_tokens > cap.tokens)


def settle(
    connection: Connection, reservation_id: int, rows: list[dict[str, Any]], *, spent: tuple[int, int]
) -> tuple[Balance, ...]:
    """Put (billionths, tokens) in the place of a reservation and append `rows` to the ledger; return the accounts.

    Nothing, and no accounts, for a reservation that is settled already.
    """
    gone = delete(reservations).where(reservations.c.id == reservation_id)
    taken = connection.execute(gone.returning(*reservations.c)).first()
    if taken is None:
        return ()
    names = json.loads(taken.accounts)
    _add(connection, names, (*spent, -taken.money, -taken.tokens))
    records.spend(connection, rows)
    return balances(connection, names)


def settle_lost(connection: Connection, run_id: int, now: float) -> int:
    """Settle what nobody is left to settle as if all of it was used; return how many reservations there were."""
    gone = delete(reservations).where(reservations.c.run_id == run_id)
    return _lose(connection, list(connection.execute(gone.returning(*reservations.c))), now)


def settle_older(connection: Connection, before: float, now: float) -> int:
    """Settle what was set aside before a time as if all of it was used: no call takes that long."""
    gone = delete(reservations).where(reservations.c.made_at < before)
    return _lose(connection, list(connection.execute(gone.returning(*reservations.c))), now)


def _lose(connection: Connection, taken: Sequence[Row[Any]], now: float) -> int:
    for one in taken:
        _add(connection, json.loads(one.accounts), (one.money, one.tokens, -one.money, -one.tokens))
        session = connection.execute(select(runs.c.session_id).where(runs.c.id == one.run_id)).scalar() or ""
        used = Usage(LOST, prompt_tokens=one.tokens, money=one.money / BILLION, estimated=True)
        records.spend(connection, records.usage_rows(session, one.run_id, "", [used], now))
        detail = {"run_id": one.run_id, "money": one.money / BILLION, "tokens": one.tokens}
        audit.note(connection, "settled as lost", session, detail, now)
    return len(taken)


def used(usage: Sequence[Usage]) -> tuple[int, int]:
    """Return what was used as (billionths of a dollar, tokens); a price that is unknown counts as no money."""
    money = sum(round((one.money or 0.0) * BILLION) for one in usage)
    return money, sum(one.prompt_tokens + one.completion_tokens for one in usage)
