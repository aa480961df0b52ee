"""Why a conversation with a server was given up; known without the library."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Fault:
    """Why a connection was given up, in words; "" when it was not. `inside` is where a server inside runs.

    `silent` says that nothing comes from the server any more.
    """

    why: str = ""
    inside: str = ""
    silent: bool = False
