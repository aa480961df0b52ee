"""Requests to the owner's ticket system: bounded, without redirects or proxies, repeated where that is harmless."""

from __future__ import annotations

import asyncio
import email.utils
import json
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from plugins.tickets.records import TicketFailure

ATTEMPTS = 4
LONGEST_WAIT = 30.0
SECONDS = 20.0
MAX_BYTES = 20_000_000
SHOWN = 300
BUSY = {429, 502, 503, 504}

Params = Sequence[tuple[str, str]]
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. `doing` completes "could not …"; `repeatable` says that asking twice changes no more than once."""

    doing: str
    method: str
    path: str
    params: Params = ()
    body: Mapping[str, Any] | None = None
    repeatable: bool = True


async def together(works: Sequence[Coroutine[Any, Any, Found]]) -> list[Found]:
    """Run works at once and return their results in order; when one fails, the others are cancelled."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    return [task.result() for task in tasks]


def checked_url(url: str, example: str) -> str:
    """Return the owner's address without a slash at its end; raises TicketFailure when it cannot be one."""
    if not url.strip():
        hint = f'Add it to dirigent.toml: [plugins.tickets] url = "{example}".'
        raise TicketFailure("The address of the ticket system is not set.", hint=hint)
    try:
        parts = urlsplit(url.strip())
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        said = "The setting `url` of [plugins.tickets] is no web address."
        raise TicketFailure(said, hint=f"It looks like {example}.")
    if parts.username or parts.password or parts.query or parts.fragment:
        said = "The setting `url` of [plugins.tickets] holds more than an address."
        raise TicketFailure(said, hint="Passwords and tokens belong under [secrets].")
    return url.strip().rstrip("/")


class Service:
    """One system's HTTP door. `refusal` turns an error answer into its words, `remedies` a status into the way on."""

    def __init__(
        self,
        system: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        remedies: Mapping[int, str] | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.system = system
        self._client = httpx.AsyncClient(
            headers={"Accept": "application/json", "User-Agent": "Dirigent", **(headers or {})},
            timeout=httpx.Timeout(SECONDS, pool=None),
            limits=httpx.Limits(max_connections=4),
            trust_env=False,
        )
        self._url = url
        self._remedies = {**REMEDIES, **(remedies or {})}
        self._pause = pause

    async def ask(self, ask: Ask) -> Any:
        """Send a request and return its JSON. Raises TicketFailure when it fails, or keeps failing."""
        for attempt in range(ATTEMPTS):
            last = attempt == ATTEMPTS - 1
            try:
                answer, text = await self._send(ask)
            except httpx.HTTPError as problem:
                never_sent = isinstance(problem, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))
                if last or not (ask.repeatable or never_sent):
                    raise self._unreachable(ask, problem, unknown=not never_sent) from problem
                await self._pause(_backoff(attempt))
                continue
            # Told to come back later, the system has done nothing yet; any other failure may have come after the deed.
            if last or not (answer.status_code == 429 or (ask.repeatable and answer.status_code in BUSY)):
                return self._read(ask, answer, text)
            await self._pause(self._wait(ask, answer, attempt))
        raise AssertionError("unreachable")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _send(self, ask: Ask) -> tuple[httpx.Response, str]:
        params = httpx.QueryParams(list(ask.params))
        body = ask.body if ask.body is None else json.dumps(ask.body, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json; charset=utf-8"} if body is not None else {}
        address = f"{self._url}/{ask.path.lstrip('/')}"
        async with self._client.stream(
            ask.method, address, params=params or None, content=body, headers=headers
        ) as answer:
            received = bytearray()
            async for part in answer.aiter_bytes():
                received += part
                if len(received) > MAX_BYTES:
                    raise self._failure(ask, f"its answer has more than {MAX_BYTES // 1_000_000} MB", "Ask for fewer.")
            return answer, received.decode("utf-8", errors="replace")

    def _read(self, ask: Ask, answer: httpx.Response, text: str) -> Any:
        status = answer.status_code
        if status >= 400:
            hint = self._remedies.get(status, self._remedies[500] if status >= 500 else "")
            unknown = status >= 500 and not ask.repeatable
            said = _words(text)
            reason = f"it answered {status} {answer.reason_phrase}".strip() + (f": {said}" if said else "")
            raise self._failure(ask, reason, hint, status=status, unknown=unknown)
        if status >= 300:
            hint = "Set `url` of [plugins.tickets] to the address that it sends to, if that is yours."
            raise self._failure(ask, f"it sends elsewhere ({status}), which is not followed", hint, status=status)
        try:
            return json.loads(text) if text.strip() else None
        except (ValueError, RecursionError) as problem:
            hint = "Check that `url` of [plugins.tickets] leads to its interface and not to a page."
            reason = f"its answer is no JSON: {_line(text)[:80]!r}"
            raise self._failure(ask, reason, hint, status=status, unknown=not ask.repeatable) from problem

    def _wait(self, ask: Ask, answer: httpx.Response, attempt: int) -> float:
        """Return how many seconds to wait; raises TicketFailure for more than anybody would wait in a step."""
        wanted = _retry_after(answer.headers.get("retry-after", ""))
        if wanted is None:
            return _backoff(attempt)
        if wanted > LONGEST_WAIT:
            reason = f"it is busy and asks to come back in {wanted:.0f} seconds"
            raise self._failure(ask, reason, "Run this again then.", status=answer.status_code)
        return wanted

    def _unreachable(self, ask: Ask, problem: httpx.HTTPError, *, unknown: bool) -> TicketFailure:
        if isinstance(problem, httpx.TimeoutException):
            reason = f"it did not answer within {SECONDS:g} seconds"
        else:
            reason = f"it cannot be reached ({type(problem).__name__})"
        hint = "Check `url` of [plugins.tickets], and that the system is running."
        return self._failure(ask, reason, hint, unknown=unknown and not ask.repeatable)

    def _failure(self, ask: Ask, reason: str, hint: str, *, status: int = 0, unknown: bool = False) -> TicketFailure:
        message = f"{self.system} could not {ask.doing}: {reason}."
        return TicketFailure(message, hint=hint, status=status, unknown=unknown)


REMEDIES = {
    403: "The account may not do this; its permissions are set in the ticket system.",
    404: "Check the number, and `url` of [plugins.tickets].",
    409: "Someone else changed it at the same time; run this again.",
    422: "Use the names as the ticket system has them.",
    429: "It is busy; run this again later.",
    500: "The ticket system itself failed; its log says more. Run this again later.",
}


def _backoff(attempt: int) -> float:
    return float(0.5 * 2**attempt * (1 + random.random() / 4))  # noqa: S311  # spreads retries, guards nothing


def _retry_after(header: str) -> float | None:
    """Return the seconds of a Retry-After header (RFC 9110, 10.2.3: seconds or a date), or None."""
    if header.strip().isdecimal():
        return float(header)
    try:
        when = email.utils.parsedate_to_datetime(header)
    except (TypeError, ValueError):
        return None
    zoned = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (zoned - datetime.now(UTC)).total_seconds())


def _words(text: str) -> str:
    """Return what an error answer says: Zammad's `error_human` or `error`, else the beginning of a plain text."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return "" if "<" in text[:200] else _line(text)
    if not isinstance(said, dict):
        return ""
    return _line(str(said.get("error_human") or said.get("error") or said.get("faultstring") or ""))


def _line(text: str) -> str:
    clean = "".join(char if char.isprintable() else " " for char in text[: 4 * SHOWN])
    return " ".join(clean.split())[:SHOWN].rstrip(".")
