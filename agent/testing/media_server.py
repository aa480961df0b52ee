"""A small media server over real sockets, for tests: pictures at once, videos as jobs that take a few looks.

    async with FakeMedia() as media:
        config = AppConfig(plugins={"media": {"url": media.base_url}})

It keeps what it was asked for, refuses malformed requests, answers a repeated idempotency key with the same job, and
plays the faults that it is told to.
"""

from __future__ import annotations

import asyncio
import base64
import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.testing.http_server import HttpServer

if TYPE_CHECKING:
    from aiohttp import web

VIDEO = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2mp41" + b"\x00" * 64


@dataclass(slots=True)
class Fault:
    """An answer in place of the right one, for one request whose path ends so."""

    path: str
    status: int
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


class FakeMedia(HttpServer):
    """The server, as an async context manager.

    `asked` holds (path, fields) of each accepted request, `faults` what goes wrong next, `video` the bytes of every
    video, `looks` how often a job is asked about before it is done, `as_address` makes pictures come as addresses.
    `jobs` are the videos that were begun and paid for, `hold` keeps them unfinished while it is set.
    """

    def __init__(self, *, api_key: str = "", video: bytes = VIDEO, looks: int = 1, as_address: str = "") -> None:
        super().__init__()
        self.api_key = api_key
        self.video = video
        self.looks = looks
        self.as_address = as_address
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.faults: list[Fault] = []
        self.jobs: dict[str, dict[str, Any]] = {}
        self.hold = False
        self.changed = asyncio.Event()

    @property
    def base_url(self) -> str:
        """What goes into `[plugins.media] url`."""
        return f"{self.root}/v1"

    def fields(self, path: str) -> list[dict[str, str]]:
        """Return the fields of every request for a path."""
        return [fields for asked, fields in self.asked if asked == path]

    async def wait_for(self, holds: Callable[[], Any], seconds: float = 60.0) -> None:
        """Wait until something holds that this server sees."""
        async with asyncio.timeout(seconds):
            while not holds():
                self.changed.clear()
                await self.changed.wait()

    def _routes(self) -> web.Application:
        from aiohttp import web

        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/images/generations", self._image)
        app.router.add_post("/v1/images/edits", self._image)
        app.router.add_post("/v1/videos", self._begin)
        app.router.add_get("/v1/videos/{job}", self._look)
        app.router.add_get("/v1/videos/{job}/content", self._content)
        app.router.add_get("/files/{name}", self._file)
        return app

    async def _image(self, request: web.Request) -> web.StreamResponse:
        fields = await _fields(request)
        refused = self._refused(request, fields, ("model", "prompt"))
        if refused is not None:
            return refused
        if request.path.endswith("edits") and "image" not in fields:
            return _error(400, "image is missing")
        if self.as_address:
            return _json({"data": [{"url": self.as_address.format(port=self.port)}]})
        return _json({"data": [{"b64_json": base64.b64encode(picture(fields["prompt"])).decode()}]})

    async def _begin(self, request: web.Request) -> web.StreamResponse:
        fields = await _fields(request)
        refused = self._refused(request, fields, ("model", "prompt", "seconds", "size"))
        if refused is not None:
            return refused
        key = request.headers.get("Idempotency-Key", "")
        known = next((job for job in self.jobs.values() if key and job["key"] == key), None)
        job = known or {"id": f"video_{len(self.jobs) + 1}", "key": key, "looks": 0, "fields": fields}
        self.jobs[job["id"]] = job
        self.changed.set()
        return _json({"id": job["id"], "status": "queued"})

    async def _look(self, request: web.Request) -> web.StreamResponse:
        refused = self._refused(request, {}, ())
        job = self.jobs.get(request.match_info["job"])
        if refused is not None or job is None:
            return refused or _error(404, "no such video")
        job["looks"] += 1
        self.changed.set()
        done = job["looks"] > self.looks and not self.hold
        return _json({"id": job["id"], "status": "completed" if done else "in_progress", "progress": 50})

    async def _content(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        refused = self._refused(request, {}, ())
        return refused or web.Response(body=self.video, content_type="video/mp4")

    async def _file(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        assert "Authorization" not in request.headers, "the key is not for files"
        return web.Response(body=picture(request.match_info["name"]), content_type="image/png")

    def _refused(
        self, request: web.Request, fields: dict[str, str], needed: tuple[str, ...]
    ) -> web.StreamResponse | None:
        fault = next((one for one in self.faults if request.path.endswith(one.path)), None)
        if fault is not None:
            self.faults.remove(fault)
            response = _json(fault.body, fault.status)
            response.headers.update(fault.headers)
            return response
        if self.api_key and request.headers.get("Authorization") != f"Bearer {self.api_key}":
            return _error(401, "Incorrect API key provided.")
        missing = [name for name in needed if not fields.get(name)]
        if missing:
            return _error(400, f"{missing[0]} is missing")
        self.asked.append((request.path.removeprefix("/v1/"), fields))
        self.changed.set()
        return None


def picture(prompt: str) -> bytes:
    """Return a PNG for a prompt: always the same for the same words, with edges and colours."""
    from PIL import Image, ImageDraw

    seed = zlib.crc32(prompt.encode())
    made = Image.new("RGB", (768, 432), (seed % 200, seed // 7 % 200, seed // 49 % 200))
    draw = ImageDraw.Draw(made)
    for step in range(12):
        left = (seed >> step) % 640
        draw.rectangle(
            [left, step * 34, left + 120, step * 34 + 26], fill=(240 - step * 12, 80 + step * 9, 60 + step * 14)
        )
    buffer = io.BytesIO()
    made.save(buffer, "PNG")
    return buffer.getvalue()


async def _fields(request: web.Request) -> dict[str, str]:
    if request.content_type == "application/json":
        return {name: str(value) for name, value in (await request.json()).items()}
    form = await request.post()
    return {name: value if isinstance(value, str) else value.filename for name, value in form.items()}  # type: ignore[union-attr]


def _json(body: Any, status: int = 200) -> web.StreamResponse:
    from aiohttp import web

    return web.json_response(body, status=status)


def _error(status: int, message: str, code: str = "") -> web.StreamResponse:
    return _json({"error": {"message": message, "code": code}}, status)
