"""A receiver of OTLP over HTTP on a free port: real protobuf messages, as a collector gets them.

with receiver() as heard:
    ... OTEL_EXPORTER_OTLP_ENDPOINT = heard.url ...
    heard.spans, heard.metrics
"""

from __future__ import annotations

import contextlib
import gzip
import importlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import opentelemetry.semconv
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class HeardSpan:
    """One span as it was sent. Ids are hex, times are nanoseconds."""

    name: str
    trace: str
    id: str
    parent: str
    kind: int
    begins: int
    ends: int
    failed: bool
    attributes: dict[str, Any]
    resource: dict[str, Any]


@dataclass
class Received:
    """Everything that was sent so far."""

    url: str = ""
    spans: list[HeardSpan] = field(default_factory=list)
    metrics: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # the attributes of points by metric
    resources: list[dict[str, Any]] = field(default_factory=list)

    def named(self, name: str) -> HeardSpan:
        """The one span with this name."""
        [span] = [span for span in self.spans if span.name == name]
        return span

    def parent(self, span: HeardSpan) -> str | None:
        """The name of a span's parent. None if it was not sent."""
        return next((other.name for other in self.spans if other.id == span.parent), None)

    def tree(self) -> set[tuple[str | None, str]]:
        """Every pair of parent and child by name."""
        return {(self.parent(span), span.name) for span in self.spans}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [_value(item) for item in value.array_value.values] if kind == "array_value" else getattr(value, kind)


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _take_spans(heard: Received, data: bytes) -> None:
    for group in ExportTraceServiceRequest.FromString(data).resource_spans:
        resource = _attributes(group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                heard.spans.append(
                    HeardSpan(
                        span.name, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(), span.kind,
                        span.start_time_unix_nano, span.end_time_unix_nano, span.status.code == 2,
                        _attributes(span.attributes), resource,
                    )
                )  # fmt: skip


def _take_metrics(heard: Received, data: bytes) -> None:
    for group in ExportMetricsServiceRequest.FromString(data).resource_metrics:
        heard.resources.append(_attributes(group.resource.attributes))
        for scope in group.scope_metrics:
            for metric in scope.metrics:
                points = getattr(metric, metric.WhichOneof("data")).data_points
                heard.metrics.setdefault(metric.name, []).extend(_attributes(point.attributes) for point in points)


@contextlib.contextmanager
def receiver() -> Iterator[Received]:
    """Serve until the end."""
    heard = Received()
    takers = {"/v1/traces": _take_spans, "/v1/metrics": _take_metrics}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                data = gzip.decompress(data)
            takers[self.path](heard, data)
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    heard.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield heard
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def published() -> tuple[set[str], set[str]]:
    """The names of attributes and metrics in the registry of OpenTelemetry's conventions."""
    attributes, metrics = set(), set()
    for folder in map(Path, opentelemetry.semconv.__path__):
        for path in folder.rglob("*.py"):
            name = ".".join(("opentelemetry.semconv", *path.relative_to(folder).with_suffix("").parts))
            values = vars(importlib.import_module(name.removesuffix(".__init__")))
            into = metrics if "metrics" in path.parts else attributes
            into |= {value for key, value in values.items() if key.isupper() and isinstance(value, str)}
    return attributes, metrics
