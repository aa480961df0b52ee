"""Whether a webhook's call is from whom it says, is fresh, and came only once; and the event that it becomes.

A caller sends `X-Dirigent-Timestamp` (seconds since 1970) and `X-Dirigent-Signature`: `sha256=` and the HMAC-SHA256, in
hex, of `timestamp.body`. A webhook made for GitHub and its kin takes their `X-Hub-Signature-256` instead: it has no
time, so the same body counts once for good.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.automation.mapping import source_of
from agent.domain.event import Event
from agent.domain.provenance import Provenance
from agent.errors import ConfigError, MachineFailed, may_pass

if TYPE_CHECKING:
    from agent.domain.trigger import Trigger

TOLERANCE = 300.0
SCHEME = "sha256="
SIGNATURE_HEADER = "x-dirigent-signature"
TIMESTAMP_HEADER = "x-dirigent-timestamp"
GITHUB = "github"
GITHUB_HEADER = "x-hub-signature-256"
MOST_BYTES = 1_048_576


def sign(secret: str, body: bytes, timestamp: str) -> str:
    """Return the signature of a call: `sha256=` and the HMAC-SHA256 (hex) of `timestamp.body`."""
    mac = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return SCHEME + mac.hexdigest()


def verify(
    secret: str,
    body: bytes,
    timestamp: str,
    signature: str,
    *,
    now: float | None = None,
    tolerance: float = TOLERANCE,
) -> bool:
    """Tell whether the signature fits secret, body and timestamp, and the timestamp is at most `tolerance` seconds off.

    `timestamp` is in seconds since 1970, as the header holds it. An empty secret verifies nothing. Within the tolerance
    the same call may come again: publish its event with `replay_key`, which the journal takes only once.
    """
    try:
        said = float(timestamp)
    except ValueError:
        return False
    fresh = abs((time.time() if now is None else now) - said) <= tolerance
    expected = sign(secret, body, timestamp).encode()
    return hmac.compare_digest(expected, signature.encode()) and fresh and bool(secret)


def replay_key(timestamp: str, body: bytes) -> str:
    """Return an event key that is the same for the same call and for no other."""
    return "webhook:" + hashlib.sha256(timestamp.encode() + b"." + body).hexdigest()


# --- calls --------------------------------------------------------------------------------------------------------
class Came(StrEnum):
    """What became of a call."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Hooks:
    """The secrets of webhooks, a file each in `folder`, and how a call becomes an event. `clock` as `time.time`."""

    folder: Path
    clock: Callable[[], float] = time.time

    def make_secret(self, trigger_id: str) -> str:
        """Make a new secret for a webhook, keep it, and return it; an earlier one counts no more."""
        made = secrets.token_urlsafe(32)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self.folder / f".{secrets.token_hex(8)}"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(made)
        fresh.replace(self._file(trigger_id))
        return made

    def secret_of(self, trigger_id: str) -> str:
        """Return a webhook's secret, "" when it has none. Raises MachineFailed when it can't be read just now."""
        try:
            return self._file(trigger_id).read_text("utf-8").strip()
        except OSError as error:
            if may_pass(error):
                raise MachineFailed(f"The secret of a webhook cannot be read: {error.strerror}.") from None
            return ""

    def forget(self, trigger_id: str) -> None:
        """Remove the secret of a webhook that is gone."""
        self._file(trigger_id).unlink(missing_ok=True)

    def _file(self, trigger_id: str) -> Path:
        plain = trigger_id.replace("_", "").replace("-", "").isalnum() and trigger_id.isascii()
        return self.folder / (trigger_id if plain else hashlib.sha256(trigger_id.encode()).hexdigest())

    def event_of(self, trigger: Trigger, headers: Mapping[str, str], body: bytes) -> Event | None:
        """Return the event that a call becomes, None when it is not signed as it must be. Header names in any case.

        Raises ConfigError for a body that cannot be read, MachineFailed when the call can't be checked just now.
        """
        given = {name.lower(): value for name, value in headers.items()}
        secret = self.secret_of(trigger.id)
        at = self.clock()
        if trigger.spec.get("signature") == GITHUB:
            signature, timestamp = given.get(GITHUB_HEADER, ""), ""
            good = hmac.compare_digest(sign_body(secret, body).encode(), signature.encode()) and bool(secret)
        else:
            signature, timestamp = given.get(SIGNATURE_HEADER, ""), given.get(TIMESTAMP_HEADER, "")
            good = verify(secret, body, timestamp, signature, now=at)
        if not good:
            return None
        return Event(
            type=str(trigger.spec["type"]),
            source=source_of(trigger),
            key=f"{trigger.id}:{replay_key(timestamp, body)}",
            payload=payload_of(body),
            at=float(timestamp) if timestamp else at,
            provenance=Provenance.of(source_of(trigger), trusted=bool(trigger.spec.get("trusted", False))),
        )


def sign_body(secret: str, body: bytes) -> str:
    """Return the signature of a body alone, as GitHub and its kin send it."""
    return SCHEME + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def payload_of(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body; another JSON value as {"value": …}, other text as {"text": …}.

    Raises ConfigError for what is too large or no text.
    """
    if len(body) > MOST_BYTES:
        raise ConfigError("The body of a call may have at most 1 MiB.")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError("The body of a call must be text in UTF-8.") from None
    try:
        value = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return {"text": text} if text.strip() else {}
    return value if isinstance(value, dict) else {"value": value}


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON")
