"""One file at the top of a session's folder, which several hosts may change at the same time: none loses a change."""

from __future__ import annotations

import asyncio
import io
import random
from typing import TYPE_CHECKING

from agent.errors import StorageFailed
from agent.mirror.objects import AGAIN, Conflict

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.mirror.objects import Got
    from agent.mirror.side import Side

    Merge = Callable[[str, str, str], str]  # what both had, what is here, what is there → the text that counts

TRIES = 40
APART = 0.05


async def refresh_file(side: Side, name: str, merge: Merge | None = None) -> None:
    """Bring the file here up to date, if there is one there; what was changed here only stays, or is merged."""
    known = side.index.files.get(name)
    try:
        got = await side.objects.get(side.key(name), unless=known.etag if known is not None else "")
    except Conflict:  # it is what it was
        return
    if got is None:
        return
    here = await asyncio.to_thread(side.files.known, name)
    if merge is not None and here is not None and known is not None and here.sha256 != known.sha256:
        await merge_file(side, name, merge)
    else:
        await _put(side, name, got)


async def change_file(side: Side, name: str, changed: Callable[[str], str]) -> str:
    """Change the file there, then here; when another host was faster, what it has written is changed."""
    for _ in range(TRIES):
        got = await side.objects.get(side.key(name))
        text = changed(got.data.decode() if got is not None else "")
        if await _given(side, name, text, got.etag if got is not None else ""):
            return text
        await asyncio.sleep(random.uniform(0, APART))  # noqa: S311 - spreads load only
    raise StorageFailed(f"{name} is being changed by others all the time.", hint=AGAIN)


async def merge_file(side: Side, name: str, merge: Merge) -> None:
    """Merge what was written here and there since both were the same."""
    for _ in range(TRIES):
        got = await side.objects.get(side.key(name))
        there = got.data.decode(errors="replace") if got is not None else ""
        with side.files.reading(name) as file:
            here = file.read().decode(errors="replace")
        text = merge(side.index.texts.get(name, ""), here, there)
        if await _given(side, name, text, got.etag if got is not None else ""):
            return
    raise StorageFailed(f"{name} is being changed by others all the time.", hint=AGAIN)


async def _given(side: Side, name: str, text: str, replacing: str) -> bool:
    """Write the file there, then here; False when another host has written it meanwhile."""
    data = text.encode()
    try:
        etag = await side.objects.put(side.key(name), data, {"mode": "600"}, replacing=replacing)
    except Conflict:
        got = await side.objects.get(side.key(name))
        if got is None or got.data != data:  # else it was this call, whose answer was lost on the way
            return False
        etag = got.etag
    side.note(name, await asyncio.to_thread(side.files.put, name, io.BytesIO(data), 0o600, None), etag, data)
    return True


async def _put(side: Side, name: str, got: Got) -> None:
    known = await asyncio.to_thread(side.files.put, name, io.BytesIO(got.data), 0o600, None)
    side.note(name, known, got.etag, got.data)
