"""Dirigent as a server of tools for other programs: ask, run pipelines, look how runs are doing, answer questions.

What comes in here is a program's word, never the owner's: the token says which program speaks, and that program has
read who knows what. So whatever a run of it would change outside is asked in the owner's own chat first, and nothing
here can give such a yes. A program sees only the runs that came from programs.
"""

from __future__ import annotations

import asyncio
import base64
import json
import mimetypes
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from loguru import logger
from mcp import MCPError, types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

import agent
from agent.errors import DirigentError, NotFound, reference_id

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from starlette.types import Receive, Scope, Send

MOST_REQUEST = 50_000
MOST_SECONDS, USUAL_SECONDS = 600.0, 120.0
FIRST_LOOK, LAST_LOOK = 0.1, 2.0
MOST_BODY = 1 << 20
MOST_COMPLAINT = 200
FILES = "dirigent://runs/"
INSTRUCTIONS = (
    "Dirigent plans and carries out requests for its owner, in a sandbox. `ask` waits for the answer, or returns a "
    "reference for `run_status`. What would change something outside is first asked in the owner's own chat."
)


@dataclass(frozen=True, slots=True)
class Told:
    """How a run is doing. `waits` says what it waits for; `questions` are those that may be answered here.

    `files` are the names of the answer's files; `steps` are (title, status).
    """

    ref: str
    status: str
    over: bool = False
    answer: str = ""
    error: str = ""
    waits: str = ""
    questions: tuple[Mapping[str, Any], ...] = ()
    steps: tuple[tuple[str, str], ...] = ()
    files: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return it as the structured result."""
        done = sum(status in {"COMPLETED", "FAILED", "CANCELLED"} for _, status in self.steps)
        told = {
            "run": self.ref,
            "status": self.status,
            "answer": self.answer,
            "error": self.error,
            "waiting": self.waits,
            "questions": [dict(question) for question in self.questions],
            "steps_done": done,
            "steps": len(self.steps),
            "files": [f"{FILES}{self.ref}/{name}" for name in self.files],
        }
        return {name: value for name, value in told.items() if value or name in {"run", "status"}}


@dataclass(frozen=True, slots=True)
class Offer:
    """A pipeline that may be run: its inputs as a JSON Schema, or what is wrong with it."""

    name: str
    about: str
    schema: Mapping[str, Any] = field(default_factory=dict)


class Desk(Protocol):
    """What the server's tools work with. All of it raises DirigentError for what can't be done."""

    async def ask(self, request: str, key: str) -> str:
        """Open a run for a request and return its reference; with the same key again it is the same run."""

    async def pipelines(self) -> list[Offer]:
        """Return the pipelines."""

    async def run_pipeline(self, name: str, inputs: dict[str, Any], key: str) -> str:
        """Open a run of a pipeline and return its reference."""

    async def told(self, ref: str) -> Told:
        """Return how a run is doing. Raises NotFound for one that no program has begun."""

    async def answer(self, ref: str, question: str, answer: str) -> None:
        """Answer a question of a run."""

    async def stop(self, ref: str) -> None:
        """Stop a run; one that is over stays as it is. Raises NotFound for one that no program has begun."""

    async def file(self, ref: str, name: str) -> bytes:
        """Return a file of a run's answer."""


KEY = {"type": "string", "description": "The same key again means the same run: for a call that may be repeated"}
WAIT = {
    "type": "number",
    "default": USUAL_SECONDS,
    "minimum": 0,
    "maximum": MOST_SECONDS,
    "description": "Seconds to wait for the answer; after that the reference is returned and the run goes on",
}
RUN = {"type": "string", "description": "The reference of the run"}


def _tool(name: str, about: str, properties: dict[str, Any], required: list[str], *, reads: bool) -> types.Tool:
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    hints = types.ToolAnnotations(read_only_hint=reads, destructive_hint=not reads, open_world_hint=True)
    return types.Tool(name=name, description=about, input_schema=schema, annotations=hints)


TOOLS = [
    _tool(
        "ask",
        "Have Dirigent plan and carry out a request in words, and return its answer with its files.",
        {"request": {"type": "string", "maxLength": MOST_REQUEST}, "wait_seconds": WAIT, "key": KEY},
        ["request"],
        reads=False,
    ),
    _tool(
        "run_pipeline",
        "Run one of the owner's pipelines; `list_pipelines` says which there are and what each takes.",
        {"name": {"type": "string"}, "inputs": {"type": "object"}, "wait_seconds": WAIT, "key": KEY},
        ["name"],
        reads=False,
    ),
    _tool("list_pipelines", "List the owner's pipelines with the JSON Schema of their inputs.", {}, [], reads=True),
    _tool(
        "run_status",
        "Say how a run is doing: its answer, what it waits for, its open questions.",
        {"run": RUN, "wait_seconds": {**WAIT, "default": 0}},
        ["run"],
        reads=True,
    ),
    _tool(
        "answer_question",
        "Answer an open question of a run. Approvals can't be given here: the owner gives them in their own chat.",
        {"run": RUN, "question": {"type": "string"}, "answer": {"type": "string", "maxLength": MOST_REQUEST}},
        ["run", "question", "answer"],
        reads=False,
    ),
    _tool("stop_run", "Stop a run at once; what it has made is kept.", {"run": RUN}, ["run"], reads=False),
]


def server_of(desk: Desk) -> Server[Any]:
    """Return the server that speaks for a desk."""
    calls = _Calls(desk)
    return Server(
        "dirigent",
        version=agent.__version__,
        title="Dirigent",
        instructions=INSTRUCTIONS,
        on_list_tools=calls.list_tools,
        on_call_tool=calls.call,
        on_list_resources=calls.list_resources,
        on_read_resource=calls.read,
    )


class _Calls:
    """What the server answers."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._does: dict[str, Callable[[Any, dict[str, Any]], Awaitable[types.CallToolResult]]] = {
            "ask": self._ask,
            "run_pipeline": self._run_pipeline,
            "list_pipelines": self._list_pipelines,
            "run_status": self._run_status,
            "answer_question": self._answer_question,
            "stop_run": self._stop_run,
        }

    async def list_tools(self, _ctx: Any, _params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=TOOLS)

    async def list_resources(self, _ctx: Any, _params: Any) -> types.ListResourcesResult:
        """Return none: a file is known to whoever asked for it, from the answer."""
        return types.ListResourcesResult(resources=[])

    async def call(self, ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        """Do what a tool says; what goes wrong is told in words."""
        does = self._does.get(params.name)
        if does is None:
            raise MCPError(types.INVALID_PARAMS, f"There is no tool {params.name[:100]!r}.")
        try:
            args = _checked(params.name, params.arguments or {})
            return await does(ctx, args)
        except DirigentError as error:
            return _failed(f"{error.message} {error.hint}".strip())
        except Exception:
            ref = reference_id()
            logger.exception("{} the tool {} failed for a program", ref, params.name)
            return _failed(f"Something in Dirigent failed ({ref}); its log says more.")

    async def read(self, _ctx: Any, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        """Return a file of an answer."""
        uri = str(params.uri)
        ref, _, name = uri.removeprefix(FILES).partition("/")
        try:
            if not uri.startswith(FILES):
                raise NotFound("There is no such file.")
            data = await self._desk.file(ref, name)
        except DirigentError as error:
            raise MCPError(types.INVALID_PARAMS, error.message) from None
        mime = mimetypes.guess_type(name)[0] or "application/octet-stream"
        found = types.BlobResourceContents(uri=uri, mime_type=mime, blob=base64.b64encode(data).decode())
        return types.ReadResourceResult(contents=[found])

    # --- the tools --------------------------------------------------------------------------------------------------
    async def _ask(self, ctx: Any, args: dict[str, Any]) -> types.CallToolResult:
        if not args["request"].strip():
            return _failed("The request is empty.")
        ref = await self._desk.ask(args["request"], args.get("key", ""))
        return _result(await self._waited(ctx, ref, args.get("wait_seconds", USUAL_SECONDS)))

    async def _run_pipeline(self, ctx: Any, args: dict[str, Any]) -> types.CallToolResult:
        ref = await self._desk.run_pipeline(args["name"], args.get("inputs") or {}, args.get("key", ""))
        return _result(await self._waited(ctx, ref, args.get("wait_seconds", USUAL_SECONDS)))

    async def _list_pipelines(self, _ctx: Any, _args: dict[str, Any]) -> types.CallToolResult:
        offers = await self._desk.pipelines()
        told = [{"name": one.name, "about": one.about, "inputs": dict(one.schema)} for one in offers]
        text = "\n".join(f"{one.name}: {one.about}" for one in offers) or "There are no pipelines."
        return types.CallToolResult(content=[types.TextContent(text=text)], structured_content={"pipelines": told})

    async def _run_status(self, ctx: Any, args: dict[str, Any]) -> types.CallToolResult:
        return _result(await self._waited(ctx, args["run"], args.get("wait_seconds", 0)))

    async def _answer_question(self, _ctx: Any, args: dict[str, Any]) -> types.CallToolResult:
        await self._desk.answer(args["run"], args["question"], args["answer"])
        return _result(await self._desk.told(args["run"]))

    async def _stop_run(self, _ctx: Any, args: dict[str, Any]) -> types.CallToolResult:
        await self._desk.stop(args["run"])
        return _result(await self._desk.told(args["run"]))

    async def _waited(self, ctx: Any, ref: str, seconds: float) -> Told:
        """Wait until a run is over or waits for somebody, telling of its progress; the run itself waits for nobody.

        The journal is asked again and again, since another process may be the one that carries the run out.
        """
        loop, pause, shown = asyncio.get_running_loop(), FIRST_LOOK, -1
        until = loop.time() + min(seconds, MOST_SECONDS)
        while True:
            told = await self._desk.told(ref)
            done = sum(status not in {"PENDING", "READY", "RUNNING"} for _, status in told.steps)
            if done != shown and told.steps:
                now = next((title for title, status in told.steps if status == "RUNNING"), "")
                await ctx.session.report_progress(float(done), float(len(told.steps)), now or None)
                shown = done
            if told.over or told.questions or told.waits or loop.time() >= until:
                return told
            await asyncio.sleep(min(pause, max(0.0, until - loop.time())))
            pause = min(pause * 1.5, LAST_LOOK)


def _checked(name: str, args: dict[str, Any]) -> dict[str, Any]:
    """Return arguments that fit the tool's schema. Raises DirigentError saying what does not."""
    from jsonschema import Draft202012Validator

    tool = next(tool for tool in TOOLS if tool.name == name)
    wrong = [_said(error) for error in Draft202012Validator(tool.input_schema).iter_errors(args)]
    if wrong:
        raise DirigentError("; ".join(wrong[:5]))
    return args


def _said(error: ValidationError) -> str:
    """Return what is wrong with an argument, never with much of its value."""
    where = ".".join(str(part) for part in error.path)
    short = len(error.message) <= MOST_COMPLAINT
    what = error.message if short else f"its value does not fit {error.validator} {error.validator_value}"
    return f"{where}: {what}" if where else what


def _failed(said: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(text=said)], is_error=True)


def _result(told: Told) -> types.CallToolResult:
    found = told.as_json()
    content: list[types.ContentBlock] = [types.TextContent(text=told.answer or told.error or _waiting(told))]
    content += [types.ResourceLink(name=name, uri=f"{FILES}{told.ref}/{name}") for name in told.files]
    content.append(types.TextContent(text=json.dumps(found, ensure_ascii=False)))
    return types.CallToolResult(content=content, structured_content=found, is_error=told.status == "FAILED")


def _waiting(told: Told) -> str:
    if told.questions:
        return f"It asks: {told.questions[0]['text']}"
    return told.waits or f"The run {told.ref} goes on; `run_status` says how it is doing."


# --- the ways in ----------------------------------------------------------------------------------------------------
async def serve_stdio(desk: Desk) -> None:
    """Serve one program over standard input and output, until it closes them."""
    server = server_of(desk)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


class HttpServing:
    """The same over HTTP. `handle` is the ASGI application; it answers while `run` runs."""

    def __init__(self, desk: Desk) -> None:
        self._manager = StreamableHTTPSessionManager(server_of(desk), stateless=True, max_request_body_size=MOST_BODY)
        self._open = asyncio.Event()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Answer as long as this lasts."""
        async with self._manager.run():
            self._open.set()
            yield

    async def run(self) -> None:
        """Answer until cancelled."""
        async with self.opened():
            await asyncio.Event().wait()

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; one that comes while all starts waits for that."""
        await self._open.wait()
        await self._manager.handle_request(scope, receive, send)
