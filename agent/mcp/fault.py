"""Why a conversation with a server was given up; known without the library."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Fault:
    """Why a connection was given up, in words; "" when it was not. `inside` is where a server inside runs.

    `said` is the end of its log. `silent` says that nothing comes from the server any more, `forgotten` that it knows
    nothing of this conversation, so that it does nothing of what it is asked. `status` is what it answered last over
    HTTP, when that was an error.
    """

    why: str = ""
    inside: str = ""
    said: str = ""
    silent: bool = False
    forgotten: bool = False
    status: int = 0
