"""Addresses of model servers: which are on this machine, and how they may be shown."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

LOOPBACK = re.compile(r"^(localhost|127(\.\d+){3}|::1|.*\.localhost)\Z", re.IGNORECASE)


def is_local(base_url: str) -> bool:
    """Return True when a server runs on this machine."""
    return is_address(base_url) and bool(LOOPBACK.match(urlsplit(base_url).hostname or ""))


def without_credentials(url: str) -> str:
    """Return a URL as it may be shown: without user, password and query."""
    if "://" not in url:
        return url.rpartition("@")[2]
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")


def is_address(url: str) -> bool:
    """Return True for `http://…` and `https://…` with a host and, if any, a sensible port."""
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def root_of(base_url: str) -> str:
    """Return the server's root, where its own (not OpenAI's) endpoints live: the address without `/v1`."""
    return base_url.rstrip("/").removesuffix("/v1")
