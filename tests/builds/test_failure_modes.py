"""How others fail, each as a test of ours, by the numbers of docs/builds.md. 1, 3, 4, 5, 10, 11 are elsewhere.

1: test_crashes. 3: test_delivery. 4, 10: github/. 5: the bench. 11: test_workers.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import struct
import subprocess
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.engine.types import Request
from service.errors import EngineUnavailable
from tests.builds.harness import (
    PLAN,
    SECRET,
    brief,
    engine_for,
    finished,
    planner,
    posted,
    serving,
    settings_for,
    until,
)
from tests.builds.processes import asked, commits, reached, sent, service
from tests.scripted import ScriptedEngine
from tests.servers.evaluator import evaluator
from tests.servers.postgres import Postgres

pytestmark = pytest.mark.usefixtures("no_browser")
SIGNING = "whsec_c2lnbmluZyBrZXk="


def git(*words: str) -> bytes:
    return subprocess.run(["git", *words], check=True, capture_output=True, timeout=60).stdout


# 2. The same request twice


@pytest.mark.parametrize("kill", ["", "make:inside,push:inside"])
def test_2_twenty_duplicates_before_during_and_after_are_one_build(
    tmp_path: Path, database: dict[str, str], kill: str
) -> None:
    """Twenty at once, again while it is built, again after a crash and when all is over: one of everything."""
    state = tmp_path / "state"
    with evaluator() as judge, service(state, kill or "make:inside?1", **database) as process:
        said = brief(judge.url)
        with process.client() as client, ThreadPoolExecutor(20) as pool:
            first = sent(process, said)
            builds = {first, *pool.map(lambda _: sent(process, said), range(19))}
            until(lambda: reached(state))
            builds |= set(pool.map(lambda _: sent(process, said), range(20)))
            until(lambda: len(reached(state)) == len((kill or "one").split(",")))
            until(process.alive)
            shown = finished(client, first)
            builds |= set(pool.map(lambda _: sent(process, said), range(20)))
        assert builds == {first}
        assert shown["status"] == "done"
        assert [len(history) for history in commits(state)] == [1]
        assert len(judge.heard) == 1
        assert asked(state) == (2 if kill else 1)  # an answer that was killed before its record is asked for again


def test_2_the_same_key_with_other_contents_is_refused(tmp_path: Path) -> None:
    """Of two different briefs with one nonce, the first one stands."""
    with evaluator() as judge, serving(settings_for(tmp_path / "state"), planner()) as client:
        build = posted(client, brief(judge.url))["job_id"]
        other = client.post("/api-endpoint", json=brief(judge.url, brief="Something else."))
        assert (other.status_code, other.json()["errors"][0]["pointer"]) == (409, "/nonce")
        assert finished(client, build)["brief"] == brief(judge.url)["brief"]


# 3. Callbacks


def test_3_what_is_not_delivered_by_the_deadline_is_tried_on_and_shown(tmp_path: Path) -> None:
    """The quick gaps end at the deadline. Then attempts are slow, the build stays `pending`, and nothing hangs."""
    settings = settings_for(tmp_path / "state", build_deadline_s=20)
    with evaluator(*[(500, "broken")] * 50) as judge, serving(settings, planner()) as client:
        build = posted(client, brief(judge.url))["job_id"]
        until(lambda: len(judge.heard) >= 3)
        shown = client.get(f"/builds/{build}").json()
        assert (shown["status"], shown["delivery"], shown["remaining_s"]) == ("done", "pending", 0.0)


# 6. Leaks


def test_6_secrets_are_found_nowhere(tmp_path: Path, server: Postgres) -> None:
    """Canaries of every secret: not in logs, databases, repositories, answers, arguments, or requests to the evaluator.

    The model writes one of them into its page, and that page is not published.
    """
    canaries = {
        "SAMEBOAT_FORGE_TOKEN": "canary-forge-41c8aa",
        "SAMEBOAT_REMOTE_API_KEY": "canary-remote-99e2bb",  # pragma: allowlist secret
        "SAMEBOAT_GITHUB_TOKEN": "canary-github-5d07cc",
        "DATABASE_URL": server.database().replace("postgres:@", "postgres:canary-database-77@"),
        "TEST_LEAKS": "canary-forge-41c8aa",
    }
    wanted = [SECRET, *(value for name, value in canaries.items() if name != "DATABASE_URL"), "canary-database-77",
              SIGNING.removeprefix("whsec_")]  # fmt: skip
    state = tmp_path / "state"
    heard: list[bytes] = []
    with evaluator((503, "later")) as judge, service(state, "push:inside", **canaries) as process:
        build = sent(process, brief(judge.url))
        until(lambda: reached(state))
        until(process.alive)
        with process.client() as client:
            assert finished(client, build)["status"] == "done"
            bearer = {"authorization": f"Bearer {SECRET}"}
            wrong = {"authorization": f"Bearer {SECRET[:-1]}"}
            answers = [
                client.get(f"/builds/{build}"),
                client.get(f"/builds/{build}/events"),
                client.get(f"/builds/{build}/exchanges", headers=bearer),
                client.get("/builds", headers=bearer),
                client.get("/builds", headers=wrong),
                client.post("/api-endpoint", json=brief(judge.url, round="x")),
                client.post("/api-endpoint", content=json.dumps(brief(judge.url))[:-1]),
                client.post("/api-endpoint", json=brief(judge.url, secret=SECRET + "x")),
                client.post("/api-endpoint", json=brief(judge.url, evaluation_url=f"nonsense {SECRET}", nonce="n")),
                client.post(
                    "/api-endpoint", json=brief(judge.url, attachments=[{"name": "a", "url": SECRET}], nonce="o")
                ),
            ]
        heard += [answer.content for answer in answers]
        arguments = subprocess.run(["ps", "-eo", "args"], check=True, capture_output=True, timeout=60).stdout
    rows = server.sql("SELECT string_agg(t::text, ' ') FROM sameboat_builds t", canaries["DATABASE_URL"])
    assert build in rows  # it is this database
    dump = subprocess.run(server.dump(canaries["DATABASE_URL"]), check=True, capture_output=True, timeout=60).stdout
    assert build.encode() in dump
    history = b"".join(
        git("--git-dir", str(repository), "log", "-p", "--all", "--text")
        for repository in (state / "repositories").glob("*.git")
    )
    assert b"diff --git" in history
    files = b"".join(path.read_bytes() for path in state.rglob("*") if path.is_file())
    places = {
        "log": process.log.read_bytes(),
        "database": dump,
        "history": history,
        "files": files,
        "answers": b"".join(heard),
        "arguments": arguments,
        "callbacks": b"".join(each.raw + str(each.headers).encode() for each in judge.heard),
    }
    found = [(place, secret) for place, data in places.items() for secret in wanted if secret.encode() in data]
    assert found == []


# 7. Round 2


def test_7_round_two_works_after_a_round_one_that_failed(tmp_path: Path) -> None:
    """A round 1 that published nothing (its attachment held a secret) leaves a repository that round 2 begins."""
    token = "ghp_" + hashlib.sha256(b"made up").hexdigest()[:36]
    leak = base64.b64encode(token.encode()).decode()
    bad = [{"name": "notes.txt", "url": f"data:text/plain;base64,{leak}"}]
    with evaluator() as judge, serving(settings_for(tmp_path / "state"), planner()) as client:
        first = finished(client, posted(client, brief(judge.url, attachments=bad))["job_id"])
        second = finished(client, posted(client, brief(judge.url, round=2, nonce="ab12-2"))["job_id"])
    assert first["status"] == "failed"
    assert "notes.txt:1: a GitHub token" in first["outcome"]["error"]
    assert second["status"] == "done"
    assert [len(history) for history in commits(tmp_path / "state")] == [1]
    assert [each.body["round"] for each in judge.heard] == [2]


# 8. Attachments


def png() -> bytes:
    """A real 2 by 2 image."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = zlib.compress(b"".join(b"\0" + bytes(range(6)) for _ in range(2)))
    head = struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def xlsx() -> bytes:
    """A real workbook's container, with bytes that no text encoding survives."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("[Content_Types].xml", "<Types/>")
        book.writestr("xl/sharedStrings.bin", bytes(range(256)) * 8)
    return held.getvalue()


def test_8_attachments_arrive_byte_for_byte(tmp_path: Path) -> None:
    """Text with CRLF and no last newline, a PNG, an XLSX, in folders too: the same in a clone and on the site."""
    sent_files = {
        "uid.txt": b"5210116c\r\nzweite \xc3\xa4 Zeile ohne Ende",
        "images/sample.png": png(),
        "data.xlsx": xlsx(),
        "latin.txt": "Zürich".encode("latin-1"),
        "empty.txt": b"",
        "build.txt": b"x" * 200_000,
    }
    coded = [
        {"name": name, "url": f"data:application/octet-stream;base64,{base64.b64encode(data).decode()}"}
        for name, data in sent_files.items()
    ]
    with evaluator() as judge, serving(settings_for(tmp_path / "state"), planner()) as client:
        shown = finished(client, posted(client, brief(judge.url, attachments=coded))["job_id"])
        assert shown["status"] == "done"
        git("clone", "-q", shown["outcome"]["repo_url"], str(tmp_path / "clone"))
        site = {name: httpx.get(shown["outcome"]["pages_url"] + name).content for name in sent_files}
    cloned = {name: (tmp_path / "clone" / name).read_bytes() for name in sent_files}
    digests = [{name: hashlib.sha256(data).hexdigest() for name, data in each.items()} for each in (sent_files, cloned)]
    assert digests[0] == digests[1]
    assert site == sent_files


@pytest.mark.parametrize(
    ("attachment", "pointer"),
    [
        ({"name": "a.txt", "url": "https://example.com/a.txt"}, "/attachments/0/url"),
        ({"name": "a.txt", "url": "file:///etc/passwd"}, "/attachments/0/url"),
        ({"name": "a.txt", "url": "data:text/plain;base64,###"}, "/attachments/0/url"),
        ({"name": "../a.txt", "url": "data:,a"}, "/attachments/0/name"),
        ({"name": ".git/hooks/x", "url": "data:,a"}, "/attachments/0/name"),
        ({"name": "a.bin", "url": "data:;base64," + "A" * 14_000_000}, "/attachments/0/url"),
    ],
)
def test_8_an_attachment_that_is_not_one_is_a_422_with_its_pointer(
    tmp_path: Path, attachment: dict[str, str], pointer: str
) -> None:
    """Nothing is fetched, nothing leaves the repository, nothing is larger than 10 MiB, and nothing is stored."""
    with serving(settings_for(tmp_path / "state"), planner()) as client:
        refused = client.post("/api-endpoint", json=brief("http://127.0.0.1:9/", attachments=[attachment]))
        assert refused.status_code == 422
        assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]
        listed = client.get("/builds", headers={"authorization": f"Bearer {SECRET}"})
        assert listed.json() == {"builds": []}


# 9. Models


def test_9_a_model_that_is_away_is_asked_again_and_a_bad_answer_too(tmp_path: Path) -> None:
    """An outage, then an answer that is no plan, then a plan: the build is as good as if nothing had happened."""
    said: list[str | Exception] = [EngineUnavailable("away", retry_after_s=0.1), "{not a plan", json.dumps(PLAN)]

    def stumbling(_: Request) -> Any:
        return said.pop(0)

    with evaluator() as judge, serving(settings_for(tmp_path / "state"), ScriptedEngine(stumbling)) as client:
        build = posted(client, brief(judge.url))["job_id"]
        shown = finished(client, build)
    assert said == []
    assert (shown["status"], shown["outcome"]["maker"]) == ("done", "plan")


def test_9_at_the_end_of_the_budget_the_best_so_far_is_published_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that never answers. The best version is published before the deadline, and says so."""
    monkeypatch.setenv("TEST_ANSWER_S", "600")
    settings = settings_for(tmp_path, build_deadline_s=24)
    with evaluator() as judge, serving(settings, engine_for(tmp_path)) as client:
        answer = posted(client, brief(judge.url))
        shown = finished(client, answer["job_id"])
        page = httpx.get(shown["outcome"]["pages_url"]).text
    assert (shown["status"], shown["delivery"], shown["outcome"]["maker"]) == ("done", "delivered", "none")
    assert judge.heard[0].at_s < answer["deadline"]
    assert "Publish a page that shows the sales." in page


def test_9_an_endless_outage_ends_in_what_there_is(tmp_path: Path) -> None:
    """Every try fails at once: after three the brief itself is published, and the events say why."""

    def away(_: Request) -> Any:
        return EngineUnavailable("away", retry_after_s=0.1)

    with evaluator() as judge, serving(settings_for(tmp_path / "state"), ScriptedEngine(away)) as client:
        build = posted(client, brief(judge.url))["job_id"]
        shown = finished(client, build)
        events = client.get(f"/builds/{build}/events").text
    assert (shown["status"], shown["outcome"]["maker"]) == ("done", "none")
    assert "event: degraded" in events
    assert len(judge.heard) == 1
