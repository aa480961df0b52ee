"""Who may see the pages: whoever knows the password, or brings a one-time code that the command line printed.

Then a cookie counts, whose SHA-256 lies in the journal, so that a restart logs nobody out. Every change needs the
form's token as well, and a browser that says that it comes from another site is refused.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agent.errors import DirigentError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from agent.store.protocol import Store

COOKIE = "dirigent"
SESSIONS, CODE = "web:sessions", "web:code"
SESSION_SECONDS = 14 * 86_400.0
CODE_SECONDS = 600.0
MOST_SESSIONS = 20
TRIES, WITHIN = 10, 60.0


class NotIn(DirigentError):
    """Nobody is logged in."""


class Forged(DirigentError):
    """A change without the form's token, or from another site."""


class TooMany(DirigentError):
    """Too many wrong passwords or codes."""


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody who is logged in: `key` is the SHA-256 (hex) of the cookie, `csrf` what their forms carry."""

    key: str
    csrf: str
    until: float


class Entry:
    """The door of the pages. `password` "" means that only codes let in; `clock` gives seconds since 1970."""

    def __init__(self, store: Store, password: str = "", clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._password = password
        self._clock = clock
        self._wrong: deque[float] = deque(maxlen=TRIES)
        self._changing = asyncio.Lock()

    @property
    def has_password(self) -> bool:
        """True when a password lets in, not only a code."""
        return bool(self._password)

    async def log_in(self, *, password: str = "", code: str = "") -> str:
        """Return a new cookie's value. Raises NotIn for what is wrong, TooMany after ten wrong ones in a minute."""
        now = self._clock()
        if len(self._wrong) == TRIES and now - self._wrong[0] < WITHIN:
            raise TooMany("Too many wrong passwords or codes.", hint="Try again in a minute.")
        async with self._changing:
            fits = await self._use_up(code) if code else self._fits(password)
            if not fits:
                self._wrong.append(now)
                said = "This code is wrong, used up or too old." if code else "This password is wrong."
                raise NotIn(said, hint="`dirigent web` prints a fresh link.")
            cookie = secrets.token_urlsafe(32)
            made = Visit(digest(cookie), secrets.token_urlsafe(24), now + SESSION_SECONDS)
            kept = [one for one in await self._visits() if one.until > now][-MOST_SESSIONS + 1 :]
            await self._keep([*kept, made])
        return cookie

    async def visit(self, request: Request) -> Visit:
        """Return who is logged in. Raises NotIn."""
        cookie = request.cookies.get(COOKIE, "")
        key, now = digest(cookie), self._clock()
        found = next((one for one in await self._visits() if one.until > now and same(one.key, key)), None)
        if not cookie or found is None:
            raise NotIn("Nobody is logged in here.")
        return found

    async def log_out(self, visit: Visit) -> None:
        """Have the cookie count no more."""
        async with self._changing:
            await self._keep([one for one in await self._visits() if one.key != visit.key])

    def _fits(self, password: str) -> bool:
        return bool(self._password) and same(digest(password), digest(self._password))

    async def _use_up(self, code: str) -> bool:
        noted = json.loads(await self._store.get_value(CODE) or "{}")
        fits = noted.get("until", 0.0) > self._clock() and same(noted.get("key", ""), digest(code))
        if fits:
            await self._store.set_value(CODE, "")
        return fits

    async def _visits(self) -> list[Visit]:
        return [Visit(**one) for one in json.loads(await self._store.get_value(SESSIONS) or "[]")]

    async def _keep(self, visits: list[Visit]) -> None:
        written = [{"key": one.key, "csrf": one.csrf, "until": one.until} for one in visits]
        await self._store.set_value(SESSIONS, json.dumps(written))


async def new_code(store: Store, now: float) -> str:
    """Return a code that lets somebody in once, within ten minutes; an earlier one counts no more."""
    code = secrets.token_urlsafe(24)
    await store.set_value(CODE, json.dumps({"key": digest(code), "until": now + CODE_SECONDS}))
    return code


def digest(text: str) -> str:
    """Return the SHA-256 (hex) of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def same(one: str, other: str) -> bool:
    """Compare in a time that says nothing about the texts."""
    return hmac.compare_digest(one.encode(), other.encode())


def check_origin(request: Request) -> None:
    """Raise Forged for a form that a page of another site sends."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin", "")
    foreign = bool(origin) and urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower()
    if site not in {"same-origin", "none"} or foreign:
        raise Forged("This form comes from another site.", hint="Open the page here and send it again.")


def give(response: Response, cookie: str, *, secure: bool) -> None:
    """Put the cookie into an answer; `secure` keeps it off plain HTTP."""
    age = int(SESSION_SECONDS) if cookie else 0
    response.set_cookie(COOKIE, cookie, max_age=age, path="/admin", secure=secure, httponly=True, samesite="strict")
