"""What a broken connection means, below and above the SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.llm import failures
from agent.llm.reading import BrokenOff, NoStream, Silence
from agent.llm.reply import StreamFault

if TYPE_CHECKING:
    from agent.llm.failures import Failure, Place

CONNECT_SECONDS = 10.0


def of_reading(error: Exception, place: Place) -> Failure:
    """Say what an exception means that came while a stream was read, below the SDK."""
    import httpx2

    match error:
        case StreamFault():
            return failures.of_stream_fault(error.payload, place)
        case Silence():
            return failures.of_silence(place, error.seconds, first=error.first)
        case BrokenOff():
            return failures.of_connection(place, connect=False, detail="the stream ended early")
        case NoStream():
            return failures.of_status(404, str(error), {}, place)
        case httpx2.HTTPError() | OSError():
            return failures.of_connection(place, connect=False, detail=detail(error))
        case httpx2.StreamError() | ValueError() | KeyError() | TypeError() | AttributeError():
            return failures.of_garbage(place, type(error).__name__)
    raise error


def at_connect(error: Exception) -> bool:
    """Tell whether no connection came about at all."""
    import httpx2

    return isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout)


def detail(error: Exception) -> str:
    """Return the shortest useful words for a broken connection."""
    cause = error.__cause__ or error
    if type(cause).__name__ == "ConnectTimeout":
        return f"no answer within {CONNECT_SECONDS:.0f} s"
    said = str(cause).strip()
    return "connection refused" if "All connection attempts failed" in said else said or type(cause).__name__
