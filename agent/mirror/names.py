"""Names of objects: a path in a session's folder, in letters that every storage takes as they are."""

from __future__ import annotations

import re
import string

MOST_BYTES = 1_000  # S3 takes 1,024 for a whole key
MARK = "!"
_SAFE = frozenset((string.ascii_letters + string.digits + "._-").encode())
_ESCAPED = re.compile(rb"!([0-9A-F]{2})")


def key_of(path: str) -> str:
    """Return a relative path as the end of a key; different paths have different keys."""
    return "/".join(map(_part, path.split("/")))


def _part(name: str) -> str:
    return "".join(chr(byte) if byte in _SAFE else f"{MARK}{byte:02X}" for byte in name.encode())


def path_of(key: str) -> str | None:
    """Return the path that a key stands for; None for a key that is none of ours."""
    try:
        path = _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), key.encode()).decode()
    except UnicodeDecodeError:
        return None
    strange = path.startswith("/") or any(part in {"", ".", ".."} for part in path.split("/"))
    return path if not strange and key_of(path) == key else None
