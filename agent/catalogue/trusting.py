"""Which plugins the owner trusts to run in the agent's own process: named in the settings, pinned to their files.

A name under `trusted_plugins` alone trusts nothing: `dirigent plugins trust NAME` shows what the plugin would be
allowed and notes the hash of its files in `trusted.json` of the home. With other files it is not trusted any more.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING

from agent.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

FILE = "trusted.json"
WAY_ON = "`dirigent plugins trust {}` shows what it would be allowed, and asks you"


def pins(home: Path) -> dict[str, str]:
    """Return the hash of the files of each plugin that was trusted. Raises ConfigError for a file that is damaged."""
    path = home / FILE
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): str(sha256) for name, sha256 in stored.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        said = f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is damaged'}."
        raise ConfigError(said, hint="Remove it, and trust the plugins anew: `dirigent plugins`.") from None


def pin(home: Path, name: str, sha256: str) -> None:
    """Note that a plugin with these files is trusted; with an empty hash, that it is not any more."""
    known = pins(home)
    known.pop(name, None)
    if sha256:
        known[name] = sha256
    replace_file(home / FILE, json.dumps(known, indent=1, sort_keys=True))


def doubt(name: str, sha256: str, trusted: tuple[str, ...], pinned: dict[str, str]) -> str | None:
    """Return None for a plugin that is trusted, else what its owner should know, "" when that is nothing."""
    if name not in trusted:
        return ""
    known = pinned.get(name)
    if known and known == sha256:
        return None
    why = "its files have changed since you trusted it" if known else "nobody has looked at what it would be allowed"
    return f"it is named under trusted_plugins, but {why}: {WAY_ON.format(name)}"


def replace_file(path: Path, text: str) -> None:
    """Replace a file at once, readable by its owner only, so that none is ever half written."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}.new")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink()
