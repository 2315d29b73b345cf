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

pytestmark = pytest.mark.model
LOCKS = {
    path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in ROOT.glob("data/prompts/*/lock.json")
}
PROMPTS = sorted(name for name, lock in LOCKS.items() if lock["model"] == STARTER)
SAME_TEXTS = 0.9  # at least, of the answers of a prompt with labels or a schema


@pytest.fixture(scope="module", params=["llama-server", "vllm"])
def peer(request: pytest.FixtureRequest, starter: Path) -> Iterator[Running]:
    """A started server with the starter's weights."""
    with ExitStack() as stack:
        try:
            running = stack.enter_context(servers.serve(request.param, Target(STARTER, starter), Sizes()))
        except Missing as reason:
            pytest.skip(f"{request.param} is {reason} of make bench")
        yield running


@pytest.fixture(scope="module")
def parities(pytestconfig: pytest.Config) -> Iterator[Parities]:
    """The results of this run. They take the place of earlier ones in the file of `--parity-path`."""
    results: Parities = {}
    yield results
    path: Path | None = pytestconfig.getoption("parity_path")
    if path is not None and results:
        earlier = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.write_text(json.dumps({**earlier, **results}, indent=1) + "\n", encoding="utf-8")


def remote(peer: Running) -> dict[str, str]:
    """The settings that make this server the engine."""
    return {"SAMEBOAT_ENGINE": "remote", "SAMEBOAT_REMOTE_BASE_URL": f"{peer.url}/v1", "SAMEBOAT_MODEL": STARTER}


def parity(peer: Running, name: str) -> dict[str, Any]:
    """The output of the command. Its exit code is the verdict's."""
    done = subprocess.run(
        [SAMEBOAT, "parity", name, "--engine", "remote", "--json"], cwd=ROOT, env={**os.environ, **remote(peer)},
        capture_output=True, text=True, timeout=1200,
    )  # fmt: skip
    assert done.returncode in (0, 2), done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize("name", PROMPTS)
def test_a_promoted_prompt_gets_the_local_engines_answers(peer: Running, name: str, parities: Parities) -> None:
    """Labels with their probabilities, and token ids. Other kernels round differently, so a few answers may differ."""
    told = parity(peer, name)
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    version = told["engines"][1].removeprefix("remote: ")
    result = parities.setdefault(peer.name, {"version": version, "day": day, "cores": os.cpu_count(), "prompts": {}})
    result["prompts"][name] = told
    cases = len((ROOT / "data" / "prompts" / name / "cases.jsonl").read_text(encoding="utf-8").splitlines())
    assert told["answers"] == told["answers_with_tokens"] == cases
    assert told["verdict"] != "REGRESSION"
    if told["largest_probability_difference"] is not None:
        assert 0 < told["largest_probability_difference"] < 0.2
    if LOCKS[name]["grammar_sha256"] or told["largest_probability_difference"] is not None:
        assert told["equal_texts"] >= SAME_TEXTS * cases


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
