"""The main path, on real ports: a brief in, a checked and published site and a signed callback out."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.builds.harness import SECRET, brief, finished, planner, posted, serving, settings_for
from tests.servers.evaluator import evaluator


def git(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def test_a_brief_becomes_a_site_and_a_callback(tmp_path: Path) -> None:
    """From the POST to the callback, `git clone` of the result included, attachments byte for byte."""
    settings = settings_for(tmp_path / "state")
    with evaluator() as judge, serving(settings, planner()) as client:
        said = brief(judge.url)
        answer = posted(client, said)
        shown = finished(client, answer["job_id"])
        assert shown["status"] == "done", client.get(f"/builds/{answer['job_id']}/events").text
        assert shown["outcome"]["failed"] == []
        assert [callback["verdict"] for callback in shown["callbacks"]] == ["delivered"]
        body = judge.heard[0].body
        assert {key: body[key] for key in ("email", "task", "round", "nonce")} == {
            key: said[key] for key in ("email", "task", "round", "nonce")
        }
        git("clone", "-q", body["repo_url"], str(tmp_path / "clone"))
        assert git("-C", str(tmp_path / "clone"), "rev-parse", "HEAD") == body["commit_sha"]
        assert (tmp_path / "clone" / "data.csv").read_bytes() == b"product,sales\nA,1.5\nB,2.5\n"
        assert "MIT License" in (tmp_path / "clone" / "LICENSE").read_text()
        page = httpx.get(body["pages_url"])
        assert page.status_code == 200
        assert page.url.host.endswith(".localhost")
        assert "<h1>Sales</h1>" in page.text  # the title is that of the brief
        assert "content-security-policy" in page.headers
        assert httpx.get(body["pages_url"] + "build.json").json() == {"build": shown["public_id"], "round": 1}


@pytest.mark.usefixtures("no_browser")
def test_twenty_duplicates_at_once_are_one_build(tmp_path: Path) -> None:
    """Twenty senders of the same brief get 200 and the same id. One model answer, one commit, one callback."""
    engine = planner()
    with evaluator() as judge, serving(settings_for(tmp_path / "state"), engine) as client:
        said = brief(judge.url)
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: posted(client, said), range(20)))
        assert len({answer["job_id"] for answer in answers}) == 1
        finished(client, answers[0]["job_id"])
        assert posted(client, said)["build_status"] == "done"
        assert len(engine.asked) == 1
        assert len(judge.heard) == 1
        [repository] = (tmp_path / "state" / "repositories").glob("*.git")
        assert git("--git-dir", str(repository), "rev-list", "--count", "main") == "1"


@pytest.mark.usefixtures("no_browser")
def test_a_second_round_edits_the_same_repository_forward(tmp_path: Path) -> None:
    """Round 2 has round 1's commit as its parent, keeps its files, and the site serves it."""
    with evaluator() as judge, serving(settings_for(tmp_path / "state"), planner()) as client:
        first = finished(client, posted(client, brief(judge.url))["job_id"])
        again = brief(judge.url, round=2, nonce="ab12-2", brief="Add a note.", attachments=[])
        second = finished(client, posted(client, again)["job_id"])
        assert second["outcome"]["repo_url"] == first["outcome"]["repo_url"]
        git("clone", "-q", second["outcome"]["repo_url"], str(tmp_path / "clone"))
        log = git("-C", str(tmp_path / "clone"), "rev-list", "HEAD").split()
        assert log == [second["outcome"]["commit_sha"], first["outcome"]["commit_sha"]]
        assert (tmp_path / "clone" / "data.csv").exists()
        assert httpx.get(second["outcome"]["pages_url"] + "build.json").json()["round"] == 2
        bearer = {"authorization": f"Bearer {SECRET}"}
        changes = client.get(f"/builds/{second['id']}/diff", headers=bearer).json()
        assert changes["base"] == first["outcome"]["commit_sha"]
        assert "\n-Publish a page that shows the sales.\n+Add a note.\n" in changes["diff"]
        assert client.get(f"/builds/{second['id']}/diff").status_code == 403


@pytest.mark.usefixtures("no_browser")
def test_a_wrong_secret_is_403_and_stores_nothing(tmp_path: Path) -> None:
    """The refusal says nothing about the secret, and no build exists afterwards."""
    with serving(settings_for(tmp_path / "state"), planner()) as client:
        refused = client.post("/api-endpoint", json=brief("http://127.0.0.1:9/", secret="wrong"))
        assert refused.status_code == 403
        assert 'wrong"' not in refused.text.replace("The secret is wrong.", "")
        listed = client.get("/builds", headers={"authorization": f"Bearer {SECRET}"})
        assert listed.json() == {"builds": []}
        assert client.get("/builds").status_code == 403


@pytest.mark.usefixtures("no_browser")
def test_an_invalid_brief_is_422_with_pointers_and_without_its_input(tmp_path: Path) -> None:
    """An answer does not repeat the brief, and above all not the secret."""
    with serving(settings_for(tmp_path / "state"), planner()) as client:
        refused = client.post("/api-endpoint", json=brief("http://127.0.0.1:9/", round=0, email=3))
        assert refused.status_code == 422
        assert {error["pointer"] for error in refused.json()["errors"]} == {"/email", "/round"}
        assert SECRET not in refused.text
        wrong = brief("http://127.0.0.1:9/", checks=["fine", 3, {"js": ""}, {"name": "no code"}], attachments=[{}])
        pointers = [error["pointer"] for error in client.post("/builds", json=wrong).json()["errors"]]
        checks = ["/checks/1", "/checks/2", "/checks/2/js", "/checks/3", "/checks/3/js"]
        assert pointers == [*checks, "/attachments/0/name", "/attachments/0/url"]


@pytest.mark.usefixtures("no_browser")
def test_what_other_senders_add_or_leave_empty_is_taken(tmp_path: Path) -> None:
    """Null lists are empty ones, further keys are let be, `data:` URIs are read as browsers read them."""
    urls = ["data:text/plain;BASE64,aGk=", "DATA:text/plain; base64 ,aGk", " data:;charset=utf-8;base64,aG k="]
    files = [{"name": f"{number}.txt", "url": url, "size": 2} for number, url in enumerate(urls)]
    with evaluator() as judge, serving(settings_for(tmp_path / "state"), planner()) as client:
        first = posted(client, brief(judge.url, checks=None, attachments=None))["job_id"]
        checks = [{"js": "true", "name": "always"}]
        second = posted(client, brief(judge.url, nonce="b", checks=checks, attachments=files, extra={}))["job_id"]
        assert [finished(client, build)["status"] for build in (first, second)] == ["done", "done"]
    [repository] = (tmp_path / "state" / "repositories").glob("*.git")
    for number in range(len(urls)):
        shown = subprocess.run(["git", "-C", repository, "show", f"main:{number}.txt"], capture_output=True, check=True)
        assert shown.stdout == b"hi"
