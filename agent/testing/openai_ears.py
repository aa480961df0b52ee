"""The fake model server's endpoint for speech: what a recording must look like, and what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.testing.openai_rules import Refusal

if TYPE_CHECKING:
    from aiohttp import web


async def take_recording(request: web.Request, recordings: list[dict[str, Any]], spoken: list[str]) -> str:
    """Note a recording (name, bytes and the form's fields) and return what it says. Raises Refusal."""
    from aiohttp.web import FileField

    form = await request.post()
    file = form.get("file")
    if not isinstance(file, FileField) or not form.get("model"):
        raise Refusal("Missing required parameter: 'file' and 'model' are required.", param="file")
    named = {name: value for name, value in form.items() if isinstance(value, str)}
    recordings.append({"name": file.filename, "bytes": file.file.read(), **named})
    if not spoken:
        raise Refusal("404 page not found", status=404)
    return spoken.pop(0)
