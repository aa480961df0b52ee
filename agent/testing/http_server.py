"""A server on loopback for tests: what those that play other people's services have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    from types import TracebackType

    from aiohttp import web


class HttpServer(ABC):
    """An async context manager. `port` 0 takes a free one, and then holds it."""

    cancels: ClassVar[bool] = False
    """Whether a handler ends when its caller goes away."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self._runner: web.AppRunner | None = None

    @property
    def root(self) -> str:
        """The server's root, such as `http://127.0.0.1:4711`."""
        return f"http://127.0.0.1:{self.port}"

    @abstractmethod
    def _routes(self) -> web.Application:
        """Return what it answers."""

    async def __aenter__(self) -> Self:
        from aiohttp import web

        self._runner = web.AppRunner(
            self._routes(), handler_cancellation=self.cancels, access_log=None, shutdown_timeout=0.1
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
