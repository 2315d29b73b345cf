"""compose.yaml as people use it: names on one network, volumes that outlive `down`, and workers that may be killed."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builds.harness import SECRET, brief
from tests.containers.engine import KEY, KEYS, Container, docker, until
from tests.containers.postgres import build, pullable
from tests.containers.test_kill import LISTENER, commits, heard

ROOT = Path(__file__).resolve().parents[2]
OVER = """
# Laid over compose.yaml by the tests: no published ports, an evaluator that hears the callbacks, the quick maker.
services:
  judge:
    image: {image}
    entrypoint: [python, /listener.py]
    volumes: ["{listener}:/listener.py:ro"]
    networks: [ai-net, workers]
    healthcheck: {{disable: true}}
  service:
    ports: !reset []
    environment: {{SAMEBOAT_SECRET: {secret}, SAMEBOAT_MAKER: plan, SAMEBOAT_CALLBACK_ALLOW: "judge:8000"}}
  thin: {{ports: !reset []}}
  notebooks: {{ports: !reset []}}
  api:
    ports: !reset []
    environment: {{SAMEBOAT_MAKER: plan}}
  worker:
    environment: {{SAMEBOAT_MAKER: plan}}
"""
PENDING = """
import os, psycopg
with psycopg.connect(open(os.environ["SAMEBOAT_DATABASE_URL_FILE"]).read()) as db:
    for row in db.execute("SELECT executor_id FROM dbos.workflow_status WHERE status = 'PENDING' AND name = 'build'"):
        print(row[0])
"""
ZOMBIES = r"""
import pathlib, re
states = [path.read_text() for path in pathlib.Path("/proc").glob("[0-9]*/stat")]
print(sum(re.search(r"\) Z 1 ", state) is not None for state in states))
"""
LAB = "import urllib.request; print(urllib.request.urlopen('http://notebooks:8888/api').read().decode())"
NOTEBOOK = "jupyter nbconvert --log-level ERROR --to notebook --stdout --execute notebooks/4-call-the-service.ipynb"
pytestmark = pytest.mark.timeout(1200)


class Compose:
    """One project of compose.yaml, with names of its own."""

    def __init__(self, image: str, models: str, folder: Path) -> None:
        self.project = f"sameboat-test-{uuid.uuid4().hex[:6]}"
        over = folder / "over.yaml"
        over.write_text(OVER.format(image=image, listener=LISTENER, secret=SECRET))
        self.files = ("--file", str(ROOT / "compose.yaml"), "--file", str(over))
        subprocess.run([ROOT / ".ci" / "secrets", folder / "secrets"], check=True, capture_output=True)
        for name, text in (("api_key", KEY), ("api_keys", KEYS), ("secret", SECRET)):
            (folder / "secrets" / name).chmod(0o644)
            (folder / "secrets" / name).write_text(text)
        self.environment = {
            **os.environ,
            "SAMEBOAT_NETWORK": f"{self.project}-net",
            "SAMEBOAT_MODELS": models,
            "SAMEBOAT_SECRETS": str(folder / "secrets"),
            "SAMEBOAT_CALLBACK_ALLOW": "judge:8000",
            "SAMEBOAT_CPUS": "1",
            "SAMEBOAT_MEMORY": "1g",
        }

    def __call__(self, *words: str, profile: str = "scale", check: bool = True) -> str:
        """A docker compose command's output."""
        command = ["docker", "compose", "--project-name", self.project, *self.files, "--profile", profile, *words]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment, timeout=900)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def container(self, service: str, number: int = 1) -> Container:
        """One of a service's containers."""
        return Container(f"{self.project}-{service}-{number}")


@pytest.fixture
def compose(image: str, models: str, tmp_path: Path) -> Iterator[Compose]:
    """A project. It is removed at the end with its volumes, except the session's volume of models."""
    project = Compose(image, models, tmp_path)
    yield project
    project("down", "--timeout", "5", profile="*", check=False)
    for volume in ("state", "scaled", "db"):
        docker("volume", "rm", "--force", f"{project.project}_{volume}", check=False)


def finished(container: Container, builds: list[str], seconds: float = 600) -> list[dict[str, str]]:
    """The builds when all of them and their callbacks are over."""

    def look() -> list[dict[str, str]] | None:
        shown = [container.ask(f"/builds/{each}")[1] for each in builds]
        over = all(each["status"] == "done" and each["delivery"] != "pending" for each in shown)
        return shown if over else None

    found: list[dict[str, str]] = until(look, seconds)
    return found


def test_names_limits_and_volumes(compose: Compose) -> None:
    """A service without an engine asks the other by name. Limits hold. `down` and `up` keep models and builds."""
    compose("up", "--detach", "--no-build", "judge", "service", "thin", profile="remote")
    service, thin = compose.container("service").ready(), compose.container("thin").ready()
    status, answer = thin.ask("/prompts/sender", {"inputs": {"text": "Kenji Mori, Iris Labs"}})
    assert status == 200, answer
    assert answer["value"]
    ready = service.ask("/readyz")[1]
    assert ready["threads"]["value"] == 1
    assert "CPU quota is 1" in ready["threads"]["reason"]
    assert ready["memory_bytes"]["value"] == 2**30
    status, posted = service.ask("/api-endpoint", brief("http://judge:8000/notify", secret=SECRET))
    assert status == 200, posted
    [before] = finished(service, [posted["job_id"]])
    model = service.sh("stat -c '%n %Y' /cache/models/*")
    compose("down", profile="remote")
    compose("up", "--detach", "--no-build", "service", profile="remote")
    service.ready()
    assert service.ask(f"/builds/{posted['job_id']}")[1] == before
    assert service.sh("stat -c '%n %Y' /cache/models/*") == model


def test_a_notebook_asks_the_service_by_name(compose: Compose, image: str) -> None:
    """JupyterLab answers on the network, and its notebook gets the tokens from it by name that it makes itself."""
    lab = image.replace("sameboat", "sameboat-dev", 1)
    if docker("image", "ls", "--quiet", lab).strip() == "":
        pytest.skip(f"no image {lab}: make image TARGET=dev")
    compose("up", "--detach", "--no-build", "service", "notebooks", profile="notebooks")
    service, notebooks = compose.container("service").ready(), compose.container("notebooks")
    until(lambda: "version" in service.sh(f'python -c "{LAB}"'))
    executed = json.loads(docker("exec", notebooks.name, "sh", "-c", NOTEBOOK))
    outputs = [output for cell in executed["cells"] for output in cell.get("outputs", [])]
    assert {output["output_type"] for output in outputs} == {"stream"}
    said = "".join("".join(output["text"]) for output in outputs)
    assert "ready: http://service:7860 [" in said
    assert "same fingerprint: True\nsame tokens:      True" in said
    assert '"city":' in said
    assert "ended with" not in said  # no server of its own


def test_scale_survives_the_loss_of_workers(compose: Compose, image: str) -> None:
    """Two api, three workers, Postgres. The worker that makes a build is killed, twice: every build ends once.

    They are judged in the browser, sandbox and all, of a container that may do nothing else.
    """
    worker = image.replace("sameboat", "sameboat-worker", 1)
    if docker("image", "ls", "--quiet", worker).strip() == "":
        pytest.skip(f"no image {worker}: make image TARGET=worker")
    postgres = json.loads(compose("config", "--format", "json"))["services"]["db"]["image"]
    if not pullable(postgres):
        compose.environment["POSTGRES_IMAGE"] = build()
    compose("up", "--detach", "--no-build", "judge", "db", "api", "worker")
    first, second = compose.container("api", 1).ready(), compose.container("api", 2).ready()
    for number in (1, 2, 3):
        compose.container("worker", number).ready()
    doctor = docker("exec", compose.container("worker", 1).name, "sh", "-c", "sameboat doctor --json; true")
    assert {finding["what"]: finding["level"] for finding in json.loads(doctor)}["isolation"] == "ok"
    builds = []
    for number in range(5):
        body = brief("http://judge:8000/notify", secret=SECRET, task=f"scale-{number}", nonce=f"n-{number}")
        status, answer = (first, second)[number % 2].ask("/api-endpoint", body)
        assert status == 200, answer
        builds.append(answer["job_id"])
    killed: set[str] = set()

    def busy() -> str | None:
        names = docker("exec", "-i", first.name, "python", "-", input=PENDING).split()
        hosts = [name.partition("-")[0] for name in names]  # a worker is named for its host, which is its container
        return next((host for host in hosts if host not in killed), None)

    for _ in range(2):
        victim = until(busy)
        docker("kill", victim)
        killed.add(victim)
    shown = finished(second, builds)
    assert [each["delivery"] for each in shown] == ["delivered"] * 5
    listener = compose.container("judge")
    assert {each["headers"]["webhook-id"] for each in heard(listener)} == {each["public_id"] for each in shown}
    assert sorted(commits(first).values()) == [1] * 5
    # One at least: on a slow machine, a page may run out of the time for its picture.
    assert 200 in [first.ask(f"/builds/{each}/screenshot")[0] for each in builds]
    assert SECRET not in compose("logs", "api", "worker")
    alive = next(worker for number in (1, 2, 3) if (worker := compose.container("worker", number)).state()["Running"])
    until(lambda: docker("exec", "-i", alive.name, "python", "-", input=ZOMBIES).strip() == "0")
    states = json.loads("[" + ",".join(compose("ps", "--all", "--format", "json", "worker").split("\n"))[:-1] + "]")
    assert sum(state["State"] == "running" for state in states) == 1
