"""A strict fake of Telegram's Bot API over real sockets.

In a test::

    async with FakeTelegram() as telegram:
        config = AppConfig(telegram_token=telegram.token, telegram_base_url=telegram.base_url, …)
        telegram.user_says(11, "hello")
        await telegram.wait_for(lambda: telegram.bot_messages(11)[-1].text == "Hi!")

As a process, for tests that kill others around it: `python -m agent.testing.telegram_server --port 8081`; it prints its
address, and `POST /control/<what a person does>` drives it (see `telegram_control`).
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from agent.testing.telegram_methods import METHODS, Params, Poll, Uploads
from agent.testing.telegram_rules import Refused
from agent.testing.telegram_world import World

if TYPE_CHECKING:
    from aiohttp import web

SPELLINGS = {name.lower(): name for name in (*METHODS, "getUpdates")}
WRITES = frozenset(name for name in METHODS if name.startswith(("send", "edit")) and name != "sendChatAction")
SHAPES = frozenset(
    {"reply_markup", "entities", "caption_entities", "reply_parameters", "media", "commands", "reaction", "scope"}
)


GARBAGE = "<html><body>502 Bad Gateway</body></html>"


class Garbled(Exception):
    """What is answered is no JSON."""


@dataclass(slots=True)
class Call:
    """One request: when (monotonic seconds), what was asked, and what came of it ("ok", "400 Bad Request: …").

    `staged` says that a `Fault` made it go wrong.
    """

    method: str
    params: Params
    at: float
    outcome: str = ""
    staged: bool = False

    @property
    def chat(self) -> int:
        """The chat that it was about, or 0."""
        return int(self.params.get("chat_id") or 0)


@dataclass(slots=True)
class Fault:
    """What goes wrong with the next `times` calls of `method` ("*" is any but getUpdates), in `chat`, that hold `text`.

    `kind`: `error` answers `code` and `description` without doing anything · `error_after` does it and answers so ·
    `drop_before` closes the connection without doing anything · `drop_after` does it and closes the connection without
    an answer · `garbage` answers with what is no JSON without doing anything · `garbage_after` does it and answers so ·
    `delay` waits `seconds` first · `hang` does it and never answers.
    """

    method: str
    kind: str
    times: int = 1
    seconds: float = 0.0
    code: int = 500
    description: str = "Internal Server Error"
    retry_after: int | None = None
    chat: int | None = None
    migrate_to: int | None = None
    text: str = ""

    def refusal(self) -> Refused:
        """Return the answer of an `error`."""
        return Refused(self.code, self.description, self.retry_after, self.migrate_to)

    def fits(self, call: Call) -> bool:
        """Tell whether it strikes this call."""
        named = self.method == call.method or (self.method == "*" and call.method != "getUpdates")
        meant = self.chat in {None, call.chat} and self.text in str(call.params.get("text", ""))
        return self.times > 0 and named and meant


class Flood:
    """Telegram's flood control: a second's allowance per chat with a burst, 20 a minute in groups."""

    def __init__(self, burst: int = 5) -> None:
        self.burst = burst
        self._left: dict[int, tuple[float, float]] = {}

    def check(self, chat: int) -> None:
        """Count a write to the chat, or refuse it with 429."""
        rate = 1.0 if chat > 0 else 20 / 60
        most = float(self.burst if chat > 0 else 20)
        now = time.monotonic()
        left, at = self._left.get(chat, (most, now))
        left = min(most, left + (now - at) * rate)
        if left < 1:
            self._left[chat] = (left, now)
            wait = max(1, round((1 - left) / rate + 0.5))
            raise Refused(429, f"Too Many Requests: retry after {wait}", retry_after=wait)
        self._left[chat] = (left - 1, now)


class FakeTelegram(World):
    """The server: start it with `async with`, speak to it at `base_url`. `calls` holds every request.

    `flood_control = True` switches 429 on. Must be used on the loop that started it.
    """

    def __init__(self, *, port: int = 0, **world: Any) -> None:
        super().__init__(**world)
        self.port = port
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.tolerated: list[str] = []  # refusals that a test brings about without a fault; see `telegram_wire`
        self.unknown: set[str] = set()  # methods that this server is too old to know
        self.flood_control = False
        self.flood = Flood()
        self._poll = Poll(self)
        self._runner: web.AppRunner | None = None

    @property
    def base_url(self) -> str:
        """What goes into `telegram_base_url`."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen on loopback; port 0 takes a free one."""
        from aiohttp import web

        from agent.testing.telegram_control import add_control

        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/bot{token}/{method}", self._answer)
        app.router.add_get("/file/bot{token}/{path:.+}", self._download)
        add_control(app, self)
        # A poller that went away must not look like a second one, so handlers end with their connection.
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close all connections; what the chats show can still be read."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        await asyncio.gather(*self._wakers)

    def fail(self, method: str, kind: str, **more: Any) -> Fault:
        """Have the next call of a method fail; see `Fault`."""
        fault = Fault(method, kind, **more)
        self.faults.append(fault)
        return fault

    def called(self, method: str, chat: int | None = None) -> list[Call]:
        """Return the calls of a method, oldest first."""
        return [call for call in self.calls if call.method == method and chat in {None, call.chat}]

    # --- HTTP ---------------------------------------------------------------------------------------------------
    async def _answer(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        params, uploads = await _read(request)
        named = request.match_info["method"]
        call = Call(SPELLINGS.get(named.lower(), named), params, time.monotonic())
        self.calls.append(call)
        fault = next((fault for fault in self.faults if fault.fits(call)), None)
        try:
            body = await self._settle(request.match_info["token"], call, uploads, fault)
        except Refused as refusal:
            call.outcome = str(refusal)
            self.touch()
            return web.json_response(refusal.to_json(), status=refusal.code)
        except Garbled:
            self.touch()
            return web.Response(text=GARBAGE, content_type="text/html")
        if body is None:
            return _cut(request)
        self.touch()
        return web.json_response(body)

    async def _settle(self, token: str, call: Call, uploads: Uploads, fault: Fault | None) -> dict[str, Any] | None:
        """Do what was asked, with the fault; None closes the connection."""
        if fault is None:
            result = await self._do(token, call, uploads)
            call.outcome = "ok"
            return {"ok": True, "result": result}
        fault.times -= 1
        call.staged = True
        await asyncio.sleep(fault.seconds)
        kind, _, after = fault.kind.partition("_")
        if kind in {"error", "drop", "garbage"} and after != "after":
            call.outcome = fault.kind
            return self._wrong(kind, fault)
        result = await self._do(token, call, uploads)
        call.outcome = fault.kind
        if kind == "hang":
            self.touch()
            await asyncio.Event().wait()
        return self._wrong(kind, fault) if after else {"ok": True, "result": result}

    @staticmethod
    def _wrong(kind: str, fault: Fault) -> dict[str, Any] | None:
        """Answer as the fault wants it; None closes the connection."""
        if kind == "error":
            raise fault.refusal()
        if kind == "garbage":
            raise Garbled
        return None

    async def _do(self, token: str, call: Call, uploads: Uploads) -> Any:
        if token != self.token:
            raise Refused(401, "Unauthorized")
        if call.method == "getUpdates":
            return await self._poll.get_updates(call.params)
        if call.method not in METHODS or call.method in self.unknown:
            raise Refused(404, "Not Found: method not found")
        if self.flood_control and call.method in WRITES:
            self.flood.check(call.chat)
        return METHODS[call.method](self, call.params, uploads)

    async def _download(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        call = Call("file", {"path": request.match_info["path"]}, time.monotonic(), "ok")
        self.calls.append(call)
        fault = next((fault for fault in self.faults if fault.fits(call)), None)
        if fault is not None:
            fault.times -= 1
            call.outcome = fault.kind
            return _cut(request)
        file_id = request.match_info["path"].split("/")[1]
        if request.match_info["token"] != self.token or file_id not in self.files:
            raise web.HTTPNotFound
        return web.Response(body=self.files[file_id][1])


def _cut(request: web.Request) -> web.StreamResponse:
    from aiohttp import web

    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


async def _read(request: web.Request) -> tuple[Params, Uploads]:
    """Return the parameters (JSON shapes decoded) and the uploaded files, from query, form, multipart or JSON."""
    from aiohttp.web import FileField

    params: Params = dict(request.query)
    uploads: Uploads = {}
    if request.content_type == "application/json":
        params |= await request.json()
    elif request.can_read_body:
        for name, value in (await request.post()).items():
            if isinstance(value, str):
                params[name] = value
            elif isinstance(value, FileField):
                uploads[name] = (value.filename, value.file.read())
    for name in SHAPES & params.keys():
        if isinstance(params[name], str):
            params[name] = json.loads(params[name])
    return params, uploads


def main() -> None:
    """Run as a process until it is ended."""
    import argparse

    parser = argparse.ArgumentParser(description="A fake Bot API server with a control API.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--token", default="4711:test-token")
    asked = parser.parse_args()

    async def run() -> None:
        async with FakeTelegram(port=asked.port, token=asked.token) as server:
            print(json.dumps({"base_url": server.base_url, "token": server.token}), flush=True)  # noqa: T201 — its output
            await asyncio.Event().wait()

    asyncio.run(run())


if __name__ == "__main__":
    main()
