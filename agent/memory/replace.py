"""Reading a file, and replacing it whole or not at all, whoever else replaces it at the same time."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from aiofiles.os import wrap


async def read_file(path: Path) -> str:
    """Return the text of a file, "" where there is none.

    One call in a thread, as all here are: a cancelled caller leaves no open file behind.
    """
    return await wrap(_text_of)(path)


async def replace_file(path: Path, text: str) -> None:
    """Write a text file so that a crash leaves the old or the new one, never half of it."""
    await asyncio.to_thread(_replace, path, text)


async def update_file(path: Path, change: Callable[[str], str]) -> str:
    """Replace a text file by what `change` makes of its text ("" where there is none); return the new text.

    Nobody else replaces it in between, in this process or another one, also on a shared folder whose locks work.
    """
    return await asyncio.to_thread(_update, path, change)


def _replace(path: Path, text: str) -> None:
    _update(path, lambda _before: text)


def _update(path: Path, change: Callable[[str], str]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with _alone(part) as file:
        try:
            text = change(_text_of(path))
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    return text


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


@contextlib.contextmanager
def _alone(part: Path) -> Iterator[TextIO]:
    """Open a file, empty, for as long as nobody else has it: no thread, and no other process.

    Without that a second writer would empty what a first one is about to put into place.
    """
    while True:
        with part.open("a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not _lies_at(part, file):  # whoever had it before has put it into its place
                continue
            file.truncate(0)
            yield file
            return


def _lies_at(part: Path, file: TextIO) -> bool:
    try:
        return os.path.samestat(part.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
