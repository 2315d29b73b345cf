"""Secrets stay where they belong: after whole builds they are searched for everywhere that somebody could look.

A model tries to publish them, senders send wrong ones, and a forge quotes one back. Afterwards each
canary, in every spelling, is looked for in logs, database, repositories (every object of their history), answers of
the API, sites, callbacks, and in the arguments of every process that was begun for them.
"""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from service.builds.secrets_scan import scan
from tests.builds.harness import SECRET, brief, finished, posted
from tests.builds.processes import service
from tests.servers.evaluator import evaluator
from tests.servers.github import github

HELD = {  # by settings_for
    "SAMEBOAT_SECRET": SECRET,
    "SAMEBOAT_CALLBACK_SIGNING_KEY": "whsec_c2lnbmluZyBrZXk=",
}
GIVEN = {
    "SAMEBOAT_FORGE_TOKEN": "canary-forge-19c4",
    "SAMEBOAT_GITHUB_TOKEN": "ghp_" + "Canary7github0token1of2a3test4case5x",
    # pragma: allowlist nextline secret
    "SAMEBOAT_REMOTE_API_KEY": "sk-canary-remote-key-55aa",
}
SECRETS = HELD | GIVEN


def descendants(paths: Path = Path("/proc")) -> Iterator[Path]:
    """The processes that this one began, and those that they began."""
    parents: dict[str, str] = {}
    for path in paths.glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            parents[path.parent.name] = path.read_text().rpartition(")")[2].split()[1]
    for number in parents:
        above = number
        while above in parents and above != str(os.getpid()):
            above = parents[above]
        if above == str(os.getpid()):
            yield paths / number


@contextmanager
def arguments() -> Iterator[set[bytes]]:
    """Every command line of a process that we began meanwhile: the service, its browser, git."""
    seen: set[bytes] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            for path in descendants():
                with suppress(OSError):
                    seen.add((path / "cmdline").read_bytes())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def history(repository: Path) -> bytes:
    """Every object of a repository, whole: blobs, trees, commits, reachable or not."""
    words = ["git", "--git-dir", str(repository), "cat-file", "--batch-all-objects", "--batch"]
    return subprocess.run(words, capture_output=True, check=True, timeout=60).stdout


def errors(client: httpx.Client) -> list[str]:
    """The answers to a sender with every possible mistake."""
    key = SECRET
    wrong = [
        client.post("/api-endpoint", json=brief("http://x.invalid/", round="one", email=key)),
        client.post("/api-endpoint", json=brief("http://x.invalid/", secret=key + "x")),
        client.post("/api-endpoint", content=f'{{"secret": "{key}", '.encode()),
        client.post("/api-endpoint", json=brief("not a url", brief="")),
        client.get("/builds", headers={"authorization": f"Bearer {key}x"}),
        client.get(f"/builds/{key}"),
        client.post("/builds/nothing/deliver", headers={"authorization": f"Bearer {key}"}),
        client.get(f"/git/{key}.git/info/refs?service=git-receive-pack"),
    ]
    assert all(each.status_code >= 400 for each in wrong)
    return [each.text.replace(f"/builds/{key}", "").replace(f"/git/{key}", "") for each in wrong]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("forge", ["local", "github"])
def test_canaries_are_found_nowhere(tmp_path: Path, forge: str) -> None:
    """A build with a model that writes every secret into its page, on each forge. Then everything is searched."""
    state = tmp_path / "state"
    heard: dict[str, bytes] = {}
    with github(tmp_path / "github", token=GIVEN["SAMEBOAT_GITHUB_TOKEN"]) as fake, evaluator() as judge:
        if forge == "github":  # it answers with the token in its words, once
            fake.fault("PATCH", "/git/refs", status=422, message=f"not a fast forward of {fake.token}")
        more = {"SAMEBOAT_FORGE": forge, "SAMEBOAT_GITHUB_API_URL": fake.url}
        leaks = " ".join(SECRETS.values()) + base64.b64encode(SECRET.encode()).decode()
        with (
            arguments() as seen,
            service(state, **GIVEN, **more, TEST_LEAKS=leaks, TEST_BROWSER="1") as process,
            process.client() as client,
        ):
            shown = finished(client, posted(client, brief(judge.url))["job_id"])
            assert shown["status"] == "done", shown
            bearer = {"authorization": f"Bearer {SECRET}"}
            for what in ("", "/events", "/exchanges"):
                heard[f"answer {what}"] = client.get(f"/builds/{shown['id']}{what}", headers=bearer).content
            for number, text in enumerate(errors(client)):
                heard[f"error {number}"] = text.encode()
            heard["site"] = httpx.get(shown["outcome"]["pages_url"]).content
        heard["log"] = process.said().encode()
        heard["callbacks"] = b"\n".join(each.raw + repr(each.headers).encode() for each in judge.heard)
        heard["arguments"] = b"\n".join(seen)
        repositories = [*state.glob("repositories/*.git"), *(repo.path for repo in fake.world.repos.values())]
        assert len(repositories) == 1
        heard |= {str(path): history(path) for path in repositories}
        for number, each in enumerate(fake.seen):  # but for the header that is there for the token
            heard[f"asked {number}"] = f"{each.method} {each.path}?{each.query} {each.body}".encode()
    assert b"tests.builds.worker" in heard["arguments"]
    assert b"[secret]" in heard["answer /exchanges"]  # the model did write them
    heard |= {str(path): path.read_bytes() for path in state.rglob("*") if path.is_file()}
    found = [str(each) for each in scan(heard, SECRETS.values()) if each.kind == "a secret of this service"]
    assert found == []


@pytest.mark.parametrize("secret", SECRETS.values())
def test_the_search_would_find_them(secret: str) -> None:
    """Else the test above would prove nothing."""
    assert scan({"log": f"a line\nand {secret} in it".encode()}, SECRETS.values())
