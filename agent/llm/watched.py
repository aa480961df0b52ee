"""A model whose every call is counted and traced, by the names of OpenTelemetry's conventions for generative AI."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agent import tracing
from agent.llm.protocol import Finished, TextDelta
from agent.llm.wrapped import WrappedLLM
from agent.metrics.tally import tally

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from agent.llm.protocol import LLM, LLMRequest, Notice
    from agent.tracing import Span, Value

PURPOSES = frozenset({"plan", "answer", "task", "step", "memory"})
PROVIDERS = {
    "api.anthropic.com": "anthropic",
    "api.cohere.com": "cohere",
    "api.deepseek.com": "deepseek",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "x_ai",
}
AZURE = ".openai.azure.com"


class WatchedLLM(WrappedLLM):
    """Implements LLM over another one. Streams are to be closed by whoever reads them, as always."""

    async def stream(self, request: LLMRequest) -> AsyncGenerator[TextDelta | Notice | Finished]:
        """Stream an answer; see LLM.stream."""
        call = _Call(self._llm, request, streams=True)
        said: list[str] = []
        try:
            async with contextlib.AsyncExitStack() as stack:
                items = self._llm.stream(request)
                if (close := getattr(items, "aclose", None)) is not None:
                    stack.push_async_callback(close)
                async for item in items:
                    if isinstance(item, Finished):
                        call.finished(item, "".join(said))
                    elif isinstance(item, TextDelta):
                        call.first_words()
                        said.append(item.text)
                    yield item
        except GeneratorExit:
            raise
        except BaseException as error:
            call.failed(error)
            raise
        finally:
            call.end()

    async def complete(self, request: LLMRequest) -> Finished:
        """Return the whole answer; see LLM.complete."""
        call = _Call(self._llm, request, streams=False)
        try:
            finished = await self._llm.complete(request)
            call.finished(finished, "")
        except BaseException as error:
            call.failed(error)
            raise
        finally:
            call.end()
        return finished


class _Call:
    """One call of a model while it goes on."""

    def __init__(self, llm: LLM, request: LLMRequest, *, streams: bool) -> None:
        self._purpose = request.purpose if request.purpose in PURPOSES else "other"
        self._began = time.perf_counter()
        self._spoke = False
        self._outcome = "cut off"  # whoever reads a stream may stop before its end
        self.span: Span = tracing.OFF
        if tracing.is_on():
            model = request.model or llm.name
            self.span = tracing.begin(f"chat {model}", _asked(llm, request, model, streams=streams), kind="client")
            self.span.content("gen_ai.input.messages", lambda: _messages(request))

    def first_words(self) -> None:
        if not self._spoke:
            self._spoke = True
            self.span.set({"gen_ai.response.time_to_first_chunk": time.perf_counter() - self._began})

    def finished(self, answer: Finished, said: str) -> None:
        usage, self._outcome = answer.usage, "ok"
        tally.count("model_tokens", self._purpose, "prompt", by=usage.prompt_tokens)
        tally.count("model_tokens", self._purpose, "completion", by=usage.completion_tokens)
        if usage.money:
            tally.count("model_dollars", self._purpose, by=usage.money)
        self.span.set(
            {
                "gen_ai.response.model": usage.model,
                "gen_ai.response.finish_reasons": (answer.reason,),
                "gen_ai.usage.input_tokens": usage.prompt_tokens,
                "gen_ai.usage.output_tokens": usage.completion_tokens,
                "dirigent.usage.estimated": usage.estimated,
            }
        )
        self.span.content("gen_ai.output.messages", lambda: _answer(answer, said))

    def failed(self, error: BaseException) -> None:
        if isinstance(error, Exception):
            self._outcome = type(error).__name__
            self.span.fail(type(error).__name__, str(error))

    def end(self) -> None:
        tally.count("model_calls", self._purpose, self._outcome)
        tally.time("model_seconds", time.perf_counter() - self._began, self._purpose)
        self.span.end()


def _asked(llm: LLM, request: LLMRequest, model: str, *, streams: bool) -> dict[str, Value]:
    address = urlsplit(getattr(llm, "base_url", ""))
    host = address.hostname or ""
    told: dict[str, Value | None] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "azure.ai.openai" if host.endswith(AZURE) else PROVIDERS.get(host, "openai"),
        "gen_ai.request.model": model,
        "gen_ai.request.max_tokens": request.max_tokens,
        "gen_ai.request.temperature": request.temperature,
        "gen_ai.request.stream": streams,
        "gen_ai.output.type": "json" if request.schema is not None else "text",
        "server.address": host,
        "server.port": address.port,
        "dirigent.purpose": request.purpose,
    }
    return {name: value for name, value in told.items() if value is not None}


def _messages(request: LLMRequest) -> str:
    """Return a prompt as the conventions write it: role and parts of each message; pictures are left out."""
    return json.dumps([_message(one.role, one.content) for one in request.messages], ensure_ascii=False)


def _message(role: str, text: str) -> dict[str, object]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def _answer(answer: Finished, said: str) -> str:
    parts: list[dict[str, object]] = [{"type": "text", "content": answer.text or said}]
    parts += [
        {"type": "tool_call", "id": one.id, "name": one.name, "arguments": one.arguments}
        for one in answer.tool_requests
    ]
    return json.dumps([{"role": "assistant", "parts": parts, "finish_reason": answer.reason}], ensure_ascii=False)
