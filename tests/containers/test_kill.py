"""A container that is killed with builds in flight ends them when it is started again, each of them once."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.builds.harness import SECRET, brief
from tests.containers.engine import Container, docker, running, until, volume
from tests.servers.evaluator import fault

LISTENER = Path(__file__).with_name("listener.py")
COUNT = """
import json, pathlib
from dulwich.repo import Repo
found = {}
for path in sorted(pathlib.Path("/state/repositories").glob("*.git")):
    repository = Repo(str(path))
    found[path.name] = sum(1 for _ in repository.get_walker(include=[repository.refs[b"refs/heads/main"]]))
print(json.dumps(found))
"""


@contextlib.contextmanager
def network() -> Iterator[str]:
    """A network of its own, on which containers find each other by name."""
    name = f"sameboat-test-{uuid.uuid4().hex[:8]}"
    docker("network", "create", name)
    try:
        yield name
    finally:
        docker("network", "rm", name, check=False)


@contextlib.contextmanager
def judge(image: str, net: str) -> Iterator[Container]:
    """The evaluator, as `judge` on the network."""
    mounted = ("--network", net, "--network-alias", "judge", "--volume", f"{LISTENER}:/listener.py:ro")
    with running(image, *mounted, "--entrypoint", "python", command=("/listener.py",)) as container:
        yield container


def heard(container: Container) -> list[dict[str, Any]]:
    """The callbacks so far. Each must keep to the contract."""
    found = [json.loads(line) for line in container.logs().splitlines() if line.startswith("{")]
    for each in found:
        assert fault(each["raw"].encode(), each["headers"], None) is None
    return found


def commits(container: Container) -> dict[str, int]:
    """How many commits each repository has."""
    found: dict[str, int] = json.loads(docker("exec", "-i", container.name, "python", "-", input=COUNT))
    return found


@pytest.mark.timeout(900)
def test_killed_with_builds_in_flight_each_ends_once(image: str, models: str) -> None:
    """Killed before the evaluator answers and again while callbacks go out: three sites, three commits, three ids."""
    with network() as net, volume() as state, judge(image, net) as listener:
        options = (
            "--network", net, "--hostname", "sameboat", "--volume", f"{models}:/cache:ro",
            "--volume", f"{state}:/state",
            "--env", f"SAMEBOAT_SECRET={SECRET}", "--env", "SAMEBOAT_CALLBACK_ALLOW=judge:8000",
            "--env", "SAMEBOAT_MAKER=plan",
        )  # fmt: skip
        with running(image, *options) as service:
            service.ready()
            docker("pause", listener.name)  # so that no build ends before the first kill
            ids = []
            for number in range(3):
                body = brief("http://judge:8000/notify", secret=SECRET, task=f"kill-{number}", nonce=f"n-{number}")
                status, answer = service.ask("/api-endpoint", body)
                assert status == 200, answer
                ids.append(answer["job_id"])

            def states() -> list[str]:
                return [service.ask(f"/builds/{build}")[1]["status"] for build in ids]

            until(lambda: "running" in states())
            docker("kill", service.name)
            docker("unpause", listener.name)
            docker("start", service.name)
            service.ready()
            until(lambda: len(heard(listener)) >= 1, 400)
            docker("kill", service.name)
            docker("start", service.name)
            service.ready()
            until(lambda: states() == ["done"] * 3, 400)
            public = {service.ask(f"/builds/{build}")[1]["public_id"] for build in ids}
            until(lambda: {each["headers"]["webhook-id"] for each in heard(listener)} == public, 60)
            assert sorted(commits(service).values()) == [1, 1, 1]
            shown = [service.ask(f"/builds/{build}")[1] for build in ids]
            assert [each["delivery"] for each in shown] == ["delivered"] * 3
            assert SECRET not in service.logs()
