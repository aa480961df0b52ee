"""Who may call the API: whoever shows the token that the owner has set."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agent.web.guard import LOOPBACK

if TYPE_CHECKING:
    from starlette.requests import Request

REMEDY = "They do it in the chat or on the pages; web.token_decides counts this token's keeper as the owner."
FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


class Refused(Exception):
    """A call is not let in; `status` is 401 or 403."""

    def __init__(self, status: int, said: str, hint: str) -> None:
        super().__init__(said)
        self.status = status
        self.said = said
        self.hint = hint


def shows(request: Request, *tokens: str) -> bool:
    """Tell whether a request shows one of the tokens, in a time that says nothing about them."""
    given = request.headers.getlist("authorization")
    scheme, _, shown = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    digest = hashlib.sha256(shown.strip().encode()).digest()
    fits = [hmac.compare_digest(digest, hashlib.sha256(token.encode()).digest()) for token in tokens if token]
    return scheme.lower() == "bearer" and any(fits)


def check_token(request: Request, token: str, read_token: str = "") -> None:
    """Raise Refused unless the request shows the API's token, or only reads and shows the one for reading."""
    if not (token or read_token):
        raise Refused(403, "The API is off.", "Set web.token (or DIRIGENT_WEB__TOKEN_FILE) to a long random text.")
    if shows(request, read_token):
        if request.method not in {"GET", "HEAD"}:
            raise Refused(403, "This token only reads.", "Show web.token to begin, change or decide something.")
    elif not shows(request, token):
        raise Refused(401, "The token is missing or wrong.", "Send it as `Authorization: Bearer TOKEN`.")


def check_metrics(request: Request, token: str, metrics_token: str) -> None:
    """Raise Refused unless the request shows a token, or none is set for metrics and it comes from this machine."""
    if shows(request, token, metrics_token):
        return
    if metrics_token:
        raise Refused(401, "The token is missing or wrong.", "Send web.metrics_token as `Authorization: Bearer TOKEN`.")
    if not _is_from_here(request):
        raise Refused(403, "Metrics are for this machine only.", "Set web.metrics_token to have them read from others.")


def _is_from_here(request: Request) -> bool:
    """Tell whether a call was made on this machine; one that a proxy has forwarded was not."""
    caller = request.client.host if request.client is not None else ""
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    forwarded = any(name in request.headers for name in FORWARDED)
    return not forwarded and _is_loopback(caller) and (host in LOOPBACK or _is_loopback(host))


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
