"""A build from `curl` to the callback, offline, by the starter model: planned, rendered, checked, called back."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import started
from tests.ports import free_port
from tests.servers.evaluator import evaluator

pytestmark = pytest.mark.model
SECRET = "a-secret-for-this-test"  # pragma: allowlist secret
ROWS = b"bread,price\nRye,4.50\nSpelt,5.20\n"


@pytest.fixture
def service(starter: Path, tmp_path: Path) -> Iterator[str]:
    """The URL of `sameboat serve` with a secret, on free ports. It is offline."""
    here = {
        "SAMEBOAT_PAGES_PORT": str(free_port()),
        "SAMEBOAT_STATE_DIR": str(tmp_path / "state"),
        "SAMEBOAT_SECRET": SECRET,
        "SAMEBOAT_CALLBACK_ALLOW": "127.0.0.0/8",
        "SAMEBOAT_MAKER": "plan",
        "SAMEBOAT_OFFLINE": "true",
        "SAMEBOAT_PARALLEL": "1",
    }
    with started(tmp_path, probe="/healthz", **here) as it:
        yield it.url
    assert SECRET not in it.log.read_text()


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_from_curl_to_callback_and_git_clone(service: str, tmp_path: Path) -> None:
    """200 at once, a callback with the seven fields, a repository to clone, a page that stands up to a look."""
    attachment = "data:text/csv;base64," + base64.b64encode(ROWS).decode()
    with evaluator(key=None) as judge:
        brief = {
            "email": "student@example.com",
            "secret": SECRET,
            "task": "bakery-1a2b3",
            "round": 1,
            "nonce": "ab12-1",
            "brief": "A page about a bakery with its opening hours and its breads.",
            "checks": ["Repo has MIT license", "README.md is professional", {"js": "document.title.length > 0"}],
            "evaluation_url": judge.url,
            "attachments": [{"name": "breads.csv", "url": attachment}],
        }
        (tmp_path / "brief.json").write_text(json.dumps(brief))
        command = ["curl", "-sS", "--json", f"@{tmp_path / 'brief.json'}", f"{service}/api-endpoint"]
        said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout)
        assert said["status"] == "accepted"
        for _ in range(1200):
            shown = httpx.get(said["status_url"], timeout=30).json()
            if shown["status"] not in ("accepted", "running") and shown["delivery"] != "pending":
                break
            time.sleep(0.1)
        assert (shown["status"], shown["delivery"]) == ("done", "delivered"), shown
        assert shown["outcome"]["maker"] == "plan"
        assert shown["outcome"]["failed"] == []
        body = judge.heard[0].body
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", body["repo_url"], str(clone)], check=True, timeout=60)
    head = subprocess.run(["git", "-C", str(clone), "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    assert head.stdout.strip() == body["commit_sha"]
    assert (clone / "breads.csv").read_bytes() == ROWS
    assert (clone / "LICENSE").read_text().startswith("MIT License")
    page = (clone / "index.html").read_text()
    assert re.search(r"baker|bread", page.partition("<footer>")[0], re.IGNORECASE)
    assert httpx.get(body["pages_url"]).text == page
    asked = httpx.get(
        f"{said['status_url']}/exchanges", headers={"authorization": f"Bearer {SECRET}"}, timeout=30
    ).json()["exchanges"]
    assert [each["prompt"] for each in asked] == ["build-plan"]
    assert "bakery" in asked[0]["inputs"]["brief"]
    assert httpx.get(f"{said['status_url']}/exchanges", timeout=30).status_code == 403
    picture = httpx.get(f"{said['status_url']}/screenshot", timeout=30)
    assert picture.status_code == 404 or picture.content.startswith(b"\x89PNG")
    if keep := os.environ.get("KEEP_SCREENSHOT"):
        Path(keep).write_bytes(picture.content)
        shutil.copytree(clone, f"{keep}.site", dirs_exist_ok=True)
