"""A strict OpenAI-compatible model server over real sockets, for tests and for trying things out without a model.

    async with FakeOpenAI(["Hello!"]) as server:
        model = OpenAIModel("fake", server.base_url, "key", Model())

It streams scripted answers at a chosen speed, refuses malformed requests as the real one does, plays every fault that
real servers have, and keeps each request. `python -m agent.testing.openai_server --port 0 --script FILE.json` runs it
as a process of its own; its first line of output is the base URL.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from agent.errors import DirigentError
from agent.testing.http_server import HttpServer
from agent.testing.openai_ears import take_recording
from agent.testing.openai_limits import check_window
from agent.testing.openai_reply import Reply, as_json
from agent.testing.openai_rules import Refusal, check_request
from agent.testing.openai_script import Answer, Playbook, Rule, Script, Scripted, load_script

if TYPE_CHECKING:
    from aiohttp import web

FLAVOURS = ("openai", "ollama", "llama.cpp", "vllm", "lm-studio")
__all__ = ["Answer", "FakeOpenAI", "Playbook", "Rule", "main"]


class FakeOpenAI(HttpServer):
    """The server, as an async context manager.

    `script` is a list of answers (texts, `Answer`s, dictionaries, or functions of the request), one such function for
    every request, or a Playbook. `models` are the ids that it has. `refuses` names what it answers with 400:
    `response_format`, `json_schema`, `json_object`, `stream_options`, `max_tokens`, `temperature`, `tools`,
    `tool_choice`, `system`, `image`. `ignores` holds `tool_choice` when it does not let itself be forced. `api_key` is
    demanded when set. `flavour` adds the native endpoints of a local server, with `window` as the context size that it
    serves; with `strict_window` longer prompts are refused, in the words of that server.

    `requests` are the bodies that came, `headers` their headers, `connections` the number of connections that were
    opened, `aborted` counts the streams whose reader went away and `left` is set when that happens.

    `spoken` is what the next recordings say (empty: there is no speech recognition here, 404); `recordings` are those
    that came: name, bytes, model, language.
    """

    cancels: ClassVar[bool] = True

    def __init__(
        self,
        script: Iterable[Scripted | Script] | Script | Playbook = (),
        *,
        models: Iterable[str | dict[str, Any]] = ("fake-model",),
        refuses: Iterable[str] = (),
        ignores: Iterable[str] = (),
        api_key: str | None = None,
        flavour: str = "openai",
        window: int = 8192,
        strict_window: bool = False,
        native: dict[str, Any] | None = None,
        port: int = 0,
        log: Path | None = None,
    ) -> None:
        super().__init__(port)
        self.book = script if isinstance(script, Playbook) else _book(script)
        self.models = [{"id": model} if isinstance(model, str) else model for model in models]
        self.refuses = set(refuses)
        self.ignores = set(ignores)
        self.api_key = api_key
        self.flavour = flavour
        self.window = window
        self.strict_window = strict_window
        self.native = native or {}
        self.spoken: list[str] = []
        self.recordings: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.aborted = 0
        self.left = asyncio.Event()
        self._peers: set[Any] = set()
        self._log = log

    @property
    def base_url(self) -> str:
        """What goes into OPENAI_BASE_URL."""
        return f"{self.root}/v1"

    @property
    def connections(self) -> int:
        """How many connections were opened."""
        return len(self._peers)

    def will(self, *answers: Scripted | Script) -> None:
        """Queue further answers."""
        self.book.queue.extend(answers)

    def _routes(self) -> web.Application:
        from aiohttp import web

        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/audio/transcriptions", self._transcribe)
        app.router.add_get("/v1/models", self._list)
        for path in ("/api/show", "/api/ps", "/props", "/api/v0/models"):
            app.router.add_route("*", path, self._native)
        return app

    # --- endpoints ----------------------------------------------------------------------------------------------
    async def _list(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.path)
        try:
            self._check_key(request)
        except Refusal as refusal:
            return _refuse(refusal)
        data = [{"object": "model", "created": 0, "owned_by": "fake", **model} for model in self.models]
        if self.flavour == "vllm":
            data = [{**model, "max_model_len": self.window} for model in data]
        return as_json({"object": "list", "data": data})

    async def _native(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.path)
        if request.path in self.native:
            return as_json(self.native[request.path])
        first = self.models[0]["id"] if self.models else ""
        known: dict[str, dict[str, Any]] = {
            "ollama": {
                "/api/show": {"parameters": f"num_ctx    {self.window}", "model_info": {"x.context_length": 131072}},
                "/api/ps": {"models": []},
            },
            "llama.cpp": {"/props": {"default_generation_settings": {"n_ctx": self.window}}},
            "lm-studio": {
                "/api/v0/models": {"data": [{"id": first, "state": "loaded", "loaded_context_length": self.window}]},
            },
        }
        found = known.get(self.flavour, {}).get(request.path)
        return as_json(found) if found is not None else as_json({"error": "not found"}, status=404)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.path)
        self._peers.add(request.transport and request.transport.get_extra_info("peername"))
        try:
            body = await self._read(request)
            answer = self.book.answer(body)
            if answer.status != 200:
                raise _scripted_refusal(answer)
        except Refusal as refusal:
            return _refuse(refusal)
        try:
            return await Reply(request, body, answer, self.ignores).send()
        except (ConnectionError, asyncio.CancelledError):
            self.aborted += 1
            self.left.set()
            raise

    async def _transcribe(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.path)
        try:
            self._check_key(request)
            return as_json({"text": await take_recording(request, self.recordings, self.spoken)})
        except Refusal as refusal:
            return _refuse(refusal)

    async def _read(self, request: web.Request) -> dict[str, Any]:
        """Read, keep and check a request. Raises Refusal."""
        self._check_key(request)
        try:
            raw = await request.json()
        except ValueError:
            raise Refusal("We could not parse the JSON body of your request.") from None
        self.requests.append(raw)
        self.headers.append(dict(request.headers))
        if self._log is not None:
            with self._log.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"at": time.time(), "request": raw}) + "\n")
        body = check_request(raw)
        if body["model"] not in {model["id"] for model in self.models}:
            raise Refusal(f"The model `{body['model']}` does not exist.", status=404, code="model_not_found")
        self._check_features(body)
        if self.strict_window:
            check_window(body, self.window, self.flavour)
        return body

    def _check_key(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.api_key is not None and given != self.api_key:
            raise Refusal(f"Incorrect API key provided: {given}.", status=401, code="invalid_api_key")

    def _check_features(self, body: dict[str, Any]) -> None:
        form = (body.get("response_format") or {}).get("type")
        used = {name for name in body if body[name] is not None} | {form}
        if any(message["role"] == "system" for message in body["messages"]):
            used.add("system")
        if any(part["type"] == "image_url" for part in _parts(body)):
            used.add("image")
        for name in sorted(self.refuses & {str(feature) for feature in used}):
            if name == "max_tokens":
                raise Refusal(
                    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' "
                    "instead.",
                    param="max_tokens",
                    code="unsupported_parameter",
                )
            if name == "image":
                raise Refusal("Invalid content type. image_url is only supported by certain models.", param="messages")
            if name == "system":
                raise Refusal("System role not supported", status=400)
            raise Refusal(f"Unsupported parameter: '{name}' is not supported with this model.", param=name)


def _book(script: Iterable[Scripted | Script] | Script) -> Playbook:
    if callable(script):
        return Playbook(default=script)
    return Playbook(queue=list(script))


def _scripted_refusal(answer: Answer) -> Refusal:
    headers = {} if answer.retry_after is None else {"Retry-After": str(answer.retry_after)}
    refusal = Refusal(str(answer.error), status=answer.status, code=answer.code, param=answer.param, headers=headers)
    if isinstance(answer.error, dict):
        refusal.body = answer.error
    return refusal


def _parts(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the content parts of all messages that have any."""
    contents = [message.get("content") for message in body["messages"]]
    return [part for content in contents if isinstance(content, list) for part in content]


def _refuse(refusal: Refusal) -> web.StreamResponse:
    response = as_json(refusal.body, status=refusal.status)
    response.headers.update(refusal.headers)
    return response


async def _serve(options: argparse.Namespace) -> None:
    book = load_script(options.script) if options.script else Playbook(default="Hello from the fake model.")
    server = FakeOpenAI(book, models=options.model or ("fake-model",), port=options.port, log=options.log)
    async with server:
        sys.stdout.write(f"{server.base_url}\n")
        sys.stdout.flush()
        await _interrupted()


async def _interrupted() -> None:
    """Wait for Ctrl-C or SIGTERM: also where it was started in the background, which leaves Ctrl-C ignored."""
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await told.wait()


def main(arguments: list[str] | None = None) -> int:
    """Run the server until it is interrupted; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m agent.testing.openai_server", description="A scripted model server."
    )
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--script", type=Path, help="JSON list of answers or rules")
    parser.add_argument("--model", action="append", help="a model id that it has (may be given several times)")
    parser.add_argument("--log", type=Path, help="append every request to this file, one JSON object a line")
    try:
        asyncio.run(_serve(parser.parse_args(arguments)))
    except (DirigentError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
