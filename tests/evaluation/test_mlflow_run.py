"""Results in MLflow: each answer, each assessment and the prompt, without asking or judging again."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.errors import EvaluationError
from service.evaluation.cases import Case
from service.evaluation.mlflow_run import to_mlflow
from service.evaluation.recording import Record
from service.evaluation.runner import CaseOutcome, apply_checks, not_asked
from service.prompts.file import loads
from tests.servers import npm

VERSION = "3.17.2"
PROMPT = loads("""
name: pets
responseFormat: choice
choices: [cat, dog]
abstain: {below: 0.6, answer: nobody}
modelParameters: {seed: 3, maxTokens: 5}
messages: [{role: system, content: Which pet?}, {role: user, content: "{{text}}"}]
evaluators:
- {name: label, string: {equals: "{{label}}"}}
- {name: short, when: brief, regex: "^.$"}
- {name: like, similarity: {to: "{{label}}", threshold: 0.9}}
""")
LOG = """
import json, sys
sys.path.append(sys.argv[1])
import mlflow
from service.evaluation.mlflow_run import to_mlflow
from tests.evaluation.test_mlflow_run import PROMPT, outcomes
first = to_mlflow(PROMPT, outcomes())
second = to_mlflow(PROMPT, outcomes(), "other")
where = [mlflow.get_experiment_by_name("pets").experiment_id]
traces = mlflow.search_traces(run_id=first.run_id, locations=where, return_type="list")
version = mlflow.genai.load_prompt(first.prompt_uri)
data = mlflow.get_run(first.run_id).data
print(json.dumps({
    "uris": [first.prompt_uri, second.prompt_uri], "left": first.left,
    "template": version.template, "config": version.model_config, "tags": version.tags,
    "metrics": data.metrics, "params": data.params,
    "report": mlflow.artifacts.load_text(f"runs:/{first.run_id}/report.md"),
    "traces": {trace.info.tags["case"]: {
        "request": json.loads(trace.data.request), "response": json.loads(trace.data.response),
        "assessments": {each.name: each.value for each in trace.info.assessments},
        "why": {each.name: each.rationale for each in trace.info.assessments if each.rationale},
    } for trace in traces},
}))
"""


def outcomes() -> list[CaseOutcome]:
    """A right answer, a wrong one that a second check judges too, one that abstains, and one that was not asked."""
    rows = [
        ("a", {"text": "Miau", "label": "cat"}, "cat", 0.9),
        ("b", {"text": "Wau", "label": "dog", "brief": True}, "cat", 0.8),
        ("c", {"text": "Miau", "label": "cat"}, "cat", 0.5),
    ]
    answered = [
        apply_checks(PROMPT, Case(name, values), [Record(name, "f", answer, (1,), "stop", None, ((answer, share),))])
        for name, values, answer, share in rows
    ]
    return [*answered, not_asked(PROMPT, Case("d", {"text": "x", "label": "cat"}), "too long")]


def test_without_mlflow_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(EvaluationError, match=r"MLflow is not installed\. Install mlflow 3"):
        to_mlflow(PROMPT, outcomes())
    with pytest.raises(EvaluationError, match="pets has no results"):
        to_mlflow(PROMPT, [])


def test_the_real_mlflow_holds_the_results_and_the_prompt(tmp_path: Path) -> None:
    """A store in a file. A second run of the same text registers no second version."""
    folder = npm.ROOT / ".sameboat" / "python" / f"mlflow-{VERSION}"
    if not folder.exists():
        words = ["pip", "install", "--quiet", "--target", str(folder), f"mlflow=={VERSION}"]
        uv = npm.ROOT / ".ci" / "uv"
        done = subprocess.run([uv, *words], capture_output=True, text=True, timeout=npm.PATIENCE_S, check=False)
        if done.returncode:
            npm.absent(f"mlflow cannot be had: {done.stderr.strip()[-300:]}")
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db", "PYTHONPATH": str(npm.ROOT)}
    environment |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", LOG, str(folder)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    held = json.loads(done.stdout.splitlines()[-1])
    assert held["uris"] == ["prompts:/pets/1", "prompts:/pets/1"]
    assert held["template"] == [{"role": m.role, "content": m.content} for m in PROMPT.spec.messages]
    assert held["tags"]["prompt_sha256"] == PROMPT.sha256 == held["params"]["prompt_sha256"]
    assert held["config"]["max_tokens"] == 5
    assert held["metrics"] == {"label/mean": 0.25, "short/mean": 0.0, "like/mean": 0.25}
    assert "| all | label | 1 | 4 |" in held["report"]
    traces = held["traces"]
    assert {name: trace["response"] for name, trace in traces.items()} == {
        "a": "cat", "b": "cat", "c": "nobody", "d": "",
    }  # fmt: skip
    assert traces["b"]["request"] == {"text": "Wau"}
    assert traces["b"]["assessments"] == {
        "label": False, "short": False, "like": False, "case": "b", "expected_response": "dog", "brief": True,
        "expected label": "dog",
    }  # fmt: skip
    assert "short" not in traces["a"]["assessments"]
    assert traces["d"]["why"]["label"] == "too long"
    assert [word for word in ("checks", "abstain", "choices", "sampling") if word in " ".join(held["left"])] == [
        "checks", "abstain", "choices", "sampling",
    ]  # fmt: skip
