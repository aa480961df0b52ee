"""Videos of the media server: a job is begun once, noted beside its file, and asked about until it is done.

The note (`FILE.job.json` in the workspace) survives a crash: what runs again goes on waiting for the same job and pays
nothing twice.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from plugins.api import Context
from plugins.files.paths import new_path
from plugins.media.endpoint import MOST_VIDEO, Ask, MediaFailure, MediaServer, Part
from plugins.media.made import digest

FIRST_LOOK, NEXT_LOOK = 2.0, 10.0
ENDED_BADLY = {"failed", "cancelled", "expired"}
MP4, WEBM = b"ftyp", b"\x1a\x45\xdf\xa3"


def read_note(path: str) -> dict[str, Any]:
    """Return the note of a job, {} when there is none that can be read; runs inside the sandbox."""
    try:
        found = json.loads(_note(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_note(path: str, note: dict[str, Any]) -> None:
    """Write the note of a job, or remove it when it is empty; runs inside the sandbox."""
    file = _note(path)
    if not note:
        file.unlink(missing_ok=True)
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    part.write_text(json.dumps(note), encoding="utf-8")
    part.replace(file)


def _note(path: str) -> Path:
    return new_path(f"{path}.job.json")


async def make(
    ctx: Context,
    server: MediaServer,
    fields: dict[str, str],
    image: str,
    output: str,
    *,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> bytes:
    """Have a video made and return its bytes. Raises MediaFailure for one that the server did not make."""
    picture = base64.b64decode(image) if image else b""
    wanted = digest(fields, picture)
    note = await ctx.inside(read_note, path=output)
    if note.get("wanted") != wanted or not note.get("key"):
        note = {"wanted": wanted, "key": secrets.token_hex(16), "id": ""}
        await ctx.inside(write_note, path=output, note=note)
    if not note["id"]:
        parts = (Part("input_reference", "frame.png", picture),) if picture else ()
        begun = await server.json(Ask("begin the video", "POST", "videos", fields, parts, key=note["key"]))
        note["id"] = str(begun.get("id") or "")
        if not note["id"]:
            raise MediaFailure(f"{server.host} began no video: its answer names no job.", hint="Try again.")
        await ctx.inside(write_note, path=output, note=note)
    try:
        await _until_done(ctx, server, note["id"], pause)
        content = Ask("hand over the video", "GET", f"videos/{note['id']}/content", limit=MOST_VIDEO)
        video = await server.body(content)
        _check(server, video)
    except MediaFailure as failure:
        if failure.over or failure.status in {404, 410}:  # what runs again begins a new job
            await ctx.inside(write_note, path=output, note={})
        raise
    return video


def _check(server: MediaServer, video: bytes) -> None:
    if video[4:8] != MP4 and video[:4] != WEBM:
        raise MediaFailure(f"{server.host} sent something that is no video.", hint="Try again.", over=True)


async def forget(ctx: Context, output: str) -> None:
    """Remove the note of a job whose video is safe."""
    await ctx.inside(write_note, path=output, note={})


async def _until_done(ctx: Context, server: MediaServer, job: str, pause: Callable[[float], Awaitable[None]]) -> None:
    wait = FIRST_LOOK
    while True:
        found = await server.json(Ask("say how far the video is", "GET", f"videos/{job}"))
        status = str(found.get("status") or "")
        if status == "completed":
            return
        if status in ENDED_BADLY:
            error = found.get("error")
            said = error.get("message") if isinstance(error, dict) else error
            words = f"{server.host} did not make the video: {said or status}."
            raise MediaFailure(words, hint="Say it in other words.", over=True)
        done = found.get("progress")
        ctx.progress(f"video {status or 'in progress'}", float(done) if isinstance(done, (int, float)) else None, 100)
        await pause(wait)
        wait = min(NEXT_LOOK, wait * 1.5)
