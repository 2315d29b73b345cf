"""The container engine, as these tests use it: run, ask from inside, kill, look. Everything made is removed at the end.

In: the `docker` command. Out: text and JSON. Requests are made inside the container, so the tests need no published
port, and a container without a network can be tested.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from service import keys

LOCKED = ("--read-only", "--tmpfs", "/tmp:size=64m", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
"""How an image that serves is meant to be run; compose.yaml says the same."""

KEY = keys.new()
KEYS = keys.line("tests", KEY)
"""What the containers are told, for an image listens where others reach it, and does not start without a key."""

ASK = """
import json, sys, urllib.error, urllib.request
method, path, body, headers = json.load(sys.stdin)
data = None if body is None else json.dumps(body).encode()
headers = {"content-type": "application/json", "authorization": "Bearer KEY", **headers}
request = urllib.request.Request("http://127.0.0.1:7860" + path, data, headers, method=method)
try:
    answer = urllib.request.urlopen(request, timeout=300)
except urllib.error.HTTPError as error:
    answer = error
print(json.dumps([answer.status, answer.read().decode(errors="replace")]))
""".replace("KEY", KEY)


class EngineFailed(AssertionError):
    """The engine's command failed. The message holds its output."""


def docker(*words: str, input: str | None = None, check: bool = True, timeout_s: float = 600) -> str:
    """A docker command's output, both streams of it when it failed."""
    done = subprocess.run(["docker", *words], input=input, capture_output=True, text=True, timeout=timeout_s)
    if check and done.returncode:
        raise EngineFailed(f"docker {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout if done.returncode == 0 else done.stdout + done.stderr


def answers() -> bool:
    """Whether there is an engine."""
    try:
        return subprocess.run(["docker", "version"], capture_output=True, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def until(what: Callable[[], Any], seconds: float = 120.0) -> Any:
    """Wait for something to become true. The limit only ends a test that would hang."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if found := what():
            return found
        time.sleep(0.2)
    raise AssertionError("it never became true")


class Container:
    """One container, by name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def state(self) -> dict[str, Any]:
        """The engine's description of it."""
        found: dict[str, Any] = json.loads(docker("inspect", "--format", "{{json .State}}", self.name))
        return found

    def logs(self) -> str:
        """Everything that it said."""
        done = subprocess.run(["docker", "logs", self.name], capture_output=True, text=True, timeout=60)
        return done.stdout + done.stderr

    def sh(self, script: str, *, user: str | None = None) -> str:
        """The output of a shell line inside, whether it failed or not."""
        as_user = ("--user", user) if user else ()
        return docker("exec", *as_user, self.name, "sh", "-c", script, check=False).strip()

    def ask(self, path: str, body: Any = None, method: str | None = None, **headers: str) -> tuple[int, Any]:
        """A request from inside: status, and JSON where it is some."""
        method = method or ("GET" if body is None else "POST")
        wanted = {name.replace("_", "-"): value for name, value in headers.items()}
        said = docker("exec", "-i", self.name, "python", "-c", ASK, input=json.dumps([method, path, body, wanted]))
        status, text = json.loads(said)
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def ready(self, seconds: float = 180.0) -> Container:
        """Wait until it can answer. The log, if it ended instead."""

        def look() -> bool:
            if not self.state()["Running"]:
                raise EngineFailed(f"{self.name} ended:\n{self.logs()}")
            with contextlib.suppress(EngineFailed, ValueError):
                return self.ask("/readyz")[0] == 200
            return False

        until(look, seconds)
        return self

    def ended(self, seconds: float = 180.0) -> int:
        """Wait for its end: the exit code."""
        return int(until(lambda: docker("wait", self.name, timeout_s=seconds).strip(), seconds))


@contextlib.contextmanager
def running(image: str, *options: str, command: tuple[str, ...] = (), locked: bool = True) -> Iterator[Container]:
    """A container of the image until the end, run as it is meant to be run."""
    name = f"sameboat-test-{uuid.uuid4().hex[:8]}"
    guarded = ("--env", f"SAMEBOAT_API_KEYS={KEYS}")
    docker("run", "--detach", "--name", name, *(LOCKED if locked else ()), *guarded, *options, image, *command)
    try:
        yield Container(name)
    finally:
        docker("rm", "--force", "--volumes", name, check=False)


@contextlib.contextmanager
def volume() -> Iterator[str]:
    """A new named volume until the end."""
    name = f"sameboat-test-{uuid.uuid4().hex[:8]}"
    docker("volume", "create", name)
    try:
        yield name
    finally:
        docker("volume", "rm", "--force", name, check=False)
