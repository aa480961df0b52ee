"""What the agent and a sidecar say to each other: the sandbox's own records as JSON, each with its length before it.

Agent to sidecar: `run` (a job), `cancel`, `warm`, `close` (a session), each with the number of the request. Sidecar to
agent: `hello` with its rung, then per request `progress` and what is `written`, and in the end `result`, `refusal` or
`done`; and each `connection` that a job has made or was refused. With a job that is spoken with: `input`, `finish`,
`strike` one way, `begun`, `heard`, `deaf` the other, and `room` both ways (see `relay`).
For a connection to a host: `dial` from there, `refuse` from here, or the connection itself (see `dialling`).
Neither side believes the other's types: what does not fit a record is an error of that request alone.
"""

from __future__ import annotations

import asyncio
import functools
import json
import struct
from typing import TYPE_CHECKING, Any

from sandbox.api import Connection, Job, JobResult, SandboxError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

VERSION = 3
MOST_BYTES = 64 << 20
_LENGTH = struct.Struct(">I")


class Broken(SandboxError):
    """The other side said something that is no message."""


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def packed(record: Job | JobResult) -> Any:
    """Return a record as plain JSON."""
    kind: Any = type(record)
    return _adapter(kind).dump_python(record, mode="json")


def job(data: Any) -> Job:
    """Read a job; raise Broken for what is none."""
    return _read(Job, data)  # type: ignore[no-any-return]


def result(data: Any) -> JobResult:
    """Read a result; raise Broken for what is none."""
    return _read(JobResult, data)  # type: ignore[no-any-return]


def connection(data: Any) -> Connection:
    """Read what a job has reached; raise Broken for what is none."""
    return _read(Connection, data)  # type: ignore[no-any-return]


def _read(kind: type, data: Any) -> Any:
    try:
        return _adapter(kind).validate_python(data)
    except ValueError as error:
        raise Broken(f"The other side sent no {kind.__name__}: {str(error)[:300]}") from None


def message(**fields: Any) -> bytes:
    """Return a message with its length before it; raise Broken when it is too large."""
    body = json.dumps(fields, separators=(",", ":"), allow_nan=False).encode()
    if len(body) > MOST_BYTES:
        raise Broken(f"{len(body)} bytes are more than the {MOST_BYTES} that a message may have.")
    return _LENGTH.pack(len(body)) + body


async def read(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    """Read the next message, None at the end. Raises Broken."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > MOST_BYTES:
            raise Broken("The other side sent a message that is too long.")
        found = json.loads(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    except (ValueError, RecursionError):
        raise Broken("The other side sent something that is not JSON.") from None
    if not isinstance(found, dict):
        raise Broken("The other side sent something that is no message.")
    return found
