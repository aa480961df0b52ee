"""What the ticket systems for tests have in common: tickets, what was asked and written, and faults to be played."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.testing.http_server import HttpServer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web


@dataclass(slots=True)
class Fault:
    """An answer in place of the right one, for one request of this method whose path begins so."""

    method: str
    path: str
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    after: bool = False  # the request is carried out, and only its answer is lost


class TicketServer(HttpServer):
    """`asked` holds (method, path) of each request below `base`, `faults` what goes wrong next.

    `tickets` are rows by id in the system's own shape; `writes` tells what was changed, as (ticket id, what).
    """

    def __init__(self, tickets: Mapping[int, dict[str, Any]], base: str) -> None:
        super().__init__()
        self.tickets = dict(tickets)
        self.base = base
        self.asked: list[tuple[str, str]] = []
        self.faults: list[Fault] = []
        self.writes: list[tuple[int, str]] = []

    def _routes(self) -> web.Application:
        from aiohttp import web

        app = web.Application()
        app.router.add_route("*", f"{self.base}/{{path:.*}}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        self.asked.append((request.method, path))
        if (refused := self._unknown(request)) is not None:
            return refused
        fault = next((one for one in self.faults if one.method == request.method and path.startswith(one.path)), None)
        if fault is None:
            return await self._right(request, path)
        self.faults.remove(fault)
        if fault.after:
            await self._right(request, path)
        return as_json({"error": "as told"}, fault.status, fault.headers)

    def _unknown(self, request: web.Request) -> web.Response | None:  # noqa: ARG002  # not all look at the request first
        """Return the refusal of who may ask nothing at all; None when they may."""
        return None

    @abstractmethod
    async def _right(self, request: web.Request, path: str) -> web.Response:
        """Return the right answer."""


def as_json(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return an answer of JSON."""
    from aiohttp import web

    return web.json_response(data, status=status, headers=dict(headers or {}))
