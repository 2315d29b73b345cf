"""A stateful fake GitHub on a port: the routes that the forge uses, real bare repositories behind them, and faults.

Its answers have the shape of every required field that GitHub documents. If `contract` is given, each request and each
answer is checked against GitHub's published OpenAPI, and `broken` keeps the differences. A fault switches one
route to another answer, to slowness, to a connection that is cut before or after the write was applied, or to an
action of the test, such as a SIGKILL. Published sites are served under `/sites/OWNER/NAME/`.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from dulwich.objects import Blob, Commit, Tree

from tests.servers import github_answers as answers
from tests.servers.github_state import Problem, Remote, World

TOKEN = "github_pat_" + "canary7" * 10
Reply = tuple[int, Any]


class Contract(Protocol):
    """Checks requests and answers, as `github_contract.Contract` does."""

    def request(self, method: str, path: str, body: Any) -> list[str]: ...

    def answer(self, method: str, path: str, status: int, data: Any) -> list[str]: ...


@dataclass
class Seen:
    """One request."""

    at_s: float
    method: str
    path: str
    query: str
    body: Any
    authorization: str
    status: int | None = None


@dataclass
class Fault:
    """The fault of the next `times` requests with a method and a matching path."""

    method: str
    path: str
    times: int = 1
    status: int | None = None  # answered instead
    message: str = "made up"
    headers: tuple[tuple[str, str], ...] = ()
    cut: bool = False  # no answer at all
    applied: bool = False  # for `status` and `cut`: the request is carried out first
    slow_s: float = 0.0
    do: Callable[[], None] | None = None  # called when the request was carried out, before its answer


class FakeGitHub:
    """The server's state, for tests to look at and to change."""

    def __init__(self, root: Path, now: Callable[[], float], contract: Contract | None, token: str) -> None:
        self.world = World(root, now)
        self.now = now
        self.contract = contract
        self.token = token
        self.user = "octocat"
        self.missing: set[str] = set()  # permissions that the token has not: contents, administration, pages, workflows
        self.url = ""
        self.seen: list[Seen] = []
        self.broken: list[str] = []
        self.faults: list[Fault] = []
        self.writers = 0  # at this moment
        self.most_writers = 0
        self.lock = threading.RLock()

    def fault(self, method: str, path: str, **what: Any) -> None:
        """The next matching request fails as told. `path` is a regular expression."""
        self.faults.append(Fault(method, path, **what))

    def writes(self) -> list[str]:
        """Method and path of everything that changed or tried to change something."""
        return [f"{each.method} {each.path}" for each in self.seen if each.method != "GET"]

    def repo(self, name: str, owner: str = "octocat") -> Remote:
        return self.world.find(owner, name)

    # One request

    def take_fault(self, method: str, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.times > 0 and fault.method == method and re.search(fault.path, path):
                fault.times -= 1
                return fault
        return None

    def handle(self, seen: Seen) -> tuple[int, Any, dict[str, str]]:
        try:
            if seen.authorization != f"Bearer {self.token}":
                raise Problem(401, "Bad credentials")
            if self.contract is not None:
                self.broken += self.contract.request(seen.method, seen.path, seen.body)
            status, data = self.route(seen)
            headers: dict[str, str] = {}
        except Problem as problem:
            status, headers = problem.status, problem.headers
            data = {"message": problem.message, "documentation_url": "https://docs.github.com/rest"}
            if problem.errors:
                data["errors"] = list(problem.errors)
        if self.contract is not None:
            self.broken += self.contract.answer(seen.method, seen.path, status, data)
        return status, data, headers

    def route(self, seen: Seen) -> Reply:
        for route in ROUTES:
            if route.method == seen.method and (match := re.fullmatch(route.pattern, seen.path)):
                with self.lock:
                    return self.walked(route, seen, [unquote(part) for part in match.groups()])
        raise Problem(404, "Not Found")

    def walked(self, route: Route, seen: Seen, parts: list[str]) -> Reply:
        """The answer of the route's function, after its permission, its repository and a commit in it were found."""
        if route.needs:
            self.need(route.needs)
        if not route.pattern.startswith(REPO):
            return route.work(self, seen, *parts)
        remote = self.world.find(*parts[:2])
        if "/git/" in route.pattern and seen.method != "PATCH":
            remote.not_empty()
        return route.work(self, seen, remote, *parts[2:])

    def need(self, permission: str) -> None:
        if permission in self.missing:
            said = "Resource not accessible by personal access token"
            raise Problem(403, said, x_accepted_github_permissions=f"{permission}=write")


@dataclass
class Route:
    """One route. A function below a repository's path gets the repository. `needs` is the permission of the token."""

    method: str
    pattern: str
    needs: str
    work: Callable[..., Reply]


ROUTES: list[Route] = []
REPO = r"/repos/([^/]+)/([^/]+)"
SHA = "([0-9a-f]{40})"
HEADS = "heads(?:/|%2F)([^/]+)"


def at(method: str, pattern: str, needs: str = "") -> Callable[[Callable[..., Reply]], Callable[..., Reply]]:
    def register(work: Callable[..., Reply]) -> Callable[..., Reply]:
        ROUTES.append(Route(method, pattern, needs, work))
        return work

    return register


@at("GET", "/user")
def user(fake: FakeGitHub, seen: Seen) -> Reply:
    if fake.token.startswith("ghs_"):
        raise Problem(403, "Resource not accessible by integration")
    return 200, answers.private_user(fake.url, fake.user)


@at("GET", "/users/([^/]+)")
def users(fake: FakeGitHub, seen: Seen, login: str) -> Reply:
    for known, kind in fake.world.accounts.items():
        if known.lower() == login.lower():
            return 200, answers.public_user(fake.url, known, kind)
    raise Problem(404, "Not Found")


@at("POST", "/user/repos")
def create(fake: FakeGitHub, seen: Seen) -> Reply:
    if fake.token.startswith("ghs_"):  # enabledForGitHubApps: false
        raise Problem(403, "Resource not accessible by integration")
    fake.need("administration")
    return 201, answers.repository(fake.url, fake.world.create(fake.user, seen.body))


@at("POST", "/orgs/([^/]+)/repos", needs="administration")
def create_in(fake: FakeGitHub, seen: Seen, org: str) -> Reply:
    if fake.world.accounts.get(org) != "Organization":
        raise Problem(404, "Not Found")
    return 201, answers.repository(fake.url, fake.world.create(org, seen.body))


@at("GET", REPO)
def repository(fake: FakeGitHub, seen: Seen, remote: Remote) -> Reply:
    return 200, answers.repository(fake.url, remote)


@at("PUT", REPO + "/contents/(.+)", needs="contents")
def contents(fake: FakeGitHub, seen: Seen, remote: Remote, path: str) -> Reply:
    if remote.head() is not None or path != "README.md":
        raise Problem(422, 'Invalid request.\n\n"sha" wasn\'t supplied.')
    sha = fake.world.begin(remote, base64.b64decode(seen.body["content"]))
    return 201, answers.file_commit(fake.url, remote, path, remote.object(sha, Commit))


@at("GET", REPO + "/git/ref/" + HEADS)
def ref(fake: FakeGitHub, seen: Seen, remote: Remote, branch: str) -> Reply:
    if branch != remote.branch:
        raise Problem(404, "Not Found")
    return 200, answers.ref(fake.url, remote)


@at("PATCH", REPO + "/git/refs/" + HEADS, needs="contents")
def move(fake: FakeGitHub, seen: Seen, remote: Remote, branch: str) -> Reply:
    if branch != remote.branch:
        raise Problem(422, "Reference does not exist")
    before = remote.head()
    remote.move(seen.body["sha"], bool(seen.body.get("force")))
    legacy = remote.pages is not None and remote.pages["build_type"] == "legacy"
    if legacy and remote.head() != before and not fake.world.timing.ignores_pushes:
        remote.begin_build(fake.now(), fake.world.timing)
    return 200, answers.ref(fake.url, remote)


@at("GET", REPO + "/git/commits/" + SHA)
def commit(fake: FakeGitHub, seen: Seen, remote: Remote, sha: str) -> Reply:
    return 200, answers.commit(fake.url, remote, remote.object(sha, Commit))


@at("POST", REPO + "/git/commits", needs="contents")
def new_commit(fake: FakeGitHub, seen: Seen, remote: Remote) -> Reply:
    sha = remote.add_commit(seen.body, fake.now(), fake.user)
    return 201, answers.commit(fake.url, remote, remote.object(sha, Commit))


@at("GET", REPO + "/git/trees/" + SHA)
def tree(fake: FakeGitHub, seen: Seen, remote: Remote, sha: str) -> Reply:
    deep = "recursive" in parse_qs(seen.query)
    return 200, answers.tree(fake.url, remote, remote.object(sha, Tree), deep)


@at("POST", REPO + "/git/trees", needs="contents")
def new_tree(fake: FakeGitHub, seen: Seen, remote: Remote) -> Reply:
    if any(entry["path"].startswith(".github/workflows/") for entry in seen.body["tree"]):
        fake.need("workflows")
    sha = remote.add_tree(seen.body["tree"], seen.body.get("base_tree"))
    return 201, answers.tree(fake.url, remote, remote.object(sha, Tree), False)


@at("GET", REPO + "/git/blobs/" + SHA)
def blob(fake: FakeGitHub, seen: Seen, remote: Remote, sha: str) -> Reply:
    return 200, answers.blob(fake.url, remote, remote.object(sha, Blob))


@at("POST", REPO + "/git/blobs", needs="contents")
def new_blob(fake: FakeGitHub, seen: Seen, remote: Remote) -> Reply:
    text = seen.body["content"]
    sha = remote.add_blob(base64.b64decode(text) if seen.body.get("encoding") == "base64" else text.encode())
    return 201, {"sha": sha, "url": f"{fake.url}/repos/{remote.full_name}/git/blobs/{sha}"}


@at("GET", REPO + "/pages")
def pages(fake: FakeGitHub, seen: Seen, remote: Remote) -> Reply:
    if remote.pages is None:
        raise Problem(404, "Not Found")
    return 200, answers.page(fake.url, remote, fake.now())


@at("POST", REPO + "/pages", needs="pages")
def pages_on(fake: FakeGitHub, seen: Seen, remote: Remote) -> Reply:
    if remote.pages is not None:
        raise Problem(409, "GitHub Pages is already enabled.")
    if seen.body.get("source", {}).get("branch", remote.branch) != remote.branch or remote.head() is None:
        raise Problem(422, "The branch must exist before GitHub Pages can be built.")
    remote.pages = {"build_type": seen.body.get("build_type", "legacy"), "source": seen.body.get("source")}
    if remote.pages["build_type"] == "legacy":
        remote.begin_build(fake.now(), fake.world.timing)
    return 201, answers.page(fake.url, remote, fake.now())


@at("PUT", REPO + "/pages", needs="pages")
def pages_change(fake: FakeGitHub, seen: Seen, remote: Remote) -> Reply:
    if remote.pages is None:
        raise Problem(404, "Not Found")
    remote.pages.update(seen.body)  # and queues no build
    return 204, None


@at("GET", REPO + "/pages/builds/latest")
def latest(fake: FakeGitHub, seen: Seen, remote: Remote) -> Reply:
    if not remote.builds:
        raise Problem(404, "Not Found")
    return 200, answers.page_build(fake.url, remote, remote.builds[-1], fake.now())


@at("POST", REPO + "/pages/builds", needs="pages")
def rebuild(fake: FakeGitHub, seen: Seen, remote: Remote) -> Reply:
    if remote.pages is None:
        raise Problem(404, "Not Found")
    remote.begin_build(fake.now(), fake.world.timing)
    return 201, {"url": f"{fake.url}/repos/{remote.full_name}/pages/builds/latest", "status": "queued"}


@at("GET", REPO + "/deployments")
def deployments(fake: FakeGitHub, seen: Seen, remote: Remote) -> Reply:
    wanted = parse_qs(seen.query).get("sha", [""])[0]
    return 200, [
        answers.deployment(fake.url, remote, deployment)
        for deployment in remote.deployments
        if deployment["sha"] == wanted
    ]


@at("GET", REPO + r"/deployments/(\d+)/statuses")
def deployment_statuses(fake: FakeGitHub, seen: Seen, remote: Remote, number: str) -> Reply:
    for deployment in remote.deployments:
        if deployment["id"] == int(number):
            return 200, [
                answers.deployment_status(fake.url, remote, deployment, state) for state in deployment["states"]
            ]
    raise Problem(404, "Not Found")


class Handler(BaseHTTPRequestHandler):
    """HTTP around the fake."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # header and body are two writes, and the second must not wait 40 ms for the first
    fake: FakeGitHub

    def do_GET(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        parts = urlsplit(self.path)
        if parts.path.startswith("/sites/"):
            return self._site(parts.path)
        body = json.loads(raw) if raw else None
        seen = Seen(self.fake.now(), self.command, parts.path, parts.query, body, self.headers.get("authorization", ""))
        self.fake.seen.append(seen)
        self._answer(seen)
        return None

    do_POST = do_PUT = do_PATCH = do_GET  # noqa: N815

    def _answer(self, seen: Seen) -> None:
        fault = self.fake.take_fault(seen.method, seen.path)
        status, data, headers = 0, None, {}
        with self._counted(seen.method != "GET"):
            if fault is None or fault.applied or fault.do is not None or fault.slow_s:
                status, data, headers = self.fake.handle(seen)
            if fault is not None:
                time.sleep(fault.slow_s)
                if fault.do is not None:
                    fault.do()
        if fault is not None and fault.cut:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        if fault is not None and fault.status is not None:
            status, data, headers = fault.status, {"message": fault.message}, dict(fault.headers)
        seen.status = status
        self._send(status, b"" if status == 204 else json.dumps(data).encode(), "application/json", headers)

    @contextlib.contextmanager
    def _counted(self, writes: bool) -> Iterator[None]:
        """How many writers there are at a time. A writer leaves before it gets its answer."""
        with self.fake.lock:
            self.fake.writers += writes
            self.fake.most_writers = max(self.fake.most_writers, self.fake.writers)
        try:
            yield
        finally:
            with self.fake.lock:
                self.fake.writers -= writes

    def _site(self, path: str) -> None:
        _, _, owner, name, *rest = unquote(path).split("/")
        status = 404
        try:
            forbids = self.fake.world.timing.forbids
            data = self.fake.world.find(owner, name).served("/".join(rest), self.fake.now(), forbids)
            if data is not None:
                return self._send(200, data, "text/html", {})
        except Problem as problem:
            status = problem.status
        return self._send(status, b"There is no GitHub Pages site here.", "text/html", {})

    def _send(self, status: int, data: bytes, kind: str, headers: dict[str, str]) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            if status != 204:
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # kept-alive connections of clients that died must not hold the test


@contextlib.contextmanager
def github(
    root: Path,
    *,
    now: Callable[[], float] = time.time,
    contract: Contract | None = None,
    token: str = TOKEN,
) -> Iterator[FakeGitHub]:
    """Serve until the end."""
    fake = FakeGitHub(root, now, contract, token)
    with _Server(("127.0.0.1", 0), type("Bound", (Handler,), {"fake": fake})) as server:
        fake.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join()
