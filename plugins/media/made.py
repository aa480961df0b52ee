"""Which words a file was made from, noted beside it: what is there already need not be paid for again."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plugins.files.paths import new_path


def digest(fields: Mapping[str, Any], *data: bytes) -> str:
    """Return the SHA-256 (hex) of what something is made from."""
    whole = hashlib.sha256(json.dumps(fields, sort_keys=True, default=str).encode())
    for part in data:
        whole.update(hashlib.sha256(part).digest())
    return whole.hexdigest()


def is_made(path: str, wanted: str) -> bool:
    """Say whether a file is there and was made from this; runs inside the sandbox."""
    file = new_path(path)
    with contextlib.suppress(OSError, ValueError):
        return file.is_file() and json.loads(_note(file).read_text(encoding="utf-8")) == {"wanted": wanted}
    return False


def note_made(path: str, wanted: str) -> None:
    """Note what a file was made from; runs inside the sandbox."""
    note = _note(new_path(path))
    part = note.with_name(f"{note.name}.part")
    part.write_text(json.dumps({"wanted": wanted}), encoding="utf-8")
    part.replace(note)


def _note(file: Path) -> Path:
    return file.with_name(f".{file.name}.made.json")
