"""One conversation with a server: opened, its tools compared with those that were accepted, called, ended.

A task of its own holds it; calls come from others. It is not used again once it has ended, for whatever reason.
"""

from __future__ import annotations

import asyncio
import http
import time
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, TypeVar

from loguru import logger
from mcp import Client, MCPError, types
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost

import agent
from agent.errors import DirigentError, ToolError
from agent.mcp.accepted import MOST_TOOLS, READ_RESOURCE, RESOURCE_TOOL, Listing
from agent.mcp.cleaning import one_line
from agent.mcp.fault import Fault
from agent.mcp.results import Reader, Returned, listed
from agent.mcp.streams import Streams, bounded
from sandbox.api import Progress, SandboxError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")
MOST_PAGES = 20
CLOSING_SECONDS = 10.0
PROGRESS_SECONDS = 0.1
MOST_PROGRESS = 200
MOST_SAID = 500
LOST = ("Connection closed", "SSE stream ")  # the library's words: servers use its code for errors of their own, too
CLOSED_DOOR = frozenset({401, 403})


class Ended(ToolError):
    """The conversation is over. `asked` says that the call had been sent, so that nobody knows what became of it."""

    def __init__(self, message: str, *, hint: str = "", asked: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.asked = asked


class Connection:
    """A conversation over a way that is opened by `transport`; `runs` is the identity of what is started or called."""

    def __init__(
        self, name: str, transport: AbstractAsyncContextManager[Streams], fault: Fault, *, runs: str, seconds: float
    ) -> None:
        self.name = name
        self.listing = Listing()
        self.outdated = False
        self.used = time.monotonic()
        self.claims = 0
        self._transport = transport
        self._fault = fault
        self.runs = runs
        self._seconds = seconds
        self._client: Client | None = None
        self._end = asyncio.Event()
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._live(), name=f"mcp {name}")

    @property
    def over(self) -> bool:
        """True when it has ended, or is about to."""
        return self._end.is_set() or self._task.done() or self._fault.silent

    def claim(self) -> None:
        """Have it kept until `release`."""
        self.claims += 1

    def release(self) -> None:
        """Say that a call is over."""
        self.claims -= 1
        self.used = time.monotonic()

    async def ready(self) -> None:
        """Wait until its tools are known. Raises ToolError when it could not be opened."""
        await asyncio.shield(self._ready)

    async def close(self) -> None:
        """End it and wait for that. Closing twice is harmless."""
        self._end.set()
        if not self._ready.done():
            self._task.cancel()
        done, _ = await asyncio.wait([self._task], timeout=CLOSING_SECONDS)
        if not done:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._ready.done() and not self._ready.cancelled():
            self._ready.exception()  # somebody has been told, or nobody waits any more

    # --- what is asked ----------------------------------------------------------------------------------------------
    async def call(
        self, tool: str, args: dict[str, Any], *, stem: str, report: Callable[[Progress], None] | None = None
    ) -> Returned:
        """Call a tool. Raises ToolError for what the server answers as an error, Ended when it is gone."""
        if tool == READ_RESOURCE and self.reads_resources:
            return await self._asked(lambda client: _resource(client, str(args.get("uri") or ""), stem))

        async def called(client: Client) -> Returned:
            result = await client.call_tool(tool, args, progress_callback=_told(report))
            return Reader(stem).call(result)

        return await self._asked(called)

    async def look_again(self) -> None:
        """List the tools anew, after the server has said that they are others."""
        self.outdated = False
        try:
            self.listing = await self._asked(self._list)
        except Ended as ended:
            ended.asked = False  # only for its tools
            raise

    @property
    def reads_resources(self) -> bool:
        """True when `read_resource` is ours: the server has resources, and no tool of that name."""
        return self.listing.ours(READ_RESOURCE)

    async def has_resources(self) -> bool:
        """Say whether there is anything to read now."""

        async def found(client: Client) -> bool:
            return bool((await client.list_resources()).resources or await _templates(client))

        return await self._asked(found)

    async def _asked(self, ask: Callable[[Client], Awaitable[T]]) -> T:
        client = self._client
        if client is None or self.over:
            raise await self._ended()
        try:
            return await ask(client)
        except MCPError as error:
            refusal = _refusal(self._fault.status) if self._fault.status in CLOSED_DOOR else ""
            said = f"{self.name} answered with an error: {refusal or one_line(error.message, MOST_SAID)}"
            lost = error.code == types.CONNECTION_CLOSED and error.message.startswith(LOST)
            if self._fault.forgotten and not lost:
                raise Ended(said) from None  # it was refused unread
            if lost or self.over:
                raise await self._ended(asked=True) from None
            raise ToolError(said) from None
        except OSError:
            raise await self._ended(asked=True) from None
        except DirigentError:
            raise
        except Exception as error:  # the library raises what it likes for answers that are no answers
            logger.opt(exception=error).debug("the MCP server {} gave an answer that is none", self.name)
            said = f"{self.name} gave an answer that does not follow the protocol ({type(error).__name__})."
            raise ToolError(said, hint="Its authors should know.") from None

    async def _ended(self, *, asked: bool = False) -> Ended:
        await self.close()  # then it is known how it ended
        why = self._fault.why
        said = f"The MCP server {self.name} ended: {why}." if why else f"The MCP server {self.name} ended."
        return Ended(said, hint=f"`dirigent mcp check {self.name}` tries it again.", asked=asked)

    # --- its life ---------------------------------------------------------------------------------------------------
    async def _live(self) -> None:
        try:
            async with asyncio.timeout(self._seconds) as limit:
                client = Client(
                    bounded(self._transport, self._fault),
                    list_roots_callback=self._roots,
                    message_handler=self._heard,
                    client_info=types.Implementation(name="Dirigent", version=agent.__version__),
                    cache=None,
                )
                async with client:
                    self._client = client
                    self.listing = await self._list(client)
                    limit.reschedule(None)
                    self._ready.set_result(None)
                    await self._lasted(client)
        except asyncio.CancelledError:
            self._fail(ToolError(f"The MCP server {self.name} was stopped before it was ready."))
            raise
        except Exception as problem:
            self._fail(self._explained(problem))
        finally:
            self._client = None
            self._end.set()

    async def _lasted(self, client: Client) -> None:
        """Wait until it is to end; servers that are only to be asked for news of their tools are listened to."""
        listening = asyncio.create_task(self._listen(client), name=f"mcp {self.name} news")
        try:
            await self._end.wait()
        finally:
            listening.cancel()
            await asyncio.wait([listening])

    async def _listen(self, client: Client) -> None:
        try:
            async with client.listen(tools_list_changed=True) as news:
                async for _ in news:
                    self.outdated = True
        except ListenNotSupportedError:  # an older server: it tells unasked, see `_heard`
            return
        except (MCPError, SubscriptionLost, TimeoutError) as error:
            logger.debug("the MCP server {} tells no news of its tools: {}", self.name, error)
        self.outdated = True  # whatever it tells from now on is not heard

    def _fail(self, error: ToolError) -> None:
        if not self._ready.done():
            self._ready.set_exception(error)

    def _explained(self, problem: BaseException) -> ToolError:
        """Say in words why a server could not be reached."""
        hint = f"`dirigent mcp check {self.name}` tries it again."
        inner = _innermost(problem)
        if isinstance(inner, TimeoutError):
            said = f"The MCP server {self.name} was not ready within {self._seconds:g} s."
            said += f" It said: {self._fault.said}" if self._fault.said else ""
            return ToolError(said, hint=f"`start_seconds` under [mcp.{self.name}] gives it longer.")
        if isinstance(inner, SandboxError):
            return ToolError(inner.message, hint=inner.remedy)
        if isinstance(inner, DirigentError):
            return ToolError(inner.message, hint=inner.hint)
        why = self._fault.why or _refusal(self._fault.status) or one_line(str(inner), MOST_SAID) or type(inner).__name__
        logger.opt(exception=problem).debug("the MCP server {} could not be opened", self.name)
        return ToolError(f"The MCP server {self.name} could not be reached: {why}.", hint=hint)

    async def _list(self, client: Client) -> Listing:
        tools: list[dict[str, Any]] = []
        cursor: str | None = None
        capabilities = client.server_capabilities
        if capabilities.tools is not None:
            for _ in range(MOST_PAGES):
                page = await client.list_tools(cursor=cursor)
                tools += [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in page.tools]
                cursor = page.next_cursor
                if cursor is None or len(tools) >= MOST_TOOLS:
                    break
        if capabilities.resources is not None and all(tool["name"] != READ_RESOURCE for tool in tools):
            tools.append(RESOURCE_TOOL)
        info = client.server_info
        about = f"{info.title or info.name} {info.version}" if info is not None else ""
        return Listing.of(tools, about, self.runs)

    async def _roots(self, context: Any) -> types.ListRootsResult:  # noqa: ARG002 - the library's
        """Tell a server inside which folder is the session's; one outside sees no files at all."""
        folder = self._fault.inside
        return types.ListRootsResult(roots=[types.Root(uri=f"file://{folder}")] if folder else [])

    async def _heard(self, message: Any) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            self.outdated = True


async def _resource(client: Client, uri: str, stem: str) -> Returned:
    if uri:
        return Reader(stem).resource(await client.read_resource(uri))
    text = listed((await client.list_resources()).resources, await _templates(client))
    return Returned(text, text)


async def _templates(client: Client) -> list[types.ResourceTemplate]:
    """Return the patterns of addresses; many servers with resources know no such question."""
    try:
        return (await client.list_resource_templates()).resource_templates
    except MCPError as error:
        if error.code != types.METHOD_NOT_FOUND:
            raise
        return []


def _told(report: Callable[[Progress], None] | None) -> Any:
    """Return what hears of progress and passes it on, not more often than anybody can read."""
    if report is None:
        return None
    last = 0.0

    async def tell(done: float, total: float | None, message: str | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= PROGRESS_SECONDS:
            last = now
            report(Progress(one_line(message or "", MOST_PROGRESS), done, total))

    return tell


def _refusal(status: int) -> str:
    """Return in words why a server over HTTP does not talk with us; "" for what a status does not tell."""
    if status in CLOSED_DOOR:
        way_on = "a secret named by `bearer` opens it, if its operator gives out such; signing in in a browser does not"
        return f"it answered {status} {http.HTTPStatus(status).phrase} ({way_on})"
    return f"it answered {status}" if status else ""


def _innermost(problem: BaseException) -> BaseException:
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    return problem
