"""Git over smart HTTP: clone by anyone, push with the forge's token, and a page about a repository for browsers.

In: requests under `/git`. Out: dulwich's responses. The cost of a request is bounded in unpacked bytes, lines, seconds
and threads. The work ends when its client is gone. A request that dulwich cannot read is answered with 400.

Not here: connections and request bodies (`http`), the content of the page (`repository_page`).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import io
import logging
import re
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import parse_qs

import anyio
import anyio.to_thread
from dulwich.errors import FileFormatException, GitProtocolError, NotGitRepository, ObjectFormatException
from dulwich.protocol import CAPABILITY_FILTER
from dulwich.repo import Repo
from dulwich.server import Backend, BackendRepo, UploadPackHandler
from dulwich.web import make_wsgi_chain
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.builds.forge import ForgeError, repository_page
from service.builds.forge.local import NAME, LocalForge

log = logging.getLogger("sameboat.git")

THREADS = 4  # git requests that are computed at the same time
MOST_WAITING = 16
AGAIN_S = 5
WORK_S = 60.0
"""Seconds for one request. The largest repositories here take well under a second."""
MOST_ASKED_BYTES = 1_048_576
"""Wants and haves of one request, unpacked. Git itself sends at most some thousand lines of 50 bytes."""
MOST_WANTS = 1024
MOST_PUSHED_BYTES = 268_435_456  # unpacked
IN_MEMORY_BYTES = 1_048_576
PIECE_BYTES = 65_536
NEEDS = (b"side-band-64k", b"thin-pack", b"ofs-delta")
"""Without these dulwich does not send a pack."""
UNREADABLE = (
    GitProtocolError, ObjectFormatException, FileFormatException, AssertionError, KeyError, ValueError, zlib.error,
)  # fmt: skip
"""The errors that dulwich raises for a request that it cannot read."""
PATH = re.compile(
    rf"/(?P<name>{NAME.pattern})(?:\.git)?"
    r"(?:/?|/(?P<rest>info/refs|git-upload-pack|git-receive-pack|HEAD|objects/[\w./-]+)|/files/(?P<file>.+))"
)


class WorkCancelled(Exception):
    """The work must end: its client has gone, or its time is over."""


@dataclass
class Cancellation:
    """Tells the thread of one request to stop. `ends` is in monotonic seconds."""

    ends: float
    left: bool = False

    def check(self) -> None:
        """Called wherever the work reads, writes or looks at an object.

        Raises:
            WorkCancelled: if the work must end.
        """
        if self.left or time.monotonic() > self.ends:
            raise WorkCancelled


@dataclass
class GitResponse:
    """A response: status, headers and a file with the body."""

    status: int
    headers: list[tuple[str, str]]
    body: IO[bytes]


class UploadPack(UploadPackHandler):  # type: ignore[misc]
    """dulwich's handler without `filter`. A partial clone asks for objects by id later, which is not served.

    Without the offer a client makes a full clone.
    """

    def capabilities(self) -> list[bytes]:
        """The capabilities that are offered to a client."""
        return [offered for offered in super().capabilities() if offered != CAPABILITY_FILTER]

    def set_client_capabilities(self, caps: Iterable[bytes]) -> None:
        """The client's capabilities. Git names `filter` even if it was not offered, and then sends no filter."""
        super().set_client_capabilities([named for named in caps if named != CAPABILITY_FILTER])


class _Backend(Backend):  # type: ignore[misc]
    """dulwich's view of the forge for one request."""

    def __init__(self, forge: LocalForge, work: Cancellation) -> None:
        self.forge = forge
        self.work = work
        self._opened: list[Repo] = []

    def open_repository(self, path: bytes | str) -> BackendRepo:
        """The repository of `/NAME.git`.

        Raises:
            NotGitRepository: if there is none.
        """
        text = path.decode() if isinstance(path, bytes) else path
        try:
            repo = self.forge.open(text.strip("/").removesuffix(".git"))
        except ForgeError:
            raise NotGitRepository(text) from None
        self._opened.append(repo)
        stoppable(repo, self.work)
        backend: BackendRepo = repo
        return backend

    def close(self) -> None:
        """Close the opened repositories. A repository holds its packs open."""
        for repo in self._opened:
            repo.close()


def stoppable(repo: Repo, work: Cancellation) -> None:
    """Check for cancellation at each object that is read. Walking a history does little else."""
    store, plain = repo.object_store, repo.object_store.get_raw

    def get_raw(name: Any) -> Any:
        work.check()
        return plain(name)

    setattr(store, "get_raw", get_raw)  # noqa: B010  (dulwich has no hook for it)


class _Input(io.BytesIO):
    """A request body. Reading it checks for cancellation."""

    def __init__(self, data: bytes, work: Cancellation) -> None:
        super().__init__(data)
        self.work = work

    def read(self, size: int | None = -1, /) -> bytes:
        """Read like any file. Raises WorkCancelled."""
        self.work.check()
        return super().read(size)


def git_app(forge: LocalForge, token: str | None, root: str) -> ASGIApp:
    """The application for everything under `root`.

    `token` is the password of Basic authentication for a push. None forbids every push. A request without the token
    reaches a dulwich application that cannot receive anything.
    """
    threads = anyio.CapacityLimiter(THREADS)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        known = PATH.fullmatch(scope["path"].removeprefix(root))
        if known is None:
            answer: Response | GitResponse = PlainTextResponse("There is nothing here. Clone /git/NAME.git.", 404)
        elif (refusal := _refusal(request, known, token)) is not None:
            answer = refusal
        elif threads.statistics().tasks_waiting >= MOST_WAITING:
            answer = PlainTextResponse("Too many ask for repositories now.", 503, {"retry-after": str(AGAIN_S)})
        else:
            data = await request.body()
            pushes = _asks_to_push(request, known)  # admitted, or it would have been refused
            work = Cancellation(ends=sys.float_info.max)

            def compute() -> Response | GitResponse:
                work.ends = time.monotonic() + WORK_S
                work.check()
                if known["rest"] is None:
                    return repository_page.answer(
                        forge, known["name"], known["file"], lambda repo: stoppable(repo, work)
                    )
                return _answered(forge, request, known, data, work, pushes=pushes)

            gone = asyncio.create_task(_gone(request, work))
            try:
                answer = await anyio.to_thread.run_sync(compute, limiter=threads)
            except WorkCancelled:
                answer = PlainTextResponse("This took too long.", 503, {"retry-after": str(AGAIN_S)})
            finally:
                gone.cancel()
                work.left = True
        if isinstance(answer, Response):
            await answer(scope, receive, send)
        else:
            await _send(answer, send)

    return app


async def _gone(request: Request, work: Cancellation) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    work.left = True


async def _send(answer: GitResponse, send: Send) -> None:
    with answer.body as body:
        raw = [(key.lower().encode("latin-1"), value.encode("latin-1")) for key, value in answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        while piece := await anyio.to_thread.run_sync(body.read, PIECE_BYTES):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def _asks_to_push(request: Request, known: re.Match[str]) -> bool:
    asked = parse_qs(request.url.query).get("service", [])
    return known["rest"] == "git-receive-pack" or "git-receive-pack" in asked


def _refusal(request: Request, known: re.Match[str], token: str | None) -> Response | None:
    """A response that needs no work, or None."""
    if request.method not in ("GET", "HEAD", "POST"):
        return PlainTextResponse("Use GET or POST.", 405, {"allow": "GET, HEAD, POST"})
    if _asks_to_push(request, known):
        if token is None:
            return PlainTextResponse("This forge is read-only over HTTP.", 403)
        if not _authorised(request.headers.get("authorization", ""), token):
            headers = {"www-authenticate": 'Basic realm="forge"'}
            return PlainTextResponse("Pushing needs the forge's token.", 401, headers)
    asked = parse_qs(request.url.query).get("service", [])
    if known["rest"] == "info/refs" and any(name not in ("git-upload-pack", "git-receive-pack") for name in asked):
        return PlainTextResponse("Of git's services there are git-upload-pack and git-receive-pack.", 403)
    if request.headers.get("content-encoding", "identity").lower() not in ("identity", "gzip", "x-gzip"):
        return PlainTextResponse("A body may be compressed with gzip.", 415)
    return None


def _authorised(header: str, token: str) -> bool:
    scheme, _, value = header.partition(" ")
    given = value
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(value, validate=True).decode("utf-8", "replace").partition(":")[2]
        except ValueError:  # no base64, or no ASCII
            return False
    return scheme.lower() in ("basic", "bearer") and hmac.compare_digest(given.encode(), token.encode())


def _answered(
    forge: LocalForge, request: Request, known: re.Match[str], data: bytes, work: Cancellation, *, pushes: bool
) -> Response | GitResponse:
    """dulwich's response, computed in a thread. A request that it cannot read is answered with 400."""
    backend = _Backend(forge, work)
    try:
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            data = unpacked(data, MOST_PUSHED_BYTES if pushes else MOST_ASKED_BYTES, work)
        if known["rest"] == "git-upload-pack":
            check_asked(data)
        environ = _environ(request, known, data, work)
        if known["rest"] != "git-receive-pack":
            return _dulwich(backend, environ, work, pushes=pushes)
        if not forge.path(known["name"]).exists():
            raise NotGitRepository(known["name"])
        with forge.only_writer(known["name"]):
            return _dulwich(backend, environ, work, pushes=pushes)
    except NotGitRepository:
        return PlainTextResponse("There is no such repository.", 404)
    except RequestTooLarge as error:
        return PlainTextResponse(str(error), 413)
    except UNREADABLE as error:
        reason = str(error) if isinstance(error, MalformedRequest) else "This is not a request that git would send."
        return PlainTextResponse(reason, 400)
    except OSError as error:
        log.error("%s: %s of %s", known["name"], error.strerror or type(error).__name__, known["rest"])
        return PlainTextResponse("The repository cannot be read now.", 500)
    finally:
        backend.close()


def _dulwich(backend: _Backend, environ: dict[str, Any], work: Cancellation, *, pushes: bool) -> GitResponse:
    handlers = {b"git-upload-pack": UploadPack, b"git-upload-archive": None}
    if not pushes:
        handlers[b"git-receive-pack"] = None
    started: dict[str, Any] = {}
    body = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115  (closed when it is sent)

    def write(part: bytes) -> int:
        work.check()
        return body.write(part)

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], int]:
        started.update(status=int(status.split()[0]), headers=headers)
        return write

    try:
        parts: Iterable[bytes] = make_wsgi_chain(backend, handlers=handlers)(environ, start_response)
        for part in parts:
            write(part)
        length = body.tell()
        body.seek(0)
    except BaseException:
        body.close()
        raise
    headers = [pair for pair in started["headers"] if pair[0].lower() != "date"]  # the server has its own
    return GitResponse(started["status"], [*headers, ("content-length", str(length))], body)


class MalformedRequest(ValueError):
    """A request that git would not send. The message gives the reason."""


class RequestTooLarge(Exception):
    """A request that is larger than git's requests are."""


def unpacked(data: bytes, most: int, work: Cancellation) -> bytes:
    """The unpacked bytes of one gzip body.

    Raises:
        RequestTooLarge: if it has more than `most` bytes, unpacked.
        MalformedRequest: if it is not one gzip body.
    """
    packed = zlib.decompressobj(16 + zlib.MAX_WBITS)
    parts, left = [], most
    while not packed.eof:
        work.check()
        try:
            part = packed.decompress(data, min(left + 1, PIECE_BYTES))
        except zlib.error:
            raise MalformedRequest("The body is not gzip.") from None
        left -= len(part)
        if left < 0:
            raise RequestTooLarge(f"The body may have {most} bytes, unpacked.")
        parts.append(part)
        data = packed.unconsumed_tail
        if not data and not part and not packed.eof:
            raise MalformedRequest("The body ends too early.")
    if packed.unused_data:
        raise MalformedRequest("Something follows the gzip body.")
    return b"".join(parts)


def check_asked(data: bytes) -> None:
    """Check a request for a pack before dulwich reads it.

    Raises:
        RequestTooLarge: if it is larger than git's requests are.
        MalformedRequest: if git would not send it.
    """
    if len(data) > MOST_ASKED_BYTES:
        raise RequestTooLarge(f"What is asked for may have {MOST_ASKED_BYTES} bytes.")
    at = wants = 0
    while at < len(data):
        word = data[at : at + 4]
        if not re.fullmatch(rb"[0-9a-fA-F]{4}", word):
            raise MalformedRequest("A line does not begin with its length.")
        length = int(word, 16)
        if 0 < length < 4 or at + length > len(data):
            raise MalformedRequest("A line has a length that it cannot have.")
        line = data[at + 4 : at + length]
        if line.startswith(b"want "):
            wants += 1
            words = line.split()
            if wants == 1 and (missing := [name.decode() for name in NEEDS if name not in words]):
                raise MalformedRequest(f"The client must be able to do {', '.join(missing)}.")
        if wants > MOST_WANTS:
            raise RequestTooLarge(f"At most {MOST_WANTS} objects can be wanted at a time.")
        at += max(4, length)


def _environ(request: Request, known: re.Match[str], data: bytes, work: Cancellation) -> dict[str, Any]:
    """The request as a WSGI environment (PEP 3333), with its whole body unpacked."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "/git",
        "PATH_INFO": f"/{known['name']}.git/{known['rest']}",
        "QUERY_STRING": request.url.query,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": request.headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(data)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": request.url.scheme,
        "wsgi.input": _Input(data, work),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    with contextlib.suppress(KeyError):
        environ["HTTP_GIT_PROTOCOL"] = request.headers["git-protocol"]
    return environ
