"""The `OTEL_*` variables that ask for telemetry, and the errors if they cannot be followed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from service import telemetry
from service.errors import SettingsError

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.mark.parametrize(
    ("environment", "traces", "metrics"),
    [
        ({}, "none", "none"),
        ({ENDPOINT: ""}, "none", "none"),
        ({ENDPOINT: "http://collector:4318"}, "otlp", "otlp"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, "otlp", "none"),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://collector:4318/v1/metrics"}, "none", "otlp"),
        ({ENDPOINT: "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}, "none", "otlp"),
        ({"OTEL_TRACES_EXPORTER": " Console "}, "console", "none"),
        ({ENDPOINT: "http://collector:4318", "OTEL_SDK_DISABLED": "TRUE"}, "none", "none"),
        ({"OTEL_SERVICE_NAME": "boat"}, "none", "none"),
        ({ENDPOINT: "http://collector:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "otlp", "otlp"),
    ],
)
def test_standard_variables_choose_the_exporters(environment: dict[str, str], traces: str, metrics: str) -> None:
    assert telemetry.exporters(environment) == {"TRACES": traces, "METRICS": metrics}


@pytest.mark.parametrize(
    ("environment", "key"),
    [
        ({"OTEL_TRACES_EXPORTER": "canary-zipkin"}, "OTEL_TRACES_EXPORTER"),
        ({ENDPOINT: "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "canary-grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL"),
        (
            {
                ENDPOINT: "http://c:4317",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "canary-grpc",
            },
            "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
        ),
    ],
)
def test_a_value_that_is_not_supported_stops_the_start_and_is_not_echoed(environment: dict[str, str], key: str) -> None:
    with pytest.raises(SettingsError, match=key) as caught:
        telemetry.start(environment)
    assert "canary" not in str(caught.value)


def test_without_the_extra_a_service_that_was_asked_for_traces_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "NEEDED", ("opentelemetry.not_installed_here",))
    with pytest.raises(SettingsError, match=r"sameboat\[otel\]"):
        telemetry.start({ENDPOINT: "http://collector:4318"})
    assert telemetry.start({}) == telemetry.Telemetry()


def test_nothing_of_the_sdk_is_imported_unless_it_is_asked_for() -> None:
    """A whole application is made, and a prompt's code is imported."""
    code = (
        "import json, sys; from service import settings; from service.http.app import create_app; "
        "create_app(settings.load()); "
        "print(json.dumps([m for m in sys.modules if m.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert json.loads(done.stdout) == []
