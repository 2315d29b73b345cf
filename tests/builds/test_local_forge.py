"""The local forge: bare repositories that only go forward, git over HTTP with a token, sites that are always whole."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from service.builds.forge import Commit, ForgeError, git_http, objects
from service.builds.forge.git_http import git_app
from service.builds.forge.local import ABANDONED_S, LocalForge
from service.builds.forge.serve import HEADERS, pages_app
from service.http.quiet_server import QuietServer
from tests.ports import free_port

TOKEN = "forge-token-of-a-test"
FILES = {
    "index.html": b"<h1>1</h1>",
    "a/index.html": b"<h1>a</h1>",
    "a/b.txt": b"x",
    "app.js": b"1",
    "LICENSE": b"MIT",
    "blob": b"\0\1",
    "latin.txt": "é".encode("latin-1"),
    "page.HTML": b"<script>alert(1)</script>",
    "odd name é.txt": b"odd",
    ".nojekyll": b"",
    "data.csv": b"a,b\n",
}


def commit(files: dict[str, bytes], parent: str | None = None, when_s: int = 1_700_000_000) -> Commit:
    return Commit(files, parent, "one\n", when_s, "a", "a@b.invalid")


@pytest.fixture
def forge(tmp_path: Path) -> LocalForge:
    return LocalForge(tmp_path / "repositories", "http://git.invalid", "http://pages.invalid")


@contextlib.contextmanager
def served(forge: LocalForge, token: str | None = TOKEN) -> Iterator[str]:
    """Git under /git, the sites under /pages."""
    port = free_port()
    app = Starlette(routes=[Mount("/git", git_app(forge, token, "/git")), Mount("/pages", pages_app(forge))])
    server = QuietServer(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def publish(forge: LocalForge, name: str = "app", files: dict[str, bytes] | None = None) -> str:
    head = forge.ensure(name, "d").head
    sha = forge.push(name, commit(files or FILES, head))
    forge.publish(name, sha, 1)
    return sha


# Repositories


def test_the_same_commit_has_the_same_sha_and_history_only_goes_forward(forge: LocalForge) -> None:
    """Pushed twice it is one commit. A commit beside the branch is refused. A second round's parent is the first's."""
    forge.ensure("app", "d")
    first = commit(FILES)
    sha = forge.push("app", first)
    assert forge.push("app", first) == sha == forge.ensure("app", "d").head
    assert forge.read("app", sha) == first.files
    with pytest.raises(ForgeError, match="never rewritten"):
        forge.push("app", commit({"index.html": b"2"}))
    second = commit({"index.html": b"2"}, sha)
    assert forge.push("app", second) == forge.ensure("app", "d").head
    forge.publish("app", sha, 1)
    page = forge.published("app", "")
    assert page is not None
    assert page.data == FILES["index.html"]
    assert forge.published("app", "missing") is None


def test_git_itself_finds_nothing_wrong(forge: LocalForge) -> None:
    """`git fsck --strict` on a repository that was written object by object."""
    publish(forge)
    done = subprocess.run(
        ["git", "--git-dir", str(forge.path("app")), "fsck", "--strict", "--full"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, ""), done


def test_a_death_while_a_repository_is_made_leaves_no_half_of_one(forge: LocalForge) -> None:
    """A begun repository is thrown away. One exists whole or not at all."""
    for folder in ("objects/info", "refs/heads", "branches"):
        (forge.path("app").with_suffix(".new") / folder).mkdir(parents=True)
    assert forge.ensure("app", "d").head is None
    assert publish(forge) == forge.ensure("app", "d").head


@pytest.mark.parametrize("name", ["../app", "a/b", "", ".", "..", "App", "a.git", "-a", "a\0", "a" * 101, "a\n"])
def test_a_name_that_is_none_is_refused(forge: LocalForge, name: str) -> None:
    """Before it is a path."""
    with pytest.raises(ForgeError, match="not a repository's name"):
        forge.ensure(name, "d")


def locked(forge: LocalForge, name: str, age_s: float) -> list[Path]:
    """Git's locks as a writer leaves them: of both refs and of an object, made so many seconds ago."""
    path = forge.path(name)
    sha = objects.objects_of(commit(FILES)).commit.id.decode()
    places = [
        path / f"{part}.lock" for part in ("refs/heads/main", "refs/sameboat/published", f"objects/{sha[:2]}/{sha[2:]}")
    ]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
        os.utime(place, (time.time() - age_s, time.time() - age_s))
    return places


KILLED = """
import os, signal, sys
from pathlib import Path
from service.builds.forge.local import LocalForge

forge = LocalForge(Path(sys.argv[1]), "http://git.invalid", "http://pages.invalid")
with forge.only_writer("app"):
    for place in sys.argv[2:]:
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        Path(place).touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_writer(forge: LocalForge) -> None:
    """A process that is killed while it holds the forge's lock and git's locks."""
    places = locked(forge, "app", 0)
    for place in places:
        place.unlink()
    done = subprocess.run([sys.executable, "-c", KILLED, str(forge.root), *map(str, places)])
    assert done.returncode == -signal.SIGKILL
    assert all(place.exists() for place in places)


def test_the_locks_of_a_writer_that_was_killed_stop_nobody(forge: LocalForge, tmp_path: Path) -> None:
    """Neither the build that goes on nor the next round nor a person's push, and without any waiting."""
    forge.ensure("app", "d")
    killed_writer(forge)
    first = publish(forge)
    killed_writer(forge)
    second = publish(forge, files=FILES | {"app.js": b"2"})
    page = forge.published("app", "app.js")
    assert (page.data if page else None) == b"2"
    with served(forge) as url:
        git(tmp_path, "clone", "--quiet", f"{url}/git/app.git", "theirs")
        git(tmp_path / "theirs", "commit", "--quiet", "--allow-empty", "--message", "theirs")
        killed_writer(forge)
        pushed = git(tmp_path / "theirs", "push", "--quiet", "origin", "HEAD:main", token=TOKEN)
    assert pushed.returncode == 0, pushed.stderr
    assert git(forge.path("app"), "rev-list", "main").stdout.split()[1:] == [second, first]


@pytest.mark.parametrize("age_s", [0.0, ABANDONED_S / 2])
def test_a_lock_that_another_program_may_hold_is_waited_for(forge: LocalForge, age_s: float) -> None:
    """However slow the other program is, up to the time after which a lock counts as abandoned."""
    forge.ensure("app", "d")
    places = locked(forge, "app", age_s)
    for _ in range(2):
        with pytest.raises(ForgeError, match="Somebody else is writing") as refused:
            forge.push("app", commit(FILES))
        assert refused.value.wait_s
    assert all(place.exists() for place in places)


def test_a_lock_that_no_program_can_still_hold_is_removed(forge: LocalForge) -> None:
    forge.ensure("app", "d")
    locked(forge, "app", 2 * ABANDONED_S)
    publish(forge)


def test_a_build_waits_for_a_push_over_http_however_long_it_takes(forge: LocalForge, tmp_path: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """The push holds git's lock for longer than any age would allow, and nobody removes it."""
    first = publish(forge)
    begun, go_on = threading.Event(), threading.Event()
    plain = git_http._dulwich

    def slow(*words: Any, pushes: bool) -> Any:
        if pushes and words[1]["PATH_INFO"].endswith("git-receive-pack"):
            lock = locked(forge, "app", 2 * ABANDONED_S)[0]
            begun.set()
            assert go_on.wait(30)
            assert lock.exists(), "the build removed the lock of a push that goes on"
            for place in locked(forge, "app", 0):
                place.unlink()
        return plain(*words, pushes=pushes)

    monkeypatch.setattr(git_http, "_dulwich", slow)
    with served(forge) as url, ThreadPoolExecutor() as threads:
        git(tmp_path, "clone", "--quiet", f"{url}/git/app.git", "theirs")
        git(tmp_path / "theirs", "commit", "--quiet", "--allow-empty", "--message", "theirs")
        theirs = threads.submit(git, tmp_path / "theirs", "push", "--quiet", "origin", "HEAD:main", token=TOKEN)
        assert begun.wait(30)
        ours = threads.submit(forge.push, "app", commit(FILES | {"app.js": b"2"}, first))
        with pytest.raises(TimeoutError):
            ours.result(0.3)
        go_on.set()
        assert theirs.result(30).returncode == 0
        with pytest.raises(ForgeError, match="history is never rewritten"):
            ours.result(30)


# Git over HTTP


def git(folder: Path, *words: str, token: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Real git. The token travels in the environment, never in the arguments."""
    values = {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    if token is not None:
        coded = base64.b64encode(f"x:{token}".encode()).decode()
        values |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "http.extraHeader"}
        values["GIT_CONFIG_VALUE_0"] = f"Authorization: Basic {coded}"
    who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b.invalid"}
    who |= {name.replace("AUTHOR", "COMMITTER"): value for name, value in who.items()}
    return subprocess.run(
        ["git", "-C", str(folder), *words],
        env={**os.environ, **values, **who, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_anyone_clones_and_only_the_token_pushes(forge: LocalForge, tmp_path: Path) -> None:
    """Real git, real HTTP: without a token and with a wrong one nothing changes. With it the branch moves."""
    sha = publish(forge)
    with served(forge) as url:
        assert git(tmp_path, "clone", "-q", f"{url}/git/app.git", "clone").returncode == 0
        clone = tmp_path / "clone"
        assert {path: (clone / path).read_bytes() for path in FILES} == FILES
        (clone / "index.html").write_bytes(b"mine" * 300_000)  # more than is kept in memory
        assert git(clone, "commit", "-qam", "two").returncode == 0
        for token in (None, "wrong"):
            refused = git(clone, "push", "-q", token=token)
            assert refused.returncode != 0
            assert forge.ensure("app", "d").head == sha
        assert git(clone, "push", "-q", token=TOKEN).returncode == 0
        head = git(clone, "rev-parse", "HEAD").stdout.strip()
        assert forge.ensure("app", "d").head == head
        assert forge.read("app", head)["index.html"] == b"mine" * 300_000
        page = forge.published("app", "")
        assert page is not None
        assert page.data == FILES["index.html"]  # a push publishes nothing by itself


def test_without_a_token_in_the_settings_nobody_pushes(forge: LocalForge, tmp_path: Path) -> None:
    """Read-only, whatever is sent along."""
    publish(forge)
    with served(forge, None) as url:
        assert git(tmp_path, "clone", "-q", f"{url}/git/app.git", "clone").returncode == 0
        assert git(tmp_path / "clone", "push", "-q", "origin", "HEAD:refs/heads/x", token="").returncode != 0
        assert httpx.post(f"{url}/git/app.git/git-receive-pack").status_code == 403


@pytest.mark.parametrize(
    "header",
    ["", "Basic", "Basic ###", "Basic \xe9", "Basic " + base64.b64encode(b"no colon").decode(), "Bearer",
     "Bearer wrong", "Digest " + TOKEN, "Basic " + base64.b64encode(TOKEN.encode() + b":").decode(), TOKEN],
)  # fmt: skip
def test_a_header_that_is_not_the_token_is_401(forge: LocalForge, header: str) -> None:
    """And says how one would identify oneself."""
    publish(forge)
    with served(forge) as url:
        for path in ("info/refs?service=git-receive-pack", "git-receive-pack"):
            method = "GET" if "?" in path else "POST"
            answer = httpx.request(
                method, f"{url}/git/app.git/{path}", headers=[(b"authorization", header.encode("latin-1"))]
            )
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == 'Basic realm="forge"'
        encoded = "info/refs?service=git%2Dreceive-pack"  # the same for a server that decodes it
        assert httpx.get(f"{url}/git/app.git/{encoded}").status_code == 401


def raw(url: str, path: str) -> tuple[int, bytes]:
    """The answer to a path exactly as it is written, which no client library would send."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as line:
        line.sendall(f"GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: line.recv(65536), b""))
    return int(answer.split()[1]), answer.partition(b"\r\n\r\n")[2]


WAYS_OUT = [
    "..",
    "%2e%2e",
    "..%2f",
    "%2e%2e%2f",
    "..%5c",
    "....//",
    "%252e%252e",
    "..;",
    "%c0%ae%c0%ae",
    "./..",
    "\\..",
]


@pytest.mark.parametrize("way", WAYS_OUT)
def test_no_path_leads_out_of_a_repository(forge: LocalForge, tmp_path: Path, way: str) -> None:
    """Neither over git nor as a page: files beside the repositories are never in an answer."""
    canary = b"canary-beside-the-repositories"
    publish(forge)
    for place in (tmp_path / "secret.txt", forge.root / "secret.txt", forge.path("app") / "secret.txt"):
        place.write_bytes(canary)
    with served(forge) as url:
        for room in ("/git/app.git", "/git", "/pages/app", "/pages/app/a", "/pages"):
            for depth in range(1, 5):
                for rest in ("secret.txt", "repositories/secret.txt", "app.git/HEAD", "app.git/config"):
                    status, body = raw(url, f"{room}/{'/'.join([way] * depth)}/{rest}")
                    assert canary not in body
                    if "/pages" in room:
                        assert b"refs/heads" not in body
                        assert status in (301, 400, 404), (status, body)


@pytest.mark.parametrize("path", ["config", "secret.txt", "refs/sameboat/published", "hooks/x", "objects/../config"])
def test_of_a_repository_only_what_git_needs_is_served(forge: LocalForge, path: str) -> None:
    """Not its files as they lie on the disk."""
    publish(forge)
    (forge.path("app") / "secret.txt").write_text("canary")
    with served(forge) as url:
        assert raw(url, f"/git/app.git/{path}")[0] == 404
        assert raw(url, "/git/nothing.git/info/refs")[0] == 404


# Sites


@pytest.mark.parametrize(
    ("path", "kind", "data"),
    [
        ("", "text/html; charset=utf-8", b"<h1>1</h1>"),
        ("index.html", "text/html; charset=utf-8", b"<h1>1</h1>"),
        ("a/", "text/html; charset=utf-8", b"<h1>a</h1>"),
        ("a/b.txt", "text/plain; charset=utf-8", b"x"),
        ("app.js", "text/javascript; charset=utf-8", b"1"),
        ("LICENSE", "text/plain; charset=utf-8", b"MIT"),
        ("data.csv", "text/csv; charset=utf-8", b"a,b\n"),
        ("blob", "application/octet-stream", b"\0\1"),
        (".nojekyll", "text/plain; charset=utf-8", b""),
        ("odd%20name%20%C3%A9.txt", "text/plain; charset=utf-8", b"odd"),
    ],
)
def test_a_file_is_served_as_what_it_is(forge: LocalForge, path: str, kind: str, data: bytes) -> None:
    """By its name, the same on every machine, never guessed from its content, and with the whole policy."""
    publish(forge)
    with served(forge) as url:
        answer = httpx.get(f"{url}/pages/app/{path}")
        again = httpx.get(f"{url}/pages/app/{path}", headers={"if-none-match": answer.headers["etag"]})
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, kind, data)
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert (again.status_code, again.content) == (304, b"")


def test_the_policy_keeps_a_page_from_this_machine(forge: LocalForge) -> None:
    """No plain http, so not the service on its own port. No framing, nothing sniffed, also with a 404."""
    publish(forge)
    with served(forge) as url:
        for path in ("", "missing", "../x"):
            headers = httpx.get(f"{url}/pages/app/{path}", follow_redirects=True).headers
            policy = headers["content-security-policy"]
            assert "http:" not in policy
            assert "*" not in policy
            assert "frame-ancestors 'none'" in policy
            assert "object-src 'none'" in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert "set-cookie" not in headers


def test_folders_and_missing_pages_answer_as_on_github(forge: LocalForge) -> None:
    """A folder without its slash redirects, else its relative links break. A site's 404.html is its 404."""
    publish(forge, files={**FILES, "404.html": b"<h1>gone</h1>", "odd? #ä/index.html": b"odd"})
    with served(forge) as url:
        assert httpx.get(f"{url}/pages/app/odd%3F%20%23%C3%A4", follow_redirects=True).content == b"odd"
        moved = httpx.get(f"{url}/pages/app/a")
        assert (moved.status_code, moved.headers["location"]) == (301, "/pages/app/a/")
        assert httpx.get(f"{url}/pages/app", follow_redirects=True).content == b"<h1>1</h1>"
        gone = httpx.get(f"{url}/pages/app/x/y")
        assert (gone.status_code, gone.content) == (404, b"<h1>gone</h1>")
        for missing in ("nothing/", "App/", "app/a/b.txt/c", "%00/"):
            assert httpx.get(f"{url}/pages/{missing}").status_code == 404
        assert httpx.post(f"{url}/pages/app/").status_code == 405


def test_whoever_reads_while_it_is_published_sees_one_version_or_the_next(forge: LocalForge) -> None:
    """Four readers, thirty publications: each answer is a whole file of a published version, and no version returns."""
    versions = {f"{number:04d}" * 2000: number for number in range(30)}
    stop, seen, problems = threading.Event(), [list[int]() for _ in range(4)], list[Any]()
    head = None
    forge.ensure("app", "d")
    shas: list[str] = []
    for text in versions:
        head = forge.push("app", commit({"index.html": text.encode(), "v/x.txt": text.encode()}, head))
        shas.append(head)
    forge.publish("app", shas[0], 1)

    def read(number: int) -> None:
        while not stop.is_set():
            for path in ("", "v/x.txt"):
                page = forge.published("app", path)
                if page is None or page.data.decode() not in versions:
                    problems.append(page)
                else:
                    seen[number].append(versions[page.data.decode()])

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for sha in shas:
        forge.publish("app", sha, 1)
        time.sleep(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    assert problems == []
    assert all(each == sorted(each) and each for each in seen)
    assert len({version for each in seen for version in each}) > 1
