"""What sandboxed work reached over the network, or was kept from, as lines of the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loguru import logger

from agent.errors import DirigentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.store.protocol import Store
    from sandbox.api import Connection

KIND = "network"


def auditor(store: Store) -> Callable[[Connection], None]:
    """Return what takes each connection into the audit log: with the next commit, so none costs one of its own.

    The result of the step that made it is written later, so a step that has ended has its connections in the log.
    """

    def note(connection: Connection) -> None:
        try:
            store.audit_soon(KIND, connection.session, facts(connection))
        except DirigentError as error:  # the journal is closed: nothing is left to write into
            logger.warning("A connection to {} is not in the audit log: {}", connection.host or "hosts", error.message)

    return note


def facts(connection: Connection) -> dict[str, Any]:
    """Return what the log says of a connection, without what is empty."""
    told = {
        "run": connection.run,
        "step": connection.step,
        "host": connection.host,
        "port": connection.port,
        "address": connection.address,
        "network": connection.network,
        "reason": connection.reason,
        "count": connection.count if connection.count > 1 else 0,
    }
    carried = {"sent": connection.sent, "received": connection.received, "seconds": round(connection.seconds, 3)}
    return {"allowed": connection.allowed, **{name: value for name, value in told.items() if value}, **carried}
