"""Replacing a file whole or not at all."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path


async def replace_file(path: Path, text: str) -> None:
    """Write a text file so that a crash leaves the old or the new one, never half of it.

    One call in a thread: a cancelled caller leaves no open file behind.
    """
    await asyncio.to_thread(_replace, path, text)


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
