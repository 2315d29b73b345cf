"""Spans and measurements of this process. Without OpenTelemetry every call does nothing.

In: names, attributes and times. Out: spans of the tracer and measurements of the meter that `telemetry` installs, and
headers that carry a trace to other processes.
Not here: the configuration and the export (`telemetry`). Nothing of OpenTelemetry is imported before `install`.

Names of attributes and metrics are those of OpenTelemetry's semantic conventions. Our own begin with `sameboat.`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

Attributes: TypeAlias = Mapping[str, str | bool | int | float | Sequence[str]]
Kind: TypeAlias = Literal["internal", "client", "producer", "consumer"]
TRACEPARENT = "traceparent"

_tracer: Any = None
_record: Callable[[str, float, Attributes], None] | None = None
_named: Callable[[str], contextlib.AbstractContextManager[None]] | None = None


def install(tracer: Any, record: Callable[[str, float, Attributes], None], named: Any) -> None:
    """Use this tracer and this recorder of measurements. `named` gives the next span an id that was reserved."""
    global _tracer, _record, _named
    _tracer, _record, _named = tracer, record, named


def uninstall() -> None:
    """Do nothing from now on."""
    global _tracer, _record, _named
    _tracer = _record = _named = None


def enabled() -> bool:
    """Whether there is a tracer."""
    return _tracer is not None


class TraceSpan:
    """A span, or None in its place if there is no tracer."""

    def __init__(self, span: Any) -> None:
        self._span = span

    def rename(self, name: str) -> None:
        """Give it another name."""
        if self._span is not None:
            self._span.update_name(name)

    def set(self, attributes: Attributes) -> None:
        """Add attributes."""
        if self._span is not None:
            self._span.set_attributes(attributes)

    def fail(self, kind: str) -> None:
        """Mark it as failed. `kind` is the error's type, never its text, which may hold content."""
        if self._span is not None:
            from opentelemetry.trace import StatusCode

            self._span.set_attribute("error.type", kind)
            self._span.set_status(StatusCode.ERROR)

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Make it the parent of the spans that begin in this block."""
        if self._span is None:
            yield
            return
        from opentelemetry import trace

        with trace.use_span(self._span, record_exception=False, set_status_on_exception=False):
            yield

    def child(self, name: str, begins_s: float, ends_s: float) -> None:
        """Add a child that is over. Unix seconds."""
        if _tracer is None or self._span is None or ends_s <= begins_s:
            return
        with self.active():
            span = _tracer.start_span(name, start_time=_nanoseconds(begins_s))
        span.end(_nanoseconds(ends_s))

    def end(self) -> None:
        """End it now."""
        if self._span is not None:
            self._span.end()


def start(name: str, attributes: Attributes | None = None, kind: Kind = "internal") -> TraceSpan:
    """A child of the current span. The caller ends it."""
    if _tracer is None:
        return TraceSpan(None)
    return TraceSpan(_tracer.start_span(name, kind=_kind(kind), attributes=dict(attributes or {})))


@contextlib.contextmanager
def span(name: str, attributes: Attributes | None = None, kind: Kind = "internal") -> Iterator[TraceSpan]:
    """A child of the current span for this block. An error of the block is its `error.type`."""
    one = start(name, attributes, kind)
    try:
        with one.active():
            yield one
    except BaseException as error:
        one.fail(type(error).__name__)
        raise
    finally:
        one.end()


@contextlib.contextmanager
def client_span(method: str, url: str, *, template: str | None = None, resent: int = 0) -> Iterator[TraceSpan]:
    """A span of one HTTP request to another server. Its query is left out. `template` replaces its path."""
    parts = urlsplit(url)
    path = template if template is not None else parts.path
    port = parts.port or (443 if parts.scheme == "https" else 80)
    attributes: dict[str, str | int] = {
        "http.request.method": method,
        "server.address": parts.hostname or "",
        "server.port": port,
        "url.full": f"{parts.scheme}://{parts.hostname}:{port}{path}",
    }
    if resent:
        attributes["http.request.resend_count"] = resent
    with span(method, attributes, "client") as one:
        yield one


def headers() -> dict[str, str]:
    """The headers that carry the current trace: `traceparent` and its companions."""
    carrier: dict[str, str] = {}
    if _tracer is not None:
        from opentelemetry import propagate

        propagate.inject(carrier)
    return carrier


@contextlib.contextmanager
def continuing(carrier: Mapping[str, str] | None) -> Iterator[None]:
    """Spans of this block belong to the trace that another process began."""
    if _tracer is None or not carrier:
        yield
        return
    from opentelemetry import context, propagate

    token = context.attach(propagate.extract(carrier))
    try:
        yield
    finally:
        context.detach(token)


def reserve() -> dict[str, str] | None:
    """A child of the current span that another process may end: the headers of its own children, and its `parent`.

    Work of hours may move from process to process. Every part of it can be a child of this span before it is written.
    """
    if _tracer is None:
        return None
    from opentelemetry import trace
    from opentelemetry.sdk.trace import RandomIdGenerator

    here = headers()
    if TRACEPARENT not in here:  # no span is current
        ids = RandomIdGenerator()
        own = ids.generate_span_id()
        return {TRACEPARENT: f"00-{trace.format_trace_id(ids.generate_trace_id())}-{trace.format_span_id(own)}-01"}
    version, identifier, parent, flags = here[TRACEPARENT].split("-")
    own = RandomIdGenerator().generate_span_id()
    return {**here, TRACEPARENT: "-".join((version, identifier, trace.format_span_id(own), flags)), "parent": parent}


def complete(reserved: Mapping[str, str] | None, name: str, began_s: float, attributes: Attributes) -> None:
    """Write the span that `reserve` gave. It began at this Unix time, and ends now. `error.type` marks a failure."""
    if _tracer is None or _named is None or not reserved:
        return
    version, identifier, own, flags = reserved[TRACEPARENT].split("-")
    carrier = {**reserved, TRACEPARENT: "-".join((version, identifier, reserved.get("parent", own), flags))}
    with continuing(carrier), _named(own):
        one = TraceSpan(
            _tracer.start_span(name, start_time=_nanoseconds(began_s), kind=_kind("consumer"), attributes=attributes)
        )
    if "error.type" in attributes:
        one.fail(str(attributes["error.type"]))
    one.end()


def record(metric: str, value: float, attributes: Attributes) -> None:
    """Record a measurement of a histogram that `telemetry` names."""
    if _record is not None:
        _record(metric, value, attributes)


def _kind(kind: Kind) -> Any:
    from opentelemetry.trace import SpanKind

    return SpanKind[kind.upper()]


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)


def now_s() -> float:
    """The Unix time of spans."""
    return time.time()
