"""The client of every OpenAI-compatible server. The only door to `openai`, which is loaded with the first call.

The SDK gives us the transport: connections, authentication, proxies. The stream is read here, because the SDK builds a
pydantic model for every chunk; so are retries and timeouts, because the SDK's are silent.
"""

from __future__ import annotations

import asyncio
import difflib
import importlib
from contextlib import aclosing, suppress
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from loguru import logger

from agent.domain.ledger import Usage
from agent.errors import ModelError, ModelRefused, ModelRubbish, PromptTooLong
from agent.llm import breakage, failures
from agent.llm.addresses import is_address, is_local, without_credentials
from agent.llm.failures import Failure, Place, Tries
from agent.llm.prices import assumed_window, price
from agent.llm.protocol import Finished, Notice, TextDelta
from agent.llm.quirks import Quirks, build_body, has_pictures, refuse_unseen, rung_of, size_of
from agent.llm.reading import Patience, Silence, as_stream, read_stream
from agent.llm.reply import Reply
from agent.llm.structured import Rung, repair_request
from agent.llm.sums import last, reshaped, sum_of
from agent.llm.tokens import TokenCounter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    import openai

    from agent.config import Model
    from agent.llm.protocol import LLMRequest

    Item = TextDelta | Notice | Finished

T = TypeVar("T")
KEEP_ALIVE_SECONDS = 30.0
NO_KEY = "none"
SHORTEST_KEY = 6  # a shorter one is a placeholder, and part of ordinary words


class OpenAIModel:
    """A model behind an OpenAI-compatible API; implements the `LLM` protocol.

    `base_url` ends where `/chat/completions` is added, usually in `/v1`. `window` is the context size in tokens; 0
    takes `settings.window`, then 8,000 for a server on this machine, then what is known of the model or 128,000.
    What the server does not take (parameters, ways to ask for a shape) is learnt from its refusals once per model.

    Cancelling a call, or closing the iterator of `stream`, closes its connection at once.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        api_key: str | None,
        settings: Model,
        *,
        window: int = 0,
    ) -> None:
        self.name = name
        self.base_url = base_url.rstrip("/")
        self.local = is_local(base_url)
        self.settings = settings
        self.window = window or settings.window or assumed_window(name, local=self.local)
        self.tokens = TokenCounter(name, fetch=urlsplit(base_url).hostname == "api.openai.com")
        self._api_key = api_key or ""
        self._quirks: dict[str, Quirks] = {}
        self._opening: asyncio.Task[openai.AsyncOpenAI] | None = None

    def __repr__(self) -> str:
        return f"OpenAIModel({self.name!r}, {self.shown_url!r})"

    @property
    def shown_url(self) -> str:
        """The server's address without credentials."""
        return without_credentials(self.base_url)

    # --- the protocol -------------------------------------------------------------------------------------------
    async def stream(self, request: LLMRequest) -> AsyncGenerator[Item, None]:
        """Stream an answer: deltas and notices, then exactly one Finished.

        With `schema`, `Finished.text` is checked JSON, and what counts when it differs from the deltas: an answer that
        does not fit is mended in a second turn that is not streamed.
        """
        answer = self._call(request, visible=True) if request.schema is None else self._shaped(request, visible=True)
        async with aclosing(answer) as items:
            async for item in items:
                yield item

    async def complete(self, request: LLMRequest) -> Finished:
        """Return the whole answer. With `schema`, `text` is valid JSON of that schema."""
        answer = self._call(request, visible=False) if request.schema is None else self._shaped(request, visible=False)
        return await last(answer)

    def count(self, text: str) -> int:
        """Return the number of tokens of a text."""
        return self.tokens.count(text)

    def price(self, prompt_tokens: int, completion_tokens: int, model: str | None = None) -> float | None:
        """Return what a call costs, in US dollars: nothing on a local server, None when the price is unknown."""
        name, overrides = model or self.name, self.settings.prices
        return price(name, prompt_tokens, completion_tokens, overrides) if not self.local or name in overrides else 0.0

    def sees(self, model: str | None = None) -> bool:
        """Return whether a model may look at pictures: `llm.vision` says so, and it has not refused one yet."""
        return not self._quirks_of(model or self.name).blind

    def warm(self) -> None:
        """Begin to load the SDK and the token encoding in the background; needs a running loop."""
        self.tokens.warm()
        self._open_soon()

    async def close(self) -> None:
        """Close connections."""
        opening, self._opening = self._opening, None
        if opening is not None:
            with suppress(Exception):  # a client that could not be opened has nothing to close
                await (await opening).close()

    async def models(self, seconds: float = 5.0) -> tuple[str, ...]:
        """Return the ids of the models that the server has. Raises ModelError."""
        try:
            client = await self._client()
            page = await client.with_options(timeout=seconds).models.list()
        except Exception as error:
            raise self._explain(error, self._place(self.name)).error from None
        return tuple(entry.id for entry in page.data)

    async def ask(self, call: Callable[[openai.AsyncOpenAI], Awaitable[T]]) -> T:
        """Make a call of another kind, trying again where that is right. Raises ModelError."""
        tries = Tries(self.settings.tries, self.settings.first_token_seconds)
        while True:
            try:
                return await call(await self._client())
            except Exception as error:
                failure = self._explain(error, self._place(self.name))
            await asyncio.sleep(tries.pause(failure, 0))

    def beside(self, name: str) -> OpenAIModel:
        """Return another model of the same server."""
        return OpenAIModel(name, self.base_url, self._api_key or None, self.settings)

    # --- structured answers -------------------------------------------------------------------------------------
    async def _shaped(self, request: LLMRequest, *, visible: bool) -> AsyncGenerator[Item, None]:
        """Answer in the shape of `request.schema`, with one turn to mend what does not fit."""
        schema = request.schema or {}
        first: Finished | None = None
        async with aclosing(self._call(request, visible=visible)) as items:
            async for item in items:
                if isinstance(item, Finished):
                    first = item
                else:
                    yield item
        assert first is not None
        try:
            yield reshaped(first, schema, first.usage)
        except ValueError as error:
            problem = str(error)
        else:
            return
        yield await self._mend(request, first, problem)

    async def _mend(self, request: LLMRequest, first: Finished, problem: str) -> Finished:
        """Let the model correct its answer once. Raises ModelRubbish."""
        model = request.model or self.name
        if first.reason == "length":
            raise ModelRubbish(
                f"The answer of {model!r} was cut at {first.usage.completion_tokens} tokens, before its JSON ended.",
                hint="Ask for less at once, or choose a model with a larger context.",
            )
        quirks = self._quirks_of(model)
        if quirks.rung is Rung.JSON_SCHEMA:
            quirks.rung = Rung.TOOL  # a server that enforced the schema would not have let this pass
        logger.debug("{} answered in the wrong shape ({}); asking once more", model, problem)
        plain = repair_request(request, first.text, problem)
        second = await last(self._call(plain, visible=False))
        usage = sum_of(first.usage, second.usage)
        try:
            return reshaped(second, request.schema or {}, usage)
        except ValueError as error:
            raise ModelRubbish(
                f"The model {model!r} did not manage the form of answer that was asked for. {error}",
                hint="Choose a larger model, or ask more simply.",
            ) from None

    # --- one call, with its tries -------------------------------------------------------------------------------
    async def _call(  # noqa: C901  # one loop: whatever can come of a try is read here
        self, request: LLMRequest, *, visible: bool
    ) -> AsyncGenerator[Item, None]:
        """Answer one request, trying again where that is right, but not once deltas are out that are `visible`."""
        model = request.model or self.name
        quirks = self._quirks_of(model)
        tries = Tries(self.settings.tries, self.settings.first_token_seconds)
        rung, saw = quirks.rung, not quirks.blind
        while True:
            refuse_unseen(request, model, quirks)
            body = build_body(request, model, quirks)
            forced = request.schema is not None and rung_of(request, quirks) is Rung.TOOL
            reply = Reply(as_arguments=forced)
            shown = 0
            try:
                async with aclosing(self._attempt(body, reply)) as pieces:
                    async for piece in pieces:
                        shown += len(piece) if visible else 0
                        if visible:
                            yield TextDelta(piece)
            except Exception as error:
                failure = self._explain(error, self._place(model))
                self._learn_size(failure, model, body)
            else:
                if forced and not reply.called:
                    quirks.rung = Rung.PROMPT  # it does not let itself be forced
                yield self._finished(request, model, body, reply, tries.seconds)
                return
            if quirks.learn(body, failure):
                logger.debug("{} at {}: {}; adapting", model, self.shown_url, failure.message)
                if visible and saw and quirks.blind and not request.must_see:
                    saw = False
                    yield Notice(f"The model {model} can't look at pictures; going on without them.")
                continue
            if not failure.retry:
                quirks.rung = rung  # no rung helped: the shape was not what the server minded
            pause = tries.pause(await self._with_known_models(failure, model), shown)
            if visible:
                yield Notice(f"The model server {failure.cause}; trying again in {max(1, round(pause))} s.")
            logger.info("{} at {} {}; trying again in {:.1f} s", model, self.shown_url, failure.cause, pause)
            await asyncio.sleep(pause)

    async def _attempt(self, body: dict[str, Any], reply: Reply) -> AsyncGenerator[str, None]:
        """Send one request and yield what can be shown; `reply` holds the rest. Raises what went wrong, as it comes."""
        client = await self._client()
        first = self.settings.first_token_seconds
        deadline = asyncio.get_running_loop().time() + first
        opening = client.chat.completions.with_streaming_response.create(**body)
        try:
            try:
                async with asyncio.timeout_at(deadline):
                    response = await opening.__aenter__()
            except TimeoutError:
                raise Silence(first, first=True) from None
            source = response.iter_bytes()
            if "event-stream" not in response.headers.get("content-type", ""):
                source = as_stream(response.headers.get("content-type", ""), source)
            patience = Patience(deadline, first, self.settings.stall_seconds)
            async with aclosing(read_stream(source, patience, reply)) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            await opening.__aexit__(None, None, None)

    # --- what came of it ----------------------------------------------------------------------------------------
    def _finished(
        self, request: LLMRequest, model: str, body: Mapping[str, Any], reply: Reply, seconds: float
    ) -> Finished:
        pictures = request.picture_tokens if has_pictures(dict(body)) else 0
        usage = self._usage(request.purpose, model, size_of(dict(body)), reply, pictures)
        logger.debug(
            "{} call to {}: {} + {} tokens in {:.2f} s, {}",
            request.purpose,
            model,
            usage.prompt_tokens,
            usage.completion_tokens,
            seconds,
            reply.reason,
        )
        return Finished(reply.reason, usage, reply.text, reply.requests)

    def _usage(self, purpose: str, model: str, size: int, reply: Reply, pictures: int) -> Usage:
        reported = reply.usage or {}
        prompt, completion = reported.get("prompt_tokens"), reported.get("completion_tokens")
        estimated = not isinstance(prompt, int) or not isinstance(completion, int)
        if estimated:
            prompt, completion = self.tokens.estimate(size) + pictures, self.tokens.estimate(reply.size)
        elif model == self.name and not pictures:
            self.tokens.observe(size, int(prompt or 0))
        prompt, completion = int(prompt or 0), int(completion or 0)
        return Usage(purpose, model, prompt, completion, self.price(prompt, completion, model), estimated)

    def _learn_size(self, failure: Failure, model: str, body: Mapping[str, Any]) -> None:
        """Take a server's word for the size of its context, and for how many tokens a request had."""
        error = failure.error
        if not isinstance(error, PromptTooLong) or model != self.name:
            return
        if 0 < error.window < self.window:
            self.window = error.window
        self.tokens.observe(size_of(dict(body)), error.prompt)

    async def _with_known_models(self, failure: Failure, model: str) -> Failure:
        """Name the models that the server does have, the nearest first, when it does not have this one."""
        if not failure.unknown_model:
            return failure
        try:
            names = await self.models(seconds=3.0)
        except ModelError:
            names = ()
        near = difflib.get_close_matches(model, names, n=3, cutoff=0.4)
        listed = ", ".join([*near, *(name for name in names if name not in near)][:8])
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        hint = f"It has: {listed}{more}. " if names else ""
        hint += "Set `model` in dirigent.toml or DIRIGENT_MODEL."
        return replace(failure, error=ModelRefused(failure.error.message, hint=hint))

    def _explain(self, error: Exception, place: Place) -> Failure:
        """Say what an exception of an attempt means. Raises it again when it is none that a server can cause."""
        import openai

        match error:
            case ModelError():
                return Failure(error)
            case openai.APIStatusError():
                body = error.body if error.body is not None else error.response.text
                failure = failures.of_status(error.status_code, {"error": body}, error.response.headers, place)
            case openai.APIConnectionError():
                failure = failures.of_connection(
                    place, connect=breakage.at_connect(error), detail=breakage.detail(error)
                )
            case openai.OpenAIError():
                failure = failures.of_garbage(place, type(error).__name__)
            case _:
                failure = breakage.of_reading(error, place)
        return self._redacted(failure)

    def _redacted(self, failure: Failure) -> Failure:
        """Servers do repeat the key in their messages."""
        if len(self._api_key) < SHORTEST_KEY or self._api_key not in failure.message + failure.error.message:
            return failure
        shown = failure.error.message.replace(self._api_key, "…")
        error = copy(failure.error)
        error.message, error.args = shown, (shown,)
        return replace(failure, error=error, message=failure.message.replace(self._api_key, "…"))

    def _place(self, model: str) -> Place:
        return Place(self.shown_url, model, bool(self._api_key))

    def _quirks_of(self, model: str) -> Quirks:
        vision = self.settings.vision
        return self._quirks.setdefault(model, Quirks(blind=vision == "off", can_go_blind=vision == "auto"))

    # --- the SDK ------------------------------------------------------------------------------------------------
    async def _client(self) -> openai.AsyncOpenAI:
        # shielded: a cancelled call must not cancel the loading that others wait for
        return await asyncio.shield(self._open_soon())

    def _open_soon(self) -> asyncio.Task[openai.AsyncOpenAI]:
        if self._opening is None:
            self._opening = asyncio.create_task(asyncio.to_thread(self._open), name="open-model")
        return self._opening

    def _open(self) -> openai.AsyncOpenAI:
        """Load the SDK (slow the first time) and make the client, in a thread. Raises ModelRefused."""
        if not is_address(self.base_url):
            hint = "OPENAI_BASE_URL begins with http:// or https:// and usually ends in /v1."
            raise ModelRefused(f"{self.shown_url!r} is no address of a model server.", hint=hint)
        import httpx2
        import openai

        importlib.import_module("jsonschema")  # here, so that the first shaped answer does not hold up the loop
        timeout = httpx2.Timeout(None, connect=breakage.CONNECT_SECONDS)
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=KEEP_ALIVE_SECONDS)
        http = openai.DefaultAsyncHttpxClient(timeout=timeout, limits=limits, trust_env=not self.local)
        return openai.AsyncOpenAI(
            api_key=self._api_key or NO_KEY,
            base_url=self.base_url,
            max_retries=0,
            timeout=timeout,
            http_client=http,
        )
