"""What went wrong with a call, in words for a person, and whether it is worth another try."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from agent.errors import ModelError, ModelRefused, ModelUnavailable, PromptTooLong

LONGEST_MESSAGE = 400
LONGEST_WAIT = 60.0
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 20.0
LOADING_PAUSE = 2.0
BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
NO_MODEL = re.compile(
    r"model.{0,200}?(not found|does not exist|not exist|not a valid|unknown|not loaded)|no such model",
    re.IGNORECASE | re.DOTALL,
)
TOO_LONG = re.compile(
    r"context.?(length|window|size)|maximum (context|model length)|too many tokens|(prompt|input) is too long|"
    r"exceeds? the (available|model)|too long to fit",
    re.IGNORECASE,
)
# How servers name the two sizes: OpenAI and vLLM, llama.cpp, LM Studio.
WINDOW_SAID = re.compile(
    r"context (?:length|size|window)(?: of)?(?: is)?(?: only)? ?\(?(\d{3,})|maximum model length of (\d{3,})",
    re.IGNORECASE,
)
PROMPT_SAID = re.compile(
    r"(\d{3,}) (?:in (?:the|your) (?:messages|prompt)|input tokens)|resulted in (\d{3,})|request \((\d{3,}) tokens|"
    r"(?:prompt \(|total |prompt )length (\d{3,})|keep the first (\d{3,})",
    re.IGNORECASE,
)
LOADING = re.compile(r"loading model|model is (currently )?loading", re.IGNORECASE)
QUOTA = re.compile(r"(?i)insufficient_quota|exceeded your current quota|billing|insufficient.?(balance|credit|funds)")


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt.

    `error` is what to raise when there is no other try, `retry` whether there may be one, `cause` the short form for a
    notice ("is busy (429)"), `wait` the seconds that the server asks for, `loading` that the server is still starting,
    `message` what the server itself said, `unknown_model` that it does not have the model.
    """

    error: ModelError
    retry: bool = False
    cause: str = ""
    wait: float | None = None
    loading: bool = False
    unknown_model: bool = False
    status: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a call went: the server's address as it may be shown, the model, and whether a key went along."""

    url: str
    model: str
    has_key: bool


def server_message(body: Any) -> str:
    """Return what a server said in the body of an error, on one line and not too long."""
    inner = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(inner, dict):
        inner = inner.get("message") or inner.get("detail") or inner.get("error") or inner
    text = re.sub(r"<[^>]*>", " ", str(inner or ""))
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_MESSAGE else text[: LONGEST_MESSAGE - 1] + "…"


def wait_of(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a Retry-After header asks to wait, or None."""
    milliseconds, after = headers.get("retry-after-ms"), headers.get("retry-after")
    try:
        if milliseconds:
            return max(0.0, float(milliseconds) / 1000)
        return max(0.0, float(after)) if after else None
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(str(after)).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def of_status(status: int, body: Any, headers: Mapping[str, str], place: Place) -> Failure:
    """Explain an HTTP error."""
    message = server_message(body)
    code = str(
        (body.get("error") or {}).get("code") if isinstance(body, dict) and isinstance(body.get("error"), dict) else ""
    )
    for_good = status == 429 and QUOTA.search(f"{code} {message}")
    for_good = for_good or (status == 500 and TOO_LONG.search(message))  # llama.cpp says it with 500
    if status in BUSY and not for_good:
        return _busy(status, message, wait_of(headers), place)
    error, hint = _refusal(status, code, message, place)
    if hint == SET_WINDOW:
        window, prompt = _sizes(body, message)
        too_long = PromptTooLong(error, hint=hint, window=window, prompt=prompt)
        return Failure(too_long, status=status, message=message)
    unknown = hint == NO_SUCH_MODEL
    refused = ModelRefused(error, hint="" if unknown else hint)
    return Failure(refused, unknown_model=unknown, status=status, message=message)


NO_SUCH_MODEL = "no such model"
SET_WINDOW = "Set `llm.window` in dirigent.toml to the context size that the server really has."


def _sizes(body: Any, message: str) -> tuple[int, int]:
    """Return the model's context and what the request had, in tokens; 0 for what the server does not say."""
    inner = body.get("error", body) if isinstance(body, dict) else None
    if isinstance(inner, dict) and isinstance(inner.get("n_ctx"), int):
        prompt = inner.get("n_prompt_tokens")
        return inner["n_ctx"], prompt if isinstance(prompt, int) else 0
    return _number(WINDOW_SAID, message), _number(PROMPT_SAID, message)


def _number(said: re.Pattern[str], message: str) -> int:
    found = said.search(message)
    return int(next(filter(None, found.groups()), 0)) if found else 0


def _said(message: str) -> str:
    """Return the end of a sentence: what the server said, if it said anything."""
    return f": {message}{'' if message.endswith(('.', '!', '?', '…')) else '.'}" if message else "."


def _refusal(status: int, code: str, message: str, place: Place) -> tuple[str, str]:
    """Return the sentence and the hint for an error that another try does not mend."""
    url, said = place.url, _said(message)
    if status in {401, 403}:
        refused = f"The model server at {url} refuses the key ({status}){said}", "Check OPENAI_API_KEY."
        wanted = f"The model server at {url} wants a key ({status}){said}", "Set OPENAI_API_KEY."
        return refused if place.has_key else wanted
    if status == 402 or (status == 429 and QUOTA.search(f"{code} {message}")):
        return f"The account at {url} has no credit left ({status}){said}", "Add credit, or choose another model."
    if code == "model_not_found" or (status in {400, 404, 422} and NO_MODEL.search(message)):
        return f"The model server at {url} does not have the model {place.model!r} ({status}){said}", NO_SUCH_MODEL
    if code == "context_length_exceeded" or status == 413 or TOO_LONG.search(message):
        return f"The request is too long for the model {place.model!r} ({status}){said}", SET_WINDOW
    if status in {404, 405}:
        hint = "Check OPENAI_BASE_URL; it usually ends in /v1."
        return f"Nothing that speaks the OpenAI protocol answers at {url} ({status}){said}", hint
    return f"The model server at {url} refused the request ({status}){said}", "`dirigent doctor` checks the model."


def _busy(status: int, message: str, wait: float | None, place: Place) -> Failure:
    loading = status == 503 and bool(LOADING.search(message))
    url, said = place.url, _said(message)
    if loading:
        cause, sentence = "is still loading the model", f"The model server at {url} is still loading the model{said}"
    elif status < 500:
        cause, sentence = f"is busy ({status})", f"The model server at {url} is busy ({status}){said}"
    else:
        cause, sentence = f"has a problem ({status})", f"The model server at {url} has a problem ({status}){said}"
    error = ModelUnavailable(sentence, hint="Try again in a while.")
    return Failure(error, retry=True, cause=cause, wait=wait, loading=loading, status=status, message=message)


def of_stream_fault(payload: Any, place: Place) -> Failure:
    """Explain an error that came within a stream; only what is plainly permanent is not tried again."""
    inner = payload if isinstance(payload, dict) else {}
    code = inner.get("code") or inner.get("status_code")
    if isinstance(code, int) and 400 <= code < 600:
        return of_status(code, {"error": payload}, {}, place)
    if TOO_LONG.search(server_message(payload)) or code in {"context_length_exceeded", "model_not_found"}:
        return of_status(400, {"error": payload}, {}, place)
    return _busy(500, server_message(payload), None, place)


def of_connection(place: Place, *, connect: bool, detail: str) -> Failure:
    """Explain a connection that could not be opened (`connect`) or that broke."""
    if connect:
        error = ModelUnavailable(
            f"The model server at {place.url} cannot be reached ({detail}).",
            hint="Is it running? OPENAI_BASE_URL or `openai_base_url` in dirigent.toml says where it is.",
        )
        return Failure(error, retry=True, cause="cannot be reached")
    error = ModelUnavailable(f"The connection to the model server at {place.url} broke ({detail}).", hint="Try again.")
    return Failure(error, retry=True, cause="broke the connection")


def of_garbage(place: Place, detail: str) -> Failure:
    """Explain a stream that cannot be read."""
    error = ModelUnavailable(
        f"The model server at {place.url} sent something unreadable ({detail}).", hint="Try again."
    )
    return Failure(error, retry=True, cause="sent something unreadable")


def of_silence(place: Place, seconds: float, *, first: bool) -> Failure:
    """Explain a server that fell silent: before its first token (not tried again: it has been waited for) or after."""
    if first:
        error = ModelUnavailable(
            f"The model server at {place.url} did not begin its answer within {seconds:g} s.",
            hint="Raise `llm.first_token_seconds` in dirigent.toml if the model is just slow.",
        )
        return Failure(error, cause="does not answer")
    error = ModelUnavailable(
        f"The model server at {place.url} fell silent for {seconds:g} s in the middle of its answer.",
        hint="Try again, or raise `llm.stall_seconds` in dirigent.toml.",
    )
    return Failure(error, retry=True, cause="fell silent")


class Tries:
    """The attempts at one call: how many are left, and how long to wait before the next.

    `count` attempts in all; those that found the server still loading its model do not count for the first
    `loading_seconds`.
    """

    def __init__(self, count: int, loading_seconds: float) -> None:
        self._left = count
        self._made = 0
        self._loading_seconds = loading_seconds
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the first attempt."""
        return time.monotonic() - self._begun

    def pause(self, failure: Failure, shown: int) -> float:
        """Return the seconds to wait before the next attempt.

        Raises the failure when there must be none: it is for good, the attempts are used up, the server asks for too
        long a wait, or `shown` characters are out, which cannot be taken back: nothing is restarted silently.
        """
        if shown:
            message = f"The model's answer broke off after {shown} characters. {failure.error.message}"
            raise ModelUnavailable(message, hint=failure.error.hint or "Try again.")
        if not failure.retry:
            raise failure.error
        if failure.wait is not None and failure.wait > LONGEST_WAIT:
            message = f"{failure.error.message} It asks to wait {failure.wait:.0f} s."
            raise ModelUnavailable(message, hint="Try again after that.")
        if failure.loading and self.seconds < self._loading_seconds:
            return LOADING_PAUSE
        self._left -= 1
        self._made += 1
        if self._left <= 0:
            raise failure.error
        if failure.wait is not None:
            return failure.wait + _jitter(0.0, 0.25)
        return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (self._made - 1)) * _jitter(0.5, 1.0)


def _jitter(low: float, high: float) -> float:
    """Return a random factor, so that many clients of a busy server do not come back together."""
    return random.uniform(low, high)  # noqa: S311
