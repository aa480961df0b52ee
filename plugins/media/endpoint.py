"""The owner's media server, which speaks OpenAI's interface for images and videos: bounded, patient, without redirects.

Facts: https://platform.openai.com/docs/api-reference/images and /videos. A picture comes as base64 or as an address; a
video is a job that is asked about until it is done.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import random
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from plugins.api import ToolFailure

if TYPE_CHECKING:
    import httpx

ATTEMPTS = 4
LONGEST_WAIT = 60.0
PATIENCE = 240.0  # a picture of a large model takes minutes
MOST_IMAGE = 20_000_000
MOST_VIDEO = 250_000_000
SHOWN = 300
BUSY = {429, 500, 502, 503, 504}
EXAMPLE = "https://api.openai.com/v1"
REFUSED = ("moderation", "content_policy", "safety", "policy_violation")


class MediaFailure(ToolFailure):
    """The server did not make what was asked for.

    `status` is its answer's, 0 when there was none; `over` says that the job has ended and is not worth asking about.
    """

    def __init__(self, message: str, *, hint: str = "", status: int = 0, over: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.over = over


@dataclass(frozen=True, slots=True)
class Part:
    """A file that goes along: its field, its name and its bytes (a PNG)."""

    field: str
    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. `doing` completes "could not …". With `parts` the fields go as a form, else as JSON."""

    doing: str
    method: str
    path: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    limit: int = MOST_IMAGE * 3
    key: str = ""


def checked_url(url: str) -> str:
    """Return the owner's address without a slash at its end. Raises MediaFailure when there is none, or it is none."""
    if not url.strip():
        hint = (
            f'Set [plugins.media] url = "{EXAMPLE}" (or that of a server of yours); without one, draw_storyboard draws.'
        )
        raise MediaFailure("No media server is set up.", hint=hint)
    try:
        parts = urlsplit(url.strip())
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise MediaFailure("The setting `url` of [plugins.media] is no web address.", hint=f"It looks like {EXAMPLE}.")
    if parts.username or parts.password or parts.query or parts.fragment:
        said = "The setting `url` of [plugins.media] holds more than an address."
        raise MediaFailure(said, hint="The key belongs under [secrets] as media_key.")
    return url.strip().rstrip("/")


class MediaServer:
    """The server's door; an async context manager. `pause` waits some seconds."""

    def __init__(self, url: str, key: str = "", *, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        import httpx

        self._url = checked_url(url)
        headers = {"User-Agent": "Dirigent", **({"Authorization": f"Bearer {key}"} if key else {})}
        self._client = httpx.AsyncClient(headers=headers, timeout=httpx.Timeout(PATIENCE, connect=20), trust_env=False)
        self._pause = pause

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    @property
    def host(self) -> str:
        """The server's host, for people."""
        return urlsplit(self._url).hostname or self._url

    async def image(self, ask: Ask) -> str:
        """Ask for one picture and return it as base64. Raises MediaFailure."""
        answer = await self.json(ask)
        rows = answer.get("data")
        first = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else {}
        inline, address = first.get("b64_json"), first.get("url")
        if isinstance(inline, str) and inline:
            return _checked_base64(ask, inline)
        if isinstance(address, str) and address:
            return base64.b64encode(await self._fetched(address)).decode()
        raise MediaFailure(f"{self.host} could not {ask.doing}: its answer holds no picture.", hint="Try again.")

    async def json(self, ask: Ask) -> dict[str, Any]:
        """Send a request and return its JSON object. Raises MediaFailure when it fails, or keeps failing."""
        raw = await self.body(ask)
        try:
            found = json.loads(raw)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            hint = "Check that `url` of [plugins.media] leads to its interface (often it ends in /v1)."
            raise MediaFailure(f"{self.host} could not {ask.doing}: its answer is no JSON object.", hint=hint)
        return found

    async def body(self, ask: Ask) -> bytes:
        """Send a request and return the body. Busy answers are asked again, with the same key."""
        import httpx

        key = ask.key or secrets.token_hex(16)
        for attempt in range(ATTEMPTS):
            last = attempt == ATTEMPTS - 1
            try:
                answer, body = await self._send(ask, key)
            except httpx.HTTPError as problem:
                never_sent = isinstance(problem, (httpx.ConnectError, httpx.ConnectTimeout))
                if last or not (never_sent or ask.method == "GET"):
                    raise self._unreachable(ask, problem) from problem
                await self._pause(_backoff(attempt))
                continue
            if answer.status_code < 300:
                return body
            if last or answer.status_code not in BUSY or _is_out_of_money(body):
                raise self._refused(ask, answer, body)
            await self._pause(self._wait(ask, answer, attempt))
        raise AssertionError("unreachable")

    async def _send(self, ask: Ask, key: str) -> tuple[httpx.Response, bytes]:
        headers = {"Idempotency-Key": key} if ask.method == "POST" else {}
        form: dict[str, Any] = {}
        if ask.parts:
            form["data"] = {name: str(value) for name, value in ask.fields.items()}
            form["files"] = [(part.field, (part.name, part.data, "image/png")) for part in ask.parts]
        elif ask.method == "POST":
            form["json"] = dict(ask.fields)
        async with self._client.stream(ask.method, f"{self._url}/{ask.path}", headers=headers, **form) as answer:
            received = bytearray()
            async for part in answer.aiter_bytes():
                received += part
                if len(received) > ask.limit:
                    said = f"{self.host} could not {ask.doing}: the answer has more than {ask.limit // 1_000_000} MB."
                    raise MediaFailure(said, hint="Ask for a smaller size.")
            return answer, bytes(received)

    async def _fetched(self, address: str) -> bytes:
        """Fetch a picture that the server names: from itself, or from the public web, never from inside."""
        from plugins.web.client import get
        from plugins.web.guard import Allowed

        own, named = urlsplit(self._url), urlsplit(address)
        allowed = Allowed()
        if (own.scheme, own.hostname, own.port) == (named.scheme, named.hostname, named.port) and own.hostname:
            allowed = allowed.and_host(own.hostname, own.port or (443 if own.scheme == "https" else 80))
        return (await get(address, allowed, limit=MOST_IMAGE)).body

    def _wait(self, ask: Ask, answer: httpx.Response, attempt: int) -> float:
        header = answer.headers.get("retry-after", "").strip()
        wanted = float(header) if header.replace(".", "", 1).isdecimal() else _backoff(attempt)
        if wanted > LONGEST_WAIT:
            said = f"{self.host} could not {ask.doing}: it is busy and asks to come back in {wanted:.0f} seconds."
            raise MediaFailure(said, hint="Run this again then.", status=answer.status_code)
        return wanted

    def _refused(self, ask: Ask, answer: httpx.Response, body: bytes) -> MediaFailure:
        words, code = _words(body)
        status = answer.status_code
        if any(sign in f"{code} {words}".lower() for sign in REFUSED):
            said = f"{self.host} refuses to {ask.doing}: {words or code}."
            return MediaFailure(said, hint="Say it in other words.", status=status)
        reason = f"it answered {status} {answer.reason_phrase}".strip() + (f": {words}" if words else "")
        hint = REMEDIES.get(status, REMEDIES[500] if status >= 500 else "")
        if _is_out_of_money(body):
            hint = "The account of the media server is out of money; that is settled with its operator."
        return MediaFailure(f"{self.host} could not {ask.doing}: {reason}.", hint=hint, status=status)

    def _unreachable(self, ask: Ask, problem: httpx.HTTPError) -> MediaFailure:
        import httpx

        late = isinstance(problem, httpx.TimeoutException)
        reason = (
            f"it was silent for {PATIENCE:g} seconds" if late else f"it can't be reached ({type(problem).__name__})"
        )
        hint = "Check `url` of [plugins.media], and that the server is running."
        return MediaFailure(f"{self.host} could not {ask.doing}: {reason}.", hint=hint)


REMEDIES = {
    400: "Check `image_model` and `video_model` of [plugins.media], and the size.",
    401: 'Its key is missing or wrong: set [secrets] media_key = "…".',
    403: "The key of [secrets] media_key may not do this.",
    404: "The server has no such model, or does not make this kind of media; check `url` and the models.",
    413: "The picture is too large for it.",
    429: "It is busy; run this again later.",
    500: "The server itself failed; run this again later.",
}


def _backoff(attempt: int) -> float:
    return float(1.0 * 2**attempt * (1 + random.random() / 4))  # noqa: S311  # spreads retries, guards nothing


def _is_out_of_money(body: bytes) -> bool:
    return b"insufficient_quota" in body[:4_000] or b"billing_hard_limit" in body[:4_000]


def _words(body: bytes) -> tuple[str, str]:
    """Return what an error answer says, and its code."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        text = body[:SHOWN].decode("utf-8", errors="replace")
        return ("" if "<" in text else _line(text)), ""
    error = said.get("error", said) if isinstance(said, dict) else said
    if isinstance(error, dict):
        return _line(str(error.get("message") or error.get("detail") or "")), str(error.get("code") or "")
    return _line(str(error or "")), ""


def _line(text: str) -> str:
    clean = "".join(char if char.isprintable() else " " for char in text[: 4 * SHOWN])
    return " ".join(clean.split())[:SHOWN].rstrip(".")


def _checked_base64(ask: Ask, text: str) -> str:
    try:
        size = len(base64.b64decode(text, validate=False))
    except (binascii.Error, ValueError):
        size = 0
    if not 0 < size <= MOST_IMAGE:
        raise MediaFailure(f"The picture could not be read: could not {ask.doing}.", hint="Try again.")
    return text
