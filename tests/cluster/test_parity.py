"""The starter's promoted prompts over real servers on this machine: vLLM, and llama.cpp's own server.

`make bench ARGS="--install vllm"` installs a server. Without it these tests skip.
"""

from __future__ import annotations

import datetime
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.bench import servers
from tests.bench.peers import Missing
from tests.bench.servers import Running, Sizes, Target
from tests.cluster.page import Parities
from tests.e2e.conftest import ROOT, SAMEBOAT, STARTER, started

pytestmark = [pytest.mark.model, pytest.mark.timeout(3600)]  # vLLM compiles for minutes when it starts
LOCKS = {
    path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in ROOT.glob("data/prompts/*/lock.json")
}
PROMPTS = sorted(name for name, lock in LOCKS.items() if lock["model"] == STARTER)
SHORT, SAME_TEXTS = 32, 0.9  # tokens of a short answer, and the least share of equal texts if all answers are short


@pytest.fixture(scope="module", params=["vllm", "llama-server"])
def peer(request: pytest.FixtureRequest, starter: Path) -> Iterator[Running]:
    """A started server with the starter's weights."""
    with ExitStack() as stack:
        try:
            running = stack.enter_context(servers.serve(request.param, Target(STARTER, starter), Sizes()))
        except Missing as reason:
            pytest.skip(f"{request.param} is {reason} of make bench")
        yield running


def keep(config: pytest.Config, peer: Running, told: dict[str, Any]) -> None:
    """Put a result into the file of `--parity-path`, in the place of an earlier one."""
    path: Path | None = config.getoption("parity_path")
    if path is None:
        return
    results: Parities = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    result = results.setdefault(peer.name, {"prompts": {}})
    result |= {
        "version": told["engines"][1].removeprefix("remote: "),
        "day": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cores": os.cpu_count(),
    }
    result["prompts"][told["prompt"]] = told
    path.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def remote(peer: Running) -> dict[str, str]:
    """The settings that make this server the engine."""
    return {"SAMEBOAT_ENGINE": "remote", "SAMEBOAT_REMOTE_BASE_URL": f"{peer.url}/v1", "SAMEBOAT_MODEL": STARTER}


def parity(peer: Running, name: str) -> dict[str, Any]:
    """The output of the command. Its exit code is the verdict's. In `exact` mode a local answer is the recorded one."""
    command = [SAMEBOAT, "parity", name, "--engine", "remote", "--recorded", "--json"]
    environment = {**os.environ, **remote(peer)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1200)
    assert done.returncode in (0, 2), done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize("name", PROMPTS)
def test_a_promoted_prompt_gets_its_recorded_answers(peer: Running, name: str, pytestconfig: pytest.Config) -> None:
    """Labels with their probabilities, and token ids. Other kernels round differently, so a few answers may differ."""
    told = parity(peer, name)
    keep(pytestconfig, peer, told)
    recording = (ROOT / "data" / "prompts" / name / "recording.jsonl").read_text(encoding="utf-8").splitlines()
    longest = max(len(json.loads(line)["tokens"]) for line in recording)
    assert told["answers"] == told["answers_with_tokens"] == len(recording)
    assert told["verdict"] != "REGRESSION"
    if told["largest_probability_difference"] is not None:
        assert 0 < told["largest_probability_difference"] < 0.2
    if longest <= SHORT:
        assert told["equal_texts"] >= SAME_TEXTS * len(recording)


def test_a_service_without_a_model_answers_over_it(peer: Running, tmp_path: Path) -> None:
    """Text and token ids of a schema's answer, and a label's probabilities, over HTTP."""
    ask = {"sender": "Hello, please call me back. Tara Singh, Delta Ltd.", "language": "Wo ist der Bahnhof?"}
    with started(tmp_path, **remote(peer), SAMEBOAT_UNPROMOTED_ENGINES="allow") as service:
        told = {
            name: httpx.post(f"{service.url}/prompts/{name}", json={"inputs": {"text": text}}, timeout=120)
            for name, text in ask.items()
        }
    assert {answer.status_code for answer in told.values()} == {200}, [answer.text for answer in told.values()]
    sender, language = (told[name].json() for name in ask)
    assert set(sender["value"]) == {"name"}
    completion = sender["usage"]["completion"]
    assert len(sender["tokens"]) in (completion, completion - 1)  # some servers count the end of the turn
    assert sum(language["probabilities"].values()) == pytest.approx(1)
