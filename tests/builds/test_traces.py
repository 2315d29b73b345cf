"""A build is one trace, also over several processes, and its request id goes with it to the callback."""

from __future__ import annotations

from pathlib import Path

import pytest

from service import tracing
from tests.builds.harness import brief, finished, planner, posted, serving, settings_for, until
from tests.builds.processes import reached, sent, service
from tests.servers.evaluator import evaluator
from tests.servers.otlp import Received, published, receiver

STEPS = {"begin", "repository", "checks", "make", "verify", "go on", "scan", "push", "publish", "live", "finish"}
DELIVERY = {"callback", "wait"}


def steps(heard: Received) -> set[str]:
    """The steps that are children of the one span of the build."""
    build = heard.named("build")
    return {span.name.removeprefix("step ") for span in heard.spans if span.parent == build.id} - {"build"}


@pytest.mark.usefixtures("no_browser")
def test_a_build_is_one_trace_and_its_request_id_comes_with_the_callback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Submission, steps, model, callback. No span has the build's secret id."""
    with receiver() as heard, evaluator() as judge:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", heard.url)
        with serving(settings_for(tmp_path / "state"), planner()) as client:
            response = client.post("/builds", json=brief(judge.url), headers={"x-request-id": "from-the-sender"})
            build = response.json()["id"]
            shown = finished(client, build)
            events = client.get(f"/builds/{build}/events").text
    assert not tracing.enabled()
    assert steps(heard) == STEPS | DELIVERY
    whole = heard.named("build")
    assert heard.parent(whole) == "POST /builds"
    assert whole.attributes["sameboat.build.status"] == "done"
    assert whole.begins == int(shown["received_s"] * 1e9)
    made = [span for span in heard.spans if span.trace == whole.trace]
    assert heard.parent(heard.named("chat scripted")) == "step make"
    [posted_back] = [span for span in made if span.name == "POST"]
    assert heard.parent(posted_back) == "step callback"
    used = {name for span in made for name in (*span.attributes, *span.resource) if not name.startswith("sameboat.")}
    assert {"gen_ai.request.model", "url.full"} <= used
    assert used - published()[0] == set()
    got = judge.heard[0].headers
    assert got["traceparent"].startswith(f"00-{whole.trace}-{posted_back.id}-")
    assert got["x-request-id"] == shown["request_id"] == "from-the-sender"
    assert '"request_id":"from-the-sender"' in events.replace(" ", "")
    assert build not in str(heard)
    assert judge.url.rsplit("/", 1)[0] in str(posted_back.attributes["url.full"])


@pytest.mark.usefixtures("no_browser")
def test_without_telemetry_a_build_has_its_request_id_and_no_trace(tmp_path: Path) -> None:
    with evaluator() as judge, serving(settings_for(tmp_path / "state"), planner()) as client:
        shown = finished(client, posted(client, brief(judge.url))["job_id"])
    assert "traceparent" not in judge.heard[0].headers
    assert judge.heard[0].headers["x-request-id"] == shown["request_id"]
    assert len(shown["request_id"]) == 32


def test_a_killed_build_goes_on_in_another_process_and_in_the_same_trace(tmp_path: Path) -> None:
    """Killed after its verification. The span of the whole build is written once, by the process that ends it."""
    state = tmp_path / "state"
    with receiver() as heard, evaluator() as judge:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": heard.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}
        with service(state, "verify:after?0.5,push:after", **environment) as process:
            sent(process, brief(judge.url))
            until(lambda: judge.heard)
    assert reached(state) >= {"push-after"}
    assert steps(heard) >= {"finish", "publish", "callback"}
    whole = heard.named("build")
    made = [span for span in heard.spans if span.parent == whole.id]
    assert len({span.resource["service.instance.id"] for span in made}) == 2
    assert {span.trace for span in made} == {whole.trace}
