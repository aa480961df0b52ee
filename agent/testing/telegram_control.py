"""The fake server's control API, for tests in another process.

`POST /control/user_says`, `user_edits`, `user_deletes`, `user_presses`, `forge_press`, `add_group`,
`bot_is_thrown_out`, `fail` take their method's arguments as JSON and return `{"result": …}`; `user_sends_file` takes
its bytes as `data_base64`. `POST /control/set` sets `flood_control`. `GET /control/messages?chat=11`,
`/control/calls?method=…`, `/control/queries` read;
`GET /control/wait?chat=11&text=Hello&seconds=5` returns when a bot message of the chat contains the text (408 if not).
"""

from __future__ import annotations

import base64
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiohttp import web

    from agent.testing.telegram_server import FakeTelegram
    from agent.testing.telegram_world import Shown

DEEDS = (
    *("user_says", "user_edits", "user_deletes", "user_presses", "forge_press", "user_sends_file"),
    *("add_group", "bot_is_thrown_out", "fail"),
)


def _message(shown: Shown) -> dict[str, Any]:
    files = [(name, base64.b64encode(data).decode()) for name, data in shown.files]
    return {**asdict(shown), "files": files}


def _plain(result: Any) -> Any:
    return result if isinstance(result, (int, str, type(None))) else asdict(result)


class Control:
    """The handlers."""

    def __init__(self, server: FakeTelegram) -> None:
        self.server = server

    async def do(self, request: web.Request) -> web.Response:
        """Do what a person does."""
        from aiohttp import web

        deed = request.match_info["deed"]
        if deed not in DEEDS:
            return web.json_response({"error": f"no such deed {deed!r}; there are {', '.join(DEEDS)}"}, status=404)
        asked = await request.json()
        if "data_base64" in asked:
            asked["data"] = base64.b64decode(asked.pop("data_base64"))
        try:
            return web.json_response({"result": _plain(getattr(self.server, deed)(**asked))})
        except (AssertionError, KeyError, TypeError) as problem:
            return web.json_response({"error": repr(problem)}, status=400)

    async def set(self, request: web.Request) -> web.Response:
        """Set `flood_control`."""
        from aiohttp import web

        self.server.flood_control = bool((await request.json())["flood_control"])
        return web.json_response({"result": self.server.flood_control})

    async def messages(self, request: web.Request) -> web.Response:
        """Return what a chat shows."""
        from aiohttp import web

        shown = self.server.messages(int(request.query["chat"]))
        return web.json_response({"result": [_message(message) for message in shown]})

    async def calls(self, request: web.Request) -> web.Response:
        """Return the requests so far."""
        from aiohttp import web

        wanted = request.query.get("method")
        calls = [asdict(call) for call in self.server.calls if wanted in {None, call.method}]
        return web.json_response({"result": calls})

    async def queries(self, _: web.Request) -> web.Response:
        """Return what the bot answered to button presses."""
        from aiohttp import web

        return web.json_response({"result": self.server.queries})

    async def wait(self, request: web.Request) -> web.Response:
        """Return the bot's message that contains the text, as soon as there is one."""
        from aiohttp import web

        chat, text = int(request.query["chat"]), request.query["text"]
        seconds = float(request.query.get("seconds", "10"))

        def there() -> list[Shown]:
            return [message for message in self.server.bot_messages(chat) if text in message.text]

        try:
            found = await self.server.wait_for(there, seconds)
        except AssertionError as problem:
            return web.json_response({"error": str(problem)}, status=408)
        return web.json_response({"result": _message(found[-1])})


def add_control(app: web.Application, server: FakeTelegram) -> None:
    """Add the routes under `/control/`."""
    control = Control(server)
    app.router.add_get("/control/messages", control.messages)
    app.router.add_get("/control/calls", control.calls)
    app.router.add_get("/control/queries", control.queries)
    app.router.add_get("/control/wait", control.wait)
    app.router.add_post("/control/set", control.set)
    app.router.add_post("/control/{deed}", control.do)
