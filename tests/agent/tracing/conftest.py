"""A collector: an OTLP/HTTP receiver on loopback that reads what is sent as the protocol's own messages."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """What has arrived. `holding` keeps every request unanswered until it is set."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.news = threading.Condition()
        self.holding: threading.Event | None = None
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if collector.holding is not None:
                    collector.holding.wait(60)
                collector.take(self.path, dict(self.headers), body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self._thread.start()

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        assert path == "/v1/traces"
        request = ExportTraceServiceRequest.FromString(body)
        with self.news:
            self.headers.append(headers)
            self.bodies.append(body)
            for resource in request.resource_spans:
                self.services.append(plain(resource.resource.attributes))
                for scope in resource.scope_spans:
                    self.spans += scope.spans
            self.news.notify_all()

    def wait(self, ready: Callable[[], bool], seconds: float = 60) -> None:
        """Wait until what has arrived is enough."""
        until = time.monotonic() + seconds
        with self.news:
            while not ready():
                left = until - time.monotonic()
                assert left > 0, [span.name for span in self.spans]
                self.news.wait(left)

    def told(self, span: Span) -> dict[str, Any]:
        """Return a span's attributes."""
        return plain(span.attributes)

    def parent(self, span: Span) -> Span:
        """Return the span that a span belongs to."""
        return next(one for one in self.spans if one.span_id == span.parent_span_id)

    def named(self, beginning: str) -> list[Span]:
        return [span for span in self.spans if span.name.startswith(beginning)]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


def plain(attributes: Any) -> dict[str, Any]:
    """Return OTLP attributes as a dictionary."""
    found: dict[str, Any] = {}
    for one in attributes:
        kind = one.value.WhichOneof("value")
        value = getattr(one.value, kind)
        found[one.key] = [item.string_value for item in value.values] if kind == "array_value" else value
    return found


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()
