"""Publishing on GitHub Pages: it is this commit that is waited for, and nothing else is taken for it."""

from __future__ import annotations

import httpx
import pytest

from service.builds.forge import STAMP, ForgeError
from service.builds.forge.github import GitHubForge
from tests.builds.github.support import FILES, Time, commit
from tests.servers.github import FakeGitHub


def test_an_old_site_is_not_taken_for_the_new_one(forge: GitHubForge, fake: FakeGitHub, time: Time) -> None:
    """Round 2's build takes a minute, in which the old site answers 200: publishing waits for this commit's build."""
    first = forge.push("app-1", commit(forge.ensure("app-1", "").head))
    url = forge.publish("app-1", first, 60)
    fake.world.timing.build_s = 60
    second = forge.push("app-1", commit(first, {**FILES, STAMP: b"second"}))
    assert httpx.get(url + STAMP).content == FILES[STAMP]
    began = time.now()
    forge.publish("app-1", second, 120)
    assert time.now() - began >= 59
    assert httpx.get(url + STAMP).content == b"second"


def test_time_that_is_up_ends_the_waiting(forge: GitHubForge, fake: FakeGitHub, time: Time) -> None:
    """The site follows later. The URL is known at once."""
    fake.world.timing.build_s = 600
    sha = forge.push("app-1", commit(forge.ensure("app-1", "").head))
    began = time.now()
    assert forge.publish("app-1", sha, 30).endswith("/octocat/app-1/")
    assert time.now() - began <= 32


def test_a_commit_that_no_build_takes_up_gets_one_asked_for(forge: GitHubForge, fake: FakeGitHub) -> None:
    """As after a change of the source, which queues none."""
    first = forge.push("app-1", commit(forge.ensure("app-1", "").head))
    forge.publish("app-1", first, 60)
    fake.world.timing.ignores_pushes = True
    second = forge.push("app-1", commit(first, {**FILES, STAMP: b"second"}))
    url = forge.publish("app-1", second, 60)
    assert fake.writes()[-1].endswith("/pages/builds")
    assert httpx.get(url + STAMP).content == b"second"


def test_a_build_that_fails_once_is_built_again(forge: GitHubForge, fake: FakeGitHub) -> None:
    """GitHub's own troubles end this way."""
    fake.world.timing.failing = 1
    sha = forge.push("app-1", commit(forge.ensure("app-1", "").head))
    assert httpx.get(forge.publish("app-1", sha, 60) + STAMP).status_code == 200


def test_a_build_that_keeps_failing_says_why(forge: GitHubForge, fake: FakeGitHub) -> None:
    """In GitHub's words."""
    fake.world.timing.failing = 9
    sha = forge.push("app-1", commit(forge.ensure("app-1", "").head))
    with pytest.raises(ForgeError, match="Page build failed"):
        forge.publish("app-1", sha, 60)


def test_pages_that_were_switched_on_otherwise_are_corrected(forge: GitHubForge, fake: FakeGitHub) -> None:
    """POST creates a site, or answers 409 if there is one. PUT updates it and queues no build."""
    sha = forge.push("app-1", commit(forge.ensure("app-1", "").head))
    fake.repo("app-1").pages = {"build_type": "legacy", "source": {"branch": "main", "path": "/docs"}}
    assert httpx.get(forge.publish("app-1", sha, 60) + STAMP).status_code == 200
    assert [write.split("/app-1")[-1] for write in fake.writes()[-3:]] == ["/pages", "/pages", "/pages/builds"]


def test_a_commit_whose_workflow_deploys_is_waited_for_as_a_deployment(forge: GitHubForge, fake: FakeGitHub) -> None:
    """`build_type: workflow`: there are no Pages builds then, only deployments of the environment github-pages."""
    workflow = b"jobs:\n  site:\n    steps:\n      - uses: actions/deploy-pages@v4\n"
    files = {**FILES, ".github/workflows/ci.yml": workflow}
    sha = forge.push("app-1", commit(forge.ensure("app-1", "").head, files))
    fake.repo("app-1").deployments = [{"id": 7, "sha": sha, "states": ["success", "in_progress"]}]
    forge.publish("app-1", sha, 60)
    assert (fake.repo("app-1").pages or {})["build_type"] == "workflow"
    fake.repo("app-1").deployments = [{"id": 8, "sha": sha, "states": ["failure"]}]
    with pytest.raises(ForgeError, match="it is failure"):
        forge.publish("app-1", sha, 60)
