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
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from agent.errors import DirigentError
from agent.testing.openai_ears import take_recording
from agent.testing.openai_rules import Refusal, check_request
from agent.testing.openai_script import Answer, Playbook, Rule, Script, Scripted, load_script, tokens_of

if TYPE_CHECKING:
    from types import TracebackType

    from aiohttp import web

FLAVOURS = ("openai", "ollama", "llama.cpp", "vllm", "lm-studio")
__all__ = ["Answer", "FakeOpenAI", "Playbook", "Rule", "main"]


class FakeOpenAI:
    """The server, as an async context manager.

    `script` is a list of answers (texts, `Answer`s, dictionaries, or functions of the request), one such function for
    every request, or a Playbook. `models` are the ids that it has. `refuses` names what it answers with 400:
    `response_format`, `json_schema`, `json_object`, `stream_options`, `max_tokens`, `temperature`, `tools`,
    `tool_choice`, `system`, `image`. `ignores` holds `tool_choice` when it does not let itself be forced. `api_key` is
    demanded when set. `flavour` adds the native endpoints of a local server, with `window` as the context size that it
    serves.

    `requests` are the bodies that came, `headers` their headers, `connections` the number of connections that were
    opened, `aborted` counts the streams whose reader went away and `left` is set when that happens.

    `spoken` is what the next recordings say (empty: there is no speech recognition here, 404); `recordings` are those
    that came: name, bytes, model, language.
    """

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
        native: dict[str, Any] | None = None,
        port: int = 0,
        log: Path | None = None,
    ) -> None:
        self.book = script if isinstance(script, Playbook) else _book(script)
        self.models = [{"id": model} if isinstance(model, str) else model for model in models]
        self.refuses = set(refuses)
        self.ignores = set(ignores)
        self.api_key = api_key
        self.flavour = flavour
        self.window = window
        self.native = native or {}
        self.port = port
        self.spoken: list[str] = []
        self.recordings: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.aborted = 0
        self.left = asyncio.Event()
        self._peers: set[Any] = set()
        self._log = log
        self._runner: web.AppRunner | None = None

    @property
    def root(self) -> str:
        """The server's root, such as `http://127.0.0.1:4711`."""
        return f"http://127.0.0.1:{self.port}"

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

    async def __aenter__(self) -> Self:
        from aiohttp import web

        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/audio/transcriptions", self._transcribe)
        app.router.add_get("/v1/models", self._list)
        for path in ("/api/show", "/api/ps", "/props", "/api/v0/models"):
            app.router.add_route("*", path, self._native)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

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
        return _json({"object": "list", "data": data})

    async def _native(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.path)
        if request.path in self.native:
            return _json(self.native[request.path])
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
        return _json(found) if found is not None else _json({"error": "not found"}, status=404)

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
            return await _Reply(request, body, answer, self.ignores).send()
        except (ConnectionError, asyncio.CancelledError):
            self.aborted += 1
            self.left.set()
            raise

    async def _transcribe(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.path)
        try:
            self._check_key(request)
            return _json({"text": await take_recording(request, self.recordings, self.spoken)})
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


class _Reply:
    """Sends one answer, whole or streamed, with its faults."""

    def __init__(self, request: web.Request, body: dict[str, Any], answer: Answer, ignores: set[str]) -> None:
        self.request = request
        self.body = body
        self.answer = _as_forced(body, answer) if "tool_choice" not in ignores else answer
        self.usage_wanted = bool((body.get("stream_options") or {}).get("include_usage"))
        self.written = 0

    async def send(self) -> web.StreamResponse:
        if self.answer.drop_after == -1:
            self._cut()
        await asyncio.sleep(self.answer.first_token_seconds)
        if not self.body.get("stream") or self.answer.whole:
            return _json(self._whole())
        from aiohttp import web

        self.response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await self.response.prepare(self.request)
        await self._stream()
        with contextlib.suppress(ConnectionError):
            await self.response.write_eof()
        return self.response

    async def _stream(self) -> None:
        await self._chunk({"role": "assistant", "content": ""})
        async for delta in self._paced():
            await self._fault()
            await self._chunk(delta)
            self.written += 1
        await self._fault()
        if self.answer.stream_error is not None:
            await self._event(self.answer.stream_error)
            return
        await self._chunk({}, finish=self._finish())
        if self.usage_wanted and self.answer.usage:
            await self._event({**self._head(), "choices": [], "usage": self._usage()})
        if self.answer.done:
            await self._write(b"data: [DONE]\n\n")

    async def _paced(self) -> AsyncIterator[dict[str, Any]]:
        begun = time.monotonic()
        for number, delta in enumerate(self._deltas()):
            if self.answer.tokens_per_second:
                due = begun + number / self.answer.tokens_per_second
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            yield delta

    def _deltas(self) -> Iterable[dict[str, Any]]:
        for piece in tokens_of(self.answer.reasoning):
            yield {"reasoning_content": piece}
        for piece in tokens_of(self.answer.text):
            yield {"content": piece}
        for index, (name, arguments) in enumerate(self.answer.tool_calls):
            head = {"index": index, "id": f"call_{index}", "type": "function"}
            yield {"tool_calls": [{**head, "function": {"name": name, "arguments": ""}}]}
            for piece in tokens_of(_raw(arguments)):
                yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}

    async def _fault(self) -> None:
        if self.written == self.answer.stall_after:
            await asyncio.Event().wait()
        if self.written == self.answer.drop_after:
            self._cut()
        if self.written == self.answer.bad_chunk_after:
            await self._write(b'data: {"choices": [{"delta": {"content": "unfin\n\n')

    def _cut(self) -> None:
        if self.request.transport is not None:
            self.request.transport.abort()
        raise ConnectionResetError("The script cuts the connection here.")

    async def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> None:
        await self._event({**self._head(), "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    async def _event(self, payload: dict[str, Any]) -> None:
        await self._write(b"data: " + json.dumps(payload, ensure_ascii=False).encode() + b"\n\n")

    async def _write(self, data: bytes) -> None:
        size = self.answer.split_bytes or len(data)
        for start in range(0, len(data), size):
            await self.response.write(data[start : start + size])
            if size < len(data):
                await asyncio.sleep(0)

    def _head(self) -> dict[str, Any]:
        return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": self.body["model"]}

    def _finish(self) -> str:
        return self.answer.finish or ("tool_calls" if self.answer.tool_calls else "stop")

    def _usage(self) -> dict[str, int]:
        prompt = sum(len(tokens_of(str(m.get("content") or ""))) + 4 for m in self.body["messages"])
        completion = sum(1 for _ in self._deltas())
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

    def _whole(self) -> dict[str, Any]:
        calls = [
            {"id": f"call_{i}", "type": "function", "function": {"name": name, "arguments": _raw(arguments)}}
            for i, (name, arguments) in enumerate(self.answer.tool_calls)
        ]
        message: dict[str, Any] = {"role": "assistant", "content": self.answer.text or None}
        if calls:
            message["tool_calls"] = calls
        choice = {"index": 0, "message": message, "finish_reason": self._finish()}
        whole = {**self._head(), "object": "chat.completion", "choices": [choice]}
        return {**whole, "usage": self._usage()} if self.answer.usage else whole


def _book(script: Iterable[Scripted | Script] | Script) -> Playbook:
    if callable(script):
        return Playbook(default=script)
    return Playbook(queue=list(script))


def _as_forced(body: dict[str, Any], answer: Answer) -> Answer:
    """A forced tool call says as arguments what the script says as text."""
    choice = body.get("tool_choice")
    if not isinstance(choice, dict) or answer.tool_calls:
        return answer
    from dataclasses import replace

    return replace(
        answer, text="", tool_calls=((choice["function"]["name"], answer.text),), finish=answer.finish or "stop"
    )


def _raw(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


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
    response = _json(refusal.body, status=refusal.status)
    response.headers.update(refusal.headers)
    return response


def _json(body: Any, status: int = 200) -> web.StreamResponse:
    from aiohttp import web

    return web.json_response(body, status=status)


async def _serve(options: argparse.Namespace) -> None:
    book = load_script(options.script) if options.script else Playbook(default="Hello from the fake model.")
    server = FakeOpenAI(book, models=options.model or ("fake-model",), port=options.port, log=options.log)
    async with server:
        sys.stdout.write(f"{server.base_url}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


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
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
