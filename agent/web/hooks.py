"""Webhooks: `POST /hooks/TRIGGER` with a signed body. Who signed it is checked before anything in it is read."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from loguru import logger

from agent.errors import DirigentError, NotFound
from agent.web.guard import TooLarge, TooSlow, body_of

Receive = Callable[[str, Mapping[str, str], bytes], Awaitable[str]]
"""Takes a trigger's id, the headers (names in small letters) and the body; returns accepted, duplicate or refused.

What is accepted is stored when this returns. Raises NotFound for a trigger that is none.
"""
UNKNOWN = "unknown"
MOST_CHARS = 100
STATUS = {"accepted": 202, "duplicate": 200, "refused": 401}
AGAIN_SECONDS = 10
REFUSED = "The signature, its time or the secret does not fit."


@dataclass(slots=True)
class Allowance:
    """How many calls each name may still make: `per_minute`, saved up for at most a minute."""

    per_minute: int
    clock: Callable[[], float] = time.monotonic
    _left: dict[str, tuple[float, float]] = field(default_factory=dict)

    def take(self, name: str) -> bool:
        """Take one; False when there is none left."""
        now = self.clock()
        left, at = self._left.get(name, (float(self.per_minute), now))
        left = min(self.per_minute, left + (now - at) * self.per_minute / 60)
        self._left[name] = (left - (left >= 1), now)
        return left >= 1

    def give_back(self, name: str) -> None:
        """Give one back that came to nothing: who can't sign can't use up anybody's."""
        left, at = self._left[name]
        self._left[name] = (left + 1, at)

    def forget(self, name: str) -> None:
        """Forget a name that is none."""
        self._left.pop(name, None)


def router(receive: Receive, *, per_minute: int) -> APIRouter:
    """Return the route `POST /hooks/TRIGGER`.

    202 accepted · 200 it came before · 401 · 404 · 408 · 413 over 1 MiB · 429 · 503 not now.

    What is accepted is in the journal.
    """
    made = APIRouter()
    allowance = Allowance(per_minute)

    @made.post("/hooks/{trigger}")
    async def hook(trigger: str, request: Request) -> JSONResponse:
        if not allowance.take(trigger := trigger[:MOST_CHARS]):
            return _answer(429, "Too many calls.", {"Retry-After": str(max(1, 60 // per_minute))})
        came, answer = await _taken(receive, trigger, request)
        if came == UNKNOWN:
            allowance.forget(trigger)
        elif came != "accepted":
            allowance.give_back(trigger)
        return answer

    return made


async def _taken(receive: Receive, trigger: str, request: Request) -> tuple[str, JSONResponse]:
    """Hand a call on; return what came of it and the answer."""
    try:
        came = str(await receive(trigger, dict(request.headers), await body_of(request)))
        return came, _answer(STATUS[came], REFUSED if came == "refused" else came)
    except TooLarge:
        return "", _answer(413, "A body may have at most 1 MiB.", {"Connection": "close"})
    except TooSlow:
        return "", _answer(408, "The body did not come in time.", {"Connection": "close"})
    except NotFound:
        return UNKNOWN, _answer(404, "There is no such webhook.")
    except DirigentError as error:
        logger.warning("the webhook {} could not be taken: {}", trigger, error)
        return "", _not_now() if error.transient else _answer(400, error.message)
    except OSError as error:
        logger.warning("the webhook {} could not be taken: {}", trigger, error)
        return "", _not_now()


def _not_now() -> JSONResponse:
    """Return the answer after which callers come again; what was in the way is nobody's business out there."""
    return _answer(503, "Not now; call again.", {"Retry-After": str(AGAIN_SECONDS)})


def _answer(status: int, said: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"status" if status < 300 else "error": said}, status, dict(headers or {}))
