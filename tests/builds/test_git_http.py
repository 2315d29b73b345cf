"""Git over HTTP: git's clients work, requests that no client sends are refused cheaply, and a browser sees a page."""

from __future__ import annotations

import gzip
import logging
import os
import socket
import threading
import time
from pathlib import Path

import httpx
import pytest
from dulwich.objects import S_IFGITLINK, Commit, ObjectID, Tree

from service.builds.forge import git_http
from service.builds.forge.git_http import (
    MOST_ASKED_BYTES,
    MOST_WANTS,
    Cancellation,
    RequestTooLarge,
    WorkCancelled,
    check_asked,
    unpacked,
)
from service.builds.forge.local import HEAD, PUBLISHED, LocalForge
from tests.builds.test_local_forge import TOKEN, commit, git, publish, served

ENOUGH = Cancellation(ends=float("inf"))
CAPABILITIES = b"multi_ack_detailed side-band-64k ofs-delta thin-pack"


@pytest.fixture
def forge(tmp_path: Path) -> LocalForge:
    return LocalForge(tmp_path / "repositories", "http://git.invalid", "http://pages.invalid")


@pytest.fixture
def three(forge: LocalForge) -> str:
    """A repository of three commits. Returns the last one's id."""
    publish(forge)
    for number in (2, 3):
        head = forge.ensure("app", "d").head
        tip = forge.push("app", commit({"index.html": b"%d" % number, "a/b.txt": b"x" * number}, head))
    return tip


def line(text: bytes) -> bytes:
    return b"%04x" % (len(text) + 4) + text


def asked(*lines: bytes) -> bytes:
    return b"".join(line(each) for each in lines) + b"0000" + line(b"done\n")


@pytest.mark.parametrize("version", ["0", "1", "2"])
@pytest.mark.parametrize(
    "words",
    [(), ("--depth", "1"), ("--single-branch",), ("--filter=blob:none",), ("--filter=tree:0",), ("--mirror",),
     ("--filter=blob:limit=1k", "--depth", "2"), ("--no-tags",), ("--shallow-submodules",)],
    ids=" ".join,
)  # fmt: skip
def test_every_way_to_clone_checks_out(
    forge: LocalForge, three: str, tmp_path: Path, words: tuple[str, ...], version: str
) -> None:
    """In each protocol version. A partial clone is complete."""
    with served(forge) as url:
        done = git(tmp_path, "-c", f"protocol.version={version}", "clone", "-q", *words, f"{url}/git/app.git", "clone")
        assert done.returncode == 0, done.stderr
        clone = tmp_path / "clone"
        if "--mirror" in words:
            return
        assert git(clone, "rev-parse", "HEAD").stdout.strip() == three
        assert (clone / "a" / "b.txt").read_bytes() == b"xxx"
        assert git(clone, "status", "--porcelain").stdout == ""
        assert git(clone, "fsck").returncode == 0


def test_a_clone_goes_on_from_what_it_has(forge: LocalForge, three: str, tmp_path: Path) -> None:
    """ls-remote, a fetch with haves, a shallow clone that is deepened and made whole, a name without .git."""
    with served(forge) as url:
        assert three in git(tmp_path, "ls-remote", f"{url}/git/app.git").stdout
        assert git(tmp_path, "clone", "-q", "--depth", "1", f"{url}/git/app", "clone").returncode == 0
        clone = tmp_path / "clone"
        counts = []
        for words in ((), ("--depth", "2"), ("--unshallow",)):
            if words:
                done = git(clone, "fetch", "-q", *words)
                assert done.returncode == 0, done.stderr
            counts.append(git(clone, "rev-list", "--count", "HEAD").stdout.strip())
        assert counts == ["1", "2", "3"]
        tip = forge.push("app", commit({"index.html": b"4"}, three))
        done = git(clone, "pull", "-q", "--ff-only")
        assert (done.returncode, git(clone, "rev-parse", "HEAD").stdout.strip()) == (0, tip), done.stderr


def test_a_large_push_that_git_sends_in_chunks_arrives(forge: LocalForge, tmp_path: Path) -> None:
    """Beyond http.postBuffer (1 MiB) git sends a body in chunks, which the server has put together already."""
    publish(forge)
    noise = os.urandom(3_000_000)
    with served(forge) as url:
        assert git(tmp_path, "clone", "-q", f"{url}/git/app.git", "clone").returncode == 0
        clone = tmp_path / "clone"
        (clone / "noise").write_bytes(noise)
        git(clone, "add", "noise")
        git(clone, "commit", "-qm", "two")
        done = git(clone, "push", "-q", token=TOKEN)
    assert done.returncode == 0, done.stderr
    head = forge.ensure("app", "d").head
    assert head is not None
    assert forge.read("app", head)["noise"] == noise


SHA = b"fa26eb443de244d3e5b586bd5f88005e0e091d00"
WANT = b"want " + SHA
ODD = {
    "archive": ("GET", "info/refs?service=git-upload-archive", b""),
    "no service of git": ("GET", "info/refs?service=x", b""),
    "no ASCII": ("GET", "info/refs?service=%C3%A9", b""),
    "post archive": ("POST", "git-upload-archive", b""),
    "no thin-pack": ("POST", "git-upload-pack", asked(WANT + b" side-band-64k ofs-delta\n")),
    "no capabilities": ("POST", "git-upload-pack", asked(WANT + b"\n")),
    "unknown capability": ("POST", "git-upload-pack", asked(WANT + b" " + CAPABILITIES + b" fly\n")),
    "filter": ("POST", "git-upload-pack", asked(WANT + b" " + CAPABILITIES + b" filter\n", b"filter blob:none")),
    "unknown object": ("POST", "git-upload-pack", asked(WANT + b" " + CAPABILITIES + b"\n")),
    "no object": ("POST", "git-upload-pack", asked(b"want x " + CAPABILITIES + b"\n")),
    "text": ("POST", "git-upload-pack", b"hello, git"),
    "odd length": ("POST", "git-upload-pack", b"0001" + b"0003" + b"zzzz"),
    "a length beyond the end": ("POST", "git-upload-pack", b"ffffwant"),
    "deepen by a word": ("POST", "git-upload-pack", asked(WANT + b" " + CAPABILITIES + b" shallow\n", b"deepen x\n")),
    "no command": ("POST", "git-upload-pack", asked(WANT + b" " + CAPABILITIES + b"\n", b"fly away\n")),
    "many wants": ("POST", "git-upload-pack", asked(WANT + b" " + CAPABILITIES + b"\n", *[WANT + b"\n"] * MOST_WANTS)),
    "no repository": ("GET", "../nothing.git/info/refs?service=git-upload-pack", b""),
    "delete": ("DELETE", "info/refs", b""),
}


@pytest.mark.parametrize("case", ODD, ids=str)
def test_what_no_client_sends_is_refused_without_a_traceback(
    forge: LocalForge, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    publish(forge)
    method, path, body = ODD[case]
    with caplog.at_level(logging.WARNING), served(forge) as url:
        headers = {"content-type": "application/x-git-upload-pack-request"}
        answer = httpx.request(method, f"{url}/git/app.git/{path}", content=body, headers=headers)
    assert 400 <= answer.status_code < 500, answer.text
    assert "Traceback" not in caplog.text
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("gzip", gzip.compress(line(WANT + b"\n") * 400_000), 413),
        ("gzip", gzip.compress(b"0000")[:-6], 400),
        ("gzip", b"no gzip", 400),
        ("gzip", gzip.compress(b"0000") * 2, 400),
        ("br", b"x", 415),
        ("gzip, gzip", b"x", 415),
    ],
    ids=["20 MB of wants", "cut", "no gzip", "two", "brotli", "twice"],
)
def test_a_compressed_request_is_bounded_by_what_it_unpacks_to(
    forge: LocalForge, encoding: str, body: bytes, status: int
) -> None:
    publish(forge)
    with served(forge) as url:
        headers = {"content-type": "application/x-git-upload-pack-request", "content-encoding": encoding}
        answer = httpx.post(f"{url}/git/app.git/git-upload-pack", content=body, headers=headers, timeout=20)
    assert answer.status_code == status, answer.text


def test_no_more_is_unpacked_than_may_be() -> None:
    """A gigabyte of zeros costs as much as the limit."""
    bomb = gzip.compress(bytes(MOST_ASKED_BYTES * 64), 9)
    with pytest.raises(RequestTooLarge):
        unpacked(bomb, MOST_ASKED_BYTES, ENOUGH)
    assert unpacked(gzip.compress(b"x" * MOST_ASKED_BYTES), MOST_ASKED_BYTES, ENOUGH) == b"x" * MOST_ASKED_BYTES
    with pytest.raises(RequestTooLarge):
        check_asked(b"x" * (MOST_ASKED_BYTES + 1))


def test_work_ends_when_its_client_is_gone_and_when_its_time_is_over(
    forge: LocalForge, three: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of walking the objects: dulwich asks for no further one."""
    looked, ended = threading.Event(), threading.Event()
    plain = git_http.stoppable

    def slow(repo: object, work: Cancellation) -> None:
        plain(repo, work)
        check = repo.object_store.get_raw  # type: ignore[attr-defined]

        def waits(name: object) -> object:
            looked.set()
            try:
                while True:
                    check(name)
                    time.sleep(0.01)
            except WorkCancelled:
                ended.set()
                raise

        repo.object_store.get_raw = waits  # type: ignore[attr-defined]

    monkeypatch.setattr(git_http, "stoppable", slow)
    body = asked(b"want " + three.encode() + b" " + CAPABILITIES + b"\n")
    headers = {"content-type": "application/x-git-upload-pack-request"}
    with served(forge) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as leaves:
            head = f"POST /git/app.git/git-upload-pack HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
            leaves.sendall(f"{head}content-type: {headers['content-type']}\r\n\r\n".encode() + body)
            assert looked.wait(20)
        assert ended.wait(20), "the thread goes on for nobody"
        monkeypatch.setattr(git_http, "WORK_S", 0.2)
        late = httpx.post(f"{url}/git/app.git/git-upload-pack", content=body, headers=headers, timeout=20)
        assert (late.status_code, late.headers["retry-after"]) == (503, "5")


HOSTILE = "<script>alert(1)</script>&\"'"


@pytest.mark.parametrize("path", ["/git/app.git", "/git/app", "/git/app.git/"])
def test_a_browser_sees_a_page_about_a_repository(forge: LocalForge, path: str) -> None:
    """Files, README, commits, how to clone, where the site is. All of it is text, under a policy without scripts."""
    files = {
        "README.md": f"# Hello\n{HOSTILE}".encode(),
        f"{HOSTILE.replace('/', '')}.txt": b"x",
        "index.html": b"<h1>1</h1>",
    }
    forge.ensure("app", HOSTILE)
    sha = forge.push("app", commit(files))
    with served(forge) as url:
        before = httpx.get(f"{url}{path}", headers={"accept": "text/html"})
        forge.publish("app", sha, 1)
        page = httpx.get(f"{url}{path}", headers={"accept": "text/html"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for told in (
        "# Hello",
        "git clone http://git.invalid/app.git",
        sha[:12],
        "index.html",
        "http://pages.invalid/app/",
    ):
        assert told in page.text
    assert "pages.invalid" not in before.text
    assert "<script" not in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["x-content-type-options"] == "nosniff"


def test_a_file_of_a_repository_is_text_and_never_a_page(forge: LocalForge) -> None:
    publish(forge, files={"index.html": b"<h1>1</h1>", "a b/c.bin": b"\xff\0", "LICENSE": b"MIT"})
    with served(forge) as url:
        page = httpx.get(f"{url}/git/app/files/index.html")
        assert (page.text, page.headers["content-type"]) == ("<h1>1</h1>", "text/plain; charset=utf-8")
        blob = httpx.get(f"{url}/git/app/files/a%20b/c.bin")
        assert (blob.content, blob.headers["content-disposition"]) == (b"\xff\0", "attachment")
        for missing in ("nothing", "a b", "../config", "a b/c.bin/d", "%00"):
            assert httpx.get(f"{url}/git/app/files/{missing}").status_code == 404
        assert httpx.get(f"{url}/git/nothing").status_code == 404


def test_a_submodule_that_somebody_pushed_is_no_file_and_no_error(forge: LocalForge) -> None:
    publish(forge, files={"index.html": b"<h1>1</h1>"})
    with forge.open("app") as repo:
        tip = repo[repo.refs[HEAD]]
        assert isinstance(tip, Commit)
        tree = repo[tip.tree]
        assert isinstance(tree, Tree)
        tree.add(b"part", S_IFGITLINK, ObjectID(b"1" * 40))
        tip.tree = tree.id
        for made in (tree, tip):
            repo.object_store.add_object(made)
        for name in (HEAD, PUBLISHED):
            repo.refs.set_if_equals(name, None, tip.id)
    with served(forge) as url:
        for path in ("git/app/files/part", "git/app/files/part/x", "pages/app/part/", "pages/app/part/x"):
            assert httpx.get(f"{url}/{path}").status_code == 404, path
        assert httpx.get(f"{url}/git/app").status_code == 200
    assert forge.read("app", tip.id.decode()).keys() == {"index.html"}


def test_an_empty_repository_has_a_page_too(forge: LocalForge) -> None:
    forge.ensure("app", "d")
    with served(forge) as url:
        assert "Nothing is pushed yet" in httpx.get(f"{url}/git/app").text
