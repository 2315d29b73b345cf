"""The forge's requests are valid by GitHub's published OpenAPI document, for our own validator and for Prism.

The walks of this file use every route that the forge can use. Both validators refuse wrong requests.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.builds.forge import STAMP, ForgeError
from tests.builds.github.support import FILES, Time, commit, forge_of
from tests.servers.github import FakeGitHub, Seen, github
from tests.servers.github_contract import ROUTES, Contract, document
from tests.servers.prism import prism


@pytest.fixture(scope="module")
def contract() -> Contract:
    return Contract(document())


@pytest.fixture(scope="module")
def walked(contract: Contract, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeGitHub]:
    """A fake that the forge has walked in every way."""
    folder, time = tmp_path_factory.mktemp("contract"), Time()
    with github(folder / "github", now=time.now, contract=contract) as fake:
        forge = forge_of(fake, time, folder)
        first = forge.push("app-1", commit(forge.ensure("app-1", "two\nlines").head))
        forge.publish("app-1", first, 60)
        fake.world.timing.ignores_pushes = True
        assert forge.read("app-1", first) == FILES
        second = forge.push("app-1", commit(first, {**FILES, STAMP: b"second"}))
        forge.publish("app-1", second, 60)
        fake.world.create("octocat", {"name": "app-2"})  # empty
        workflow = {".github/workflows/site.yml": b"- uses: actions/deploy-pages@v4", "big.txt": b"x" * 200_000}
        third = forge.push("app-2", commit(forge.ensure("app-2", "").head, {**FILES, **workflow}))
        fake.repo("app-2").pages = {"build_type": "legacy", "source": {"branch": "main", "path": "/"}}
        fake.repo("app-2").deployments = [{"id": 7, "sha": third, "states": ["success"]}]
        forge.publish("app-2", third, 60)
        forge_of(fake, time, folder, "crew").ensure("app-3", "")
        with pytest.raises(ForgeError):
            forge.push("app-1", commit(first, {"index.html": b"too late"}))
        yield fake


def test_requests_and_answers_are_githubs(walked: FakeGitHub) -> None:
    """Ours of the forge, and those of the fake, in every field that the document requires or describes."""
    assert walked.broken == []


def test_every_route_of_the_document_was_walked(walked: FakeGitHub, contract: Contract) -> None:
    """So that the verdict above is about all of them."""
    assert contract.used == {(method.upper(), path) for path, methods in ROUTES.items() for method in methods}


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("POST", "/user/repos", {"auto_init": True}, "'name' is a required property"),
        ("POST", "/user/repos", {"name": "a", "autoinit": True}, "autoinit is no parameter"),
        ("POST", "/repos/a/b/pages", {"source": {"branch": "main", "path": "/site"}}, "anyOf|is not one of|valid"),
        ("POST", "/repos/a/b/git/trees", {"tree": [{"path": "a", "mode": "644"}]}, "is not one of"),
        ("PUT", "/repos/a/b/git/trees", {"tree": []}, "is no route"),
        ("GET", "/user", {"a": 1}, "takes no body"),
    ],
)
def test_our_judge_refuses_what_is_wrong(contract: Contract, method: str, path: str, body: Any, said: str) -> None:
    """A judge that never refuses would prove nothing."""
    [wrong, *_] = contract.request(method, path, body)
    assert any(word in wrong for word in said.split("|"))


def test_our_judge_refuses_answers_too(contract: Contract) -> None:
    """A missing field, a status that is never answered, a type that is wrong."""
    assert contract.answer("GET", "/repos/a/b/git/ref/heads%2Fmain", 200, {"ref": "refs/heads/main"})
    assert contract.answer("POST", "/repos/a/b/git/blobs", 200, {})
    assert contract.answer("POST", "/repos/a/b/git/blobs", 201, {"sha": 5, "url": "https://example.com"})


def shape(seen: Seen) -> tuple[str, str]:
    """Requests that differ only in names and digests are one."""
    parts = ["*" if len(part) == 40 or part.startswith("app-") else part for part in seen.path.split("/")]
    return seen.method, "/".join(parts)


def violations(response: httpx.Response) -> list[Any]:
    """Prism's complaints about the request. Those about its own example answers are left out: GitHub's examples lack
    fields that GitHub's schemas require."""
    if response.status_code < 300:
        return []
    said = response.json()
    found = [each for each in said.get("validation", []) if each["location"][0] == "request"]
    return found if said.get("title") == "Request/Response not valid" else [response.text]


@pytest.mark.timeout(600)
def test_prism_accepts_every_request(walked: FakeGitHub, tmp_path: Path) -> None:
    """One of each kind, as it was sent. It refuses two wrong ones."""
    by_shape = {kind: list(group) for kind, group in itertools.groupby(sorted(walked.seen, key=shape), key=shape)}
    shown = [seen for group in by_shape.values() for seen in (group[0], group[-1])]
    assert len(by_shape) >= sum(len(methods) for methods in ROUTES.values())
    with prism(document(), tmp_path / "prism.log") as judge:
        for wrong in ({"auto_init": True}, {"name": 5}):
            assert judge.post("/user/repos", json=wrong).status_code == 422
        for seen in shown:
            url = seen.path + (f"?{seen.query}" if seen.query else "")
            response = judge.request(seen.method, url, json=seen.body)
            assert violations(response) == [], f"{seen.method} {url}"
