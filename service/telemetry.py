"""OpenTelemetry, if the standard `OTEL_*` variables ask for it: traces and metrics over OTLP.

In: the environment. Out: providers for the HTTP framework, and an installed `tracing`.
Not here: the spans themselves (`tracing` and its callers), Prometheus' metrics (`http.metrics`).

An endpoint in OTEL_EXPORTER_OTLP_ENDPOINT (or its forms for traces and metrics), or `otlp` or `console` in
OTEL_TRACES_EXPORTER or OTEL_METRICS_EXPORTER, asks for it. The SDK itself reads the variables of sampling, batches,
resources, headers and time-outs: opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables.
"""

from __future__ import annotations

import contextlib
import importlib.util
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple

from service import __version__, tracing
from service.errors import SettingsError

SIGNALS = ("TRACES", "METRICS")
NONE, OTLP, CONSOLE = "none", "otlp", "console"
PROTOCOL = "http/protobuf"
SCOPE = "sameboat"
REDACTED = "REDACTED"
NEEDED = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


class HistogramSpec(NamedTuple):
    """A histogram: its unit, its description and the bounds of its buckets."""

    unit: str
    text: str
    bounds: tuple[float, ...]


SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
FIRST = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
EACH = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
TOKENS = tuple(float(4**power) for power in range(14))
HISTOGRAMS = {
    "gen_ai.server.request.duration": HistogramSpec("s", "Requests to a model of this service", SECONDS),
    "gen_ai.server.time_to_first_token": HistogramSpec("s", "Until the first token", FIRST),
    "gen_ai.server.time_per_output_token": HistogramSpec("s", "Per token after the first one", EACH),
    "gen_ai.client.operation.duration": HistogramSpec("s", "Requests to a remote model", SECONDS),
    "gen_ai.client.token.usage": HistogramSpec("{token}", "Tokens of prompts and answers", TOKENS),
}
"""The bounds are those that the conventions advise: github.com/open-telemetry/semantic-conventions, docs/gen-ai."""

_reserved: ContextVar[int | None] = ContextVar("reserved_span_id", default=None)


@dataclass(frozen=True)
class Telemetry:
    """The providers of one service. None: this signal is off."""

    tracer_provider: Any = None
    meter_provider: Any = None

    def of_framework(self, plain_paths: Iterable[str], quiet_paths: Iterable[str]) -> dict[str, Any]:
        """The arguments of the framework's own telemetry.

        Paths that are not `plain_paths` may hold secrets. Requests to `quiet_paths`, such as probes, have no spans.
        """
        quiet = frozenset(quiet_paths)
        if self.tracer_provider is not None:
            self.tracer_provider.add_span_processor(_scrubber(frozenset(plain_paths)))
        return {
            "tracing": self.tracer_provider is not None,
            "metrics": self.meter_provider is not None,
            "tracer_provider": self.tracer_provider,
            "meter_provider": self.meter_provider,
            "logs": False,  # they would hold the text of errors
            "operation_spans": False,
            "auto_configure": False,
            "exclude": lambda scope: scope.get("path") in quiet,
        }

    def stop(self) -> None:
        """Export what is left, and stop. It waits for the receiver up to its time-out."""
        tracing.uninstall()
        for provider in (self.tracer_provider, self.meter_provider):
            if provider is not None:
                provider.shutdown()


def exporters(environment: Mapping[str, str]) -> dict[str, str]:
    """The exporter of each signal: `none`, `otlp` or `console`.

    Raises:
        SettingsError: if a variable has a value that is not supported.
    """
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return dict.fromkeys(SIGNALS, NONE)
    chosen = {}
    for signal in SIGNALS:
        variable = f"OTEL_{signal}_EXPORTER"
        ends = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
        name = environment.get(variable, "").strip().lower()
        exporter = name or (OTLP if any(environment.get(end) for end in ends) else NONE)
        if exporter not in (NONE, OTLP, CONSOLE):
            raise SettingsError(f"{variable} is unusable.", key=variable, remedy="Set it to otlp, console or none.")
        variable = f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL"
        variable = variable if environment.get(variable) else "OTEL_EXPORTER_OTLP_PROTOCOL"
        if exporter == OTLP and environment.get(variable, "").strip() not in ("", PROTOCOL):
            raise SettingsError(
                f"{variable} is unusable: this service speaks OTLP as {PROTOCOL}.",
                key=variable,
                remedy=f"Set it to {PROTOCOL}, and the endpoint to the receiver's port for HTTP, which is often 4318.",
            )
        chosen[signal] = exporter
    return chosen


def start(environment: Mapping[str, str]) -> Telemetry:
    """The telemetry that the environment asks for, perhaps none.

    Raises:
        SettingsError: if a variable is unusable, or if the extra `otel` is not installed.
    """
    chosen = exporters(environment)
    if all(exporter == NONE for exporter in chosen.values()):
        return Telemetry()
    _require_installed(environment)
    from opentelemetry.sdk.resources import Resource

    named = environment.get("OTEL_SERVICE_NAME") or "service.name=" in environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    own = {"service.version": __version__, "service.instance.id": str(uuid.uuid4())}
    resource = Resource.create(own if named else {**own, "service.name": SCOPE})
    telemetry = Telemetry(_tracers(chosen["TRACES"], resource), _meters(chosen["METRICS"], resource))
    _install(telemetry)
    return telemetry


def _require_installed(environment: Mapping[str, str]) -> None:
    """Raises SettingsError without the extra. A service that was asked for traces must not go on without them."""
    with contextlib.suppress(ModuleNotFoundError):
        if all(importlib.util.find_spec(name) is not None for name in NEEDED):
            return
    asking = next(name for name in sorted(environment) if name.startswith("OTEL_") and environment[name])
    raise SettingsError(
        f"{asking} is set, and OpenTelemetry's SDK is not installed.",
        key=asking,
        remedy="Install it with: pip install 'sameboat[otel]'. Or set OTEL_SDK_DISABLED=true.",
    )


def _tracers(exporter: str, resource: Any) -> Any:
    if exporter == NONE:
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

    provider = TracerProvider(resource=resource, id_generator=_ids(), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter() if exporter == OTLP else ConsoleSpanExporter()))
    return provider


def _meters(exporter: str, resource: Any) -> Any:
    if exporter == NONE:
        return None
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader

    to = OTLPMetricExporter() if exporter == OTLP else ConsoleMetricExporter()
    return MeterProvider([PeriodicExportingMetricReader(to)], resource=resource, shutdown_on_exit=False)


def _install(telemetry: Telemetry) -> None:
    from opentelemetry.metrics import NoOpMeterProvider
    from opentelemetry.trace import NoOpTracerProvider

    meter = (telemetry.meter_provider or NoOpMeterProvider()).get_meter(SCOPE, __version__)
    histograms = {
        name: meter.create_histogram(name, spec.unit, spec.text, explicit_bucket_boundaries_advisory=list(spec.bounds))
        for name, spec in HISTOGRAMS.items()
    }

    def record(name: str, value: float, attributes: tracing.Attributes) -> None:
        histograms[name].record(value, dict(attributes))

    tracer = (telemetry.tracer_provider or NoOpTracerProvider()).get_tracer(SCOPE, __version__)
    tracing.install(tracer, record, _named)


@contextlib.contextmanager
def _named(identifier: str) -> Iterator[None]:
    """The span that begins in this block has this id."""
    token = _reserved.set(int(identifier, 16))
    try:
        yield
    finally:
        _reserved.reset(token)


def _ids() -> Any:
    """Random ids, besides the one that `_named` gives."""
    from opentelemetry.sdk.trace import RandomIdGenerator

    class SpanIds(RandomIdGenerator):  # type: ignore[misc]  # the extra may be missing
        def generate_span_id(self) -> int:
            return _reserved.get() or super().generate_span_id()

    return SpanIds()


def _scrubber(plain_paths: frozenset[str]) -> Any:
    """A processor that hides the query, and a path with values: a build's id lets its holder read the build."""
    from opentelemetry.sdk.trace import SpanProcessor

    class PathScrubber(SpanProcessor):  # type: ignore[misc]
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            attributes = span.attributes or {}
            if attributes.get("url.path", "/") not in plain_paths:
                span.set_attribute("url.path", REDACTED)
            if "url.query" in attributes:
                span.set_attribute("url.query", REDACTED)

    return PathScrubber()
