"""Whether a webhook's call is from whom it says, is fresh, and came only once."""

from __future__ import annotations

import hashlib
import hmac
import time

TOLERANCE = 300.0
SCHEME = "sha256="


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
