"""The only door to OpenTelemetry: ids that follow from a request, batches sent by a thread of their own."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import socket
import threading
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Self

from loguru import logger
from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, ParentBasedTraceIdRatio
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from agent import __version__, logs
from agent.tracing import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    from opentelemetry.sdk.trace import ReadableSpan

    from agent.config.tracing import Tracing
    from agent.domain.run import Run
    from agent.tracing import Kind, Value

TRACES = "/v1/traces"
ATTRIBUTE_CHARS, CONTENT_CHARS = 300, 16_000
MOST_WAITING = 4_096
EVERY_SECONDS = 2.0
SEND_SECONDS = 2.0
KINDS = {kind.name.lower(): kind for kind in SpanKind}
NO_FAILURE = (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt)

_given: ContextVar[tuple[int, int] | None] = ContextVar("given", default=None)


class OpenSpan(Span):
    """A span that is recorded, unless its trace is not among those that are sampled."""

    __slots__ = ("_content", "_token", "span")

    def __init__(self, span: trace.Span, *, content: bool) -> None:
        self.span = span
        self._content = content
        self._token: object = None

    def set(self, attributes: Mapping[str, Value]) -> None:
        self.span.set_attributes(_shown(attributes))

    def content(self, name: str, text: Callable[[], str]) -> None:
        if self._content and self.span.is_recording():
            self.span.set_attribute(name, logs.redact(text())[:CONTENT_CHARS])

    def fail(self, kind: str, words: str = "") -> None:
        self.span.set_attribute("error.type", kind)
        said = logs.redact(words)[:ATTRIBUTE_CHARS] if self._content and words else None
        self.span.set_status(Status(StatusCode.ERROR, said))

    def end(self) -> None:
        if self.span.is_recording():
            self.span.end()

    def __enter__(self) -> Self:
        self._token = contexts.attach(trace.set_span_in_context(self.span))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_: TracebackType | None
    ) -> None:
        contexts.detach(self._token)  # type: ignore[arg-type]  # it is what attach returned
        if isinstance(error, NO_FAILURE):
            self.set({"dirigent.cancelled": True})
        elif error is not None:
            self.fail(type(error).__name__, str(error))
        self.end()


@contextmanager
def present(span: Span) -> Iterator[None]:
    """Have spans that are begun in the block belong to this one, which does not end with it."""
    if not isinstance(span, OpenSpan):
        yield
        return
    token = contexts.attach(trace.set_span_in_context(span.span))
    try:
        yield
    finally:
        contexts.detach(token)


class OtlpTracer:
    """Records spans and delivers them."""

    def __init__(self, settings: Tracing) -> None:
        self._content = settings.content
        # Each failed attempt would be a line; `_Told` says what matters once.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        sampler = None if settings.sample is None else ParentBasedTraceIdRatio(settings.sample)
        self._provider = TracerProvider(
            sampler=sampler, resource=_resource(), id_generator=_Ids(), shutdown_on_exit=False
        )
        waiting = int(os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE") or MOST_WAITING)
        self._sender = _Told(settings)
        self._provider.add_span_processor(
            BatchSpanProcessor(
                self._sender,
                max_queue_size=waiting,
                schedule_delay_millis=float(os.environ.get("OTEL_BSP_SCHEDULE_DELAY") or EVERY_SECONDS * 1000),
            )
        )
        self._tracer = self._provider.get_tracer("dirigent")

    def begin(self, name: str, attributes: Mapping[str, Value], kind: Kind, of: str, began: float | None) -> Span:
        """Begin a span; see `tracing.begin`."""
        span = self._tracer.start_span(
            logs.redact(name)[:ATTRIBUTE_CHARS],
            self._above(of),
            KINDS[kind],
            _shown(attributes),
            start_time=None if began is None else int(began * 1e9),
            record_exception=False,
            set_status_on_exception=False,
        )
        return OpenSpan(span, content=self._content)

    def ended(self, run: Run, before: str) -> None:
        """Record a whole run; see `tracing.ended`."""
        ids = _ids_of(run.corr_id)
        token = _given.set(ids)
        try:
            span = self._tracer.start_span(
                "invoke_agent Dirigent",
                contexts.Context(),
                SpanKind.SERVER,
                _shown(_of_run(run)),
                [Link(self._whole(before))] if before else None,
                start_time=int(run.created_at * 1e9) or None,
                record_exception=False,
                set_status_on_exception=False,
            )
        finally:
            _given.reset(token)
        made = OpenSpan(span, content=self._content)
        made.content("gen_ai.input.messages", lambda: run.request)
        made.content("gen_ai.output.messages", lambda: run.answer)
        if run.error and run.status.value == "FAILED":
            made.fail("failed", run.error)
        span.end(int(run.completed_at * 1e9) if run.completed_at else None)

    def stop(self, seconds: float) -> None:
        """Deliver what is left, within some seconds: a thread of its own is left behind when that is too short."""
        self._sender.stopping = True
        ending = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        ending.start()
        ending.join(seconds)
        if ending.is_alive():
            logger.warning("the last spans could not be delivered within {:g} s", seconds)

    def _above(self, of: str) -> contexts.Context:
        """Return what a span belongs to: a whole request, else the present span, else what is logged about now."""
        present = contexts.get_current()
        if not of and trace.get_current_span(present).get_span_context().is_valid:
            return present
        of = of or logs.present_id()
        whole = trace.NonRecordingSpan(self._whole(of)) if of else trace.INVALID_SPAN
        return trace.set_span_in_context(whole, contexts.Context())

    def _whole(self, corr_id: str) -> SpanContext:
        """Return the span of a whole request, which this or another process records when it ends."""
        trace_id, span_id = _ids_of(corr_id)
        sampled = self._provider.sampler.should_sample(None, trace_id, "").decision is Decision.RECORD_AND_SAMPLE
        return SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(int(sampled)))


def _ids_of(corr_id: str) -> tuple[int, int]:
    """Return the ids of trace and span that stand for a request, the same in every process."""
    made = hashlib.sha256(f"dirigent:{corr_id}".encode()).digest()
    return int.from_bytes(made[:16]), int.from_bytes(made[16:24])


class _Ids(RandomIdGenerator):
    """Random ids, but for the span of a whole request."""

    def generate_trace_id(self) -> int:
        given = _given.get()
        return super().generate_trace_id() if given is None else given[0]

    def generate_span_id(self) -> int:
        given = _given.get()
        return super().generate_span_id() if given is None else given[1]


class _Told(SpanExporter):
    """Sends batches; when that begins to fail and when it works again is said once each."""

    def __init__(self, settings: Tracing) -> None:
        headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
        logs.redact.add(headers.values())
        given = settings.endpoint
        endpoint = None if given is None else given if given.endswith(TRACES) else given.rstrip("/") + TRACES
        timed = any(os.environ.get(f"OTEL_EXPORTER_OTLP_{name}TIMEOUT") for name in ("", "TRACES_"))
        self._sender = OTLPSpanExporter(
            endpoint=endpoint, headers=headers or None, timeout=None if timed else SEND_SECONDS
        )
        self._where = endpoint or "the collector of OTEL_EXPORTER_OTLP_ENDPOINT"
        self._fails = False
        self.stopping = False  # then what could not be delivered is not tried with the next batch

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self.stopping and self._fails:
            return SpanExportResult.FAILURE
        result = self._sender.export(spans)
        failed = result is not SpanExportResult.SUCCESS
        if failed and not self._fails:
            logger.warning("traces cannot be delivered to {}; they are left out until it answers", self._where)
        elif self._fails and not failed:
            logger.info("traces are delivered to {} again", self._where)
        self._fails = failed
        return result

    def shutdown(self) -> None:
        self._sender.shutdown()  # type: ignore[no-untyped-call]  # the library's

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._sender.force_flush(timeout_millis)


def _resource() -> Resource:
    told = f"{os.environ.get('OTEL_RESOURCE_ATTRIBUTES', '')},{os.environ.get('OTEL_SERVICE_NAME', '')}"
    made = {
        "service.version": __version__,
        "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
    }
    if not os.environ.get("OTEL_SERVICE_NAME") and "service.name=" not in told:
        made["service.name"] = "dirigent"
    return Resource.create(made)


def _of_run(run: Run) -> dict[str, Value]:
    return {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "Dirigent",
        "gen_ai.conversation.id": run.session_id,
        "dirigent.correlation_id": run.corr_id,
        "dirigent.run.ref": run.ref,
        "dirigent.run.status": run.status.value.lower(),
        "dirigent.run.origin": run.origin.value,
        "dirigent.run.source": run.source,
        "dirigent.run.replans": run.replans,
    }


def _shown(attributes: Mapping[str, Value]) -> dict[str, str | bool | int | float | list[str]]:
    """Return attributes without secrets, of bounded length, and without those that are empty."""
    return {name: _bounded(value) for name, value in attributes.items() if value is not None and value != ""}


def _bounded(value: str | float | Sequence[str]) -> str | bool | int | float | list[str]:
    if isinstance(value, str):
        return logs.redact(value)[:ATTRIBUTE_CHARS]
    return value if isinstance(value, (bool, int, float)) else [logs.redact(one)[:ATTRIBUTE_CHARS] for one in value]
