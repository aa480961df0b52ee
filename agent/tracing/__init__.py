"""Traces: what each request did, when and for how long, sent by OTLP/HTTP to a collector of the owner's choice.

    with tracing.begin("step s1", {"dirigent.step.id": "s1"}) as span:
        ...
        span.set({"dirigent.step.status": "ok"})

Off unless `[tracing] endpoint` (or OpenTelemetry's own variables) says where to: then `begin` returns a span that does
nothing, and the library is not imported. Everything about one request is one trace: its id follows from the request's
correlation id, so that another process, or the next one after a crash, goes on with it. What people and models wrote
is recorded only where the owner wants it (`tracing.content`), secrets never.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Literal, Protocol, Self, TypeVar

from agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
    from types import TracebackType

    from agent.config.tracing import Tracing
    from agent.domain.run import Run

    Value = str | bool | int | float | Sequence[str] | None

Item = TypeVar("Item")
Kind = Literal["internal", "server", "client", "producer", "consumer"]
STOP_SECONDS = 3.0
"""How long the last spans may take to be delivered at the end; a collector that is down holds nobody up."""
NOTHING: Mapping[str, Value] = {}


class Span:
    """A piece of work. This one is of a process that traces nothing; see `otlp.OpenSpan`.

    In a `with` block it is what spans begun there belong to, and it ends with the block, failed by its exception.
    """

    __slots__ = ()

    def set(self, attributes: Mapping[str, Value]) -> None:
        """Add attributes; a value of None is left out."""

    def content(self, name: str, text: Callable[[], str]) -> None:
        """Add what a person or a model wrote; `text` is called only where the owner wants it recorded."""

    def fail(self, kind: str, words: str = "") -> None:
        """Note a failure: its kind, of few, and (where content is recorded) its words."""

    def end(self) -> None:
        """End it; ending it twice changes nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class Tracer(Protocol):
    """What records spans."""

    def begin(self, name: str, attributes: Mapping[str, Value], kind: Kind, of: str, began: float | None) -> Span:
        """Begin a span; see `begin`."""

    def ended(self, run: Run, before: str) -> None:
        """Record a whole run; see `ended`."""

    def stop(self, seconds: float) -> None:
        """Deliver what is left, within some seconds."""


OFF = Span()
_tracer: Tracer | None = None


def is_on() -> bool:
    """Say whether anything is recorded."""
    return _tracer is not None


def begin(
    name: str,
    attributes: Mapping[str, Value] = NOTHING,
    *,
    kind: Kind = "internal",
    of: str = "",
    began: float | None = None,
) -> Span:
    """Begin a span below the present one, or, with `of` (a correlation id), below that whole request.

    Without either it belongs to the request whose lines are logged now. `began` is in seconds since 1970, now if None.
    """
    return OFF if _tracer is None else _tracer.begin(name, attributes, kind, of, began)


def ended(run: Run, before: str = "") -> None:
    """Record a run that has ended, as the span that all others of its trace belong to.

    `before` is the correlation id of the run that it goes on from or repeats.
    """
    if _tracer is not None:
        _tracer.ended(run, before)


async def within(span: Span, items: AsyncGenerator[Item]) -> AsyncGenerator[Item]:
    """Yield the items; what happens while each of them is made belongs to the span, which ends with the last."""
    if _tracer is None:
        async with contextlib.aclosing(items):
            async for item in items:
                yield item
        return
    from agent.tracing.otlp import present

    try:
        async with contextlib.aclosing(items):
            while True:
                with present(span):  # only while the item is made: the caller's own work is not the span's
                    try:
                        item = await anext(items)
                    except StopAsyncIteration:
                        return
                yield item
    except Exception as error:
        span.fail(type(error).__name__, str(error))
        raise
    finally:
        span.end()


def wanted(settings: Tracing) -> bool:
    """Say whether the settings, or OpenTelemetry's own variables, name a collector."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if settings.endpoint is not None:
        return True
    if os.environ.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() != "otlp":
        return False
    return any(os.environ.get(name) for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))


def start(settings: Tracing) -> None:
    """Record from now on, where that is wanted; starting twice changes nothing.

    Raises ConfigError where the library is not installed.
    """
    global _tracer  # noqa: PLW0603 - a process has one
    if _tracer is not None or not wanted(settings):
        return
    try:
        from agent.tracing.otlp import OtlpTracer
    except ImportError as missing:
        raise ConfigError(
            f"Traces need OpenTelemetry, and {missing.name or 'it'} is not installed.",
            hint="pip install 'dirigent[tracing]', or take `tracing.endpoint` and OTEL_EXPORTER_OTLP_ENDPOINT out.",
        ) from None
    _tracer = OtlpTracer(settings)


async def stop() -> None:
    """Deliver what is left, for three seconds at the most, and record nothing from now on."""
    global _tracer
    tracer, _tracer = _tracer, None
    if tracer is not None:
        await asyncio.to_thread(tracer.stop, STOP_SECONDS)
