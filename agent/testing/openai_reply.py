"""How the model server answers: one answer of the script, whole or streamed at its pace, with its faults."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent.testing.openai_script import tokens_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from aiohttp import web

    from agent.testing.openai_script import Answer


class Reply:
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
        if self.answer.gate is not None:
            await self.answer.gate.wait()
        if not self.body.get("stream") or self.answer.whole:
            return as_json(self._whole())
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


def _as_forced(body: dict[str, Any], answer: Answer) -> Answer:
    """A forced tool call says as arguments what the script says as text."""
    choice = body.get("tool_choice")
    if not isinstance(choice, dict) or answer.tool_calls:
        return answer
    return replace(
        answer, text="", tool_calls=((choice["function"]["name"], answer.text),), finish=answer.finish or "stop"
    )


def _raw(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def as_json(body: Any, status: int = 200) -> web.StreamResponse:
    """Return a body as a response."""
    from aiohttp import web

    return web.json_response(body, status=status)
