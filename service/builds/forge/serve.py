"""Serving the local forge: git over smart HTTP, and the published sites, each as an ASGI application.

The sites belong on an origin of their own: what is published is generated code, and must never share cookies, storage
or scripts with the service. Pushing over HTTP needs the token; cloning does not, the repositories are public.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import mimetypes
import sys
import tempfile
from collections.abc import Callable, Iterable
from typing import Any

from dulwich.server import Backend, BackendRepo
from dulwich.web import make_wsgi_chain
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from service.builds.forge import ForgeError
from service.builds.forge.local import LocalForge

StartResponse = Callable[..., Any]
# A site may run its own scripts and styles and read open data; it may not be framed by us or submit forms elsewhere.
POLICY = (
    "default-src 'self' https: data: blob: 'unsafe-inline' 'unsafe-eval'; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'none'"
)


class _Backend(Backend):  # type: ignore[misc]
    """dulwich's view of the forge: a path to a repository."""

    def __init__(self, forge: LocalForge) -> None:
        self.forge = forge

    def open_repository(self, path: bytes | str) -> BackendRepo:
        """The repository of `/NAME.git`."""
        text = path.decode() if isinstance(path, bytes) else path
        try:
            repo: BackendRepo = self.forge.open(text.strip("/").removesuffix(".git"))
        except ForgeError:
            raise KeyError(text) from None
        return repo


def git_app(forge: LocalForge, token: str | None) -> Callable[[dict[str, Any], StartResponse], Iterable[bytes]]:
    """A WSGI application: clone by anyone, push with the token as the password of Basic authentication."""
    inner = make_wsgi_chain(_Backend(forge))

    def guarded(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path, query = environ.get("PATH_INFO", ""), environ.get("QUERY_STRING", "")
        writes = path.endswith("/git-receive-pack") or "service=git-receive-pack" in query
        if writes and (token is None or not _authorised(environ.get("HTTP_AUTHORIZATION", ""), token)):
            status = "401 Unauthorized" if token is not None else "403 Forbidden"
            said = b"Pushing needs the forge's token." if token is not None else b"This forge is read-only over HTTP."
            headers = [("content-type", "text/plain"), ("content-length", str(len(said)))]
            if token is not None:
                headers.append(("www-authenticate", 'Basic realm="forge"'))
            start_response(status, headers)
            return [said]
        answer: Iterable[bytes] = inner(environ, start_response)
        return answer

    return guarded


def _authorised(header: str, token: str) -> bool:
    scheme, _, value = header.partition(" ")
    given = value
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(value, validate=True).decode("utf-8", "replace").partition(":")[2]
        except binascii.Error:
            return False
    return scheme.lower() in ("basic", "bearer") and hmac.compare_digest(given.encode(), token.encode())


def pages_app(forge: LocalForge) -> ASGIApp:
    """The published sites: `/NAME/path`."""

    async def site(request: Request) -> Response:
        name, path = request.path_params["name"], request.path_params.get("path", "")
        try:
            data = await run_in_threadpool(forge.published, name, path)
        except ForgeError:
            data = None
        headers = {
            "content-security-policy": POLICY,
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cross-origin-opener-policy": "same-origin",
            "cache-control": "no-cache",
        }
        if data is None:
            return PlainTextResponse("There is no such page.", 404, headers)
        file = path if "." in path.rsplit("/", 1)[-1] else "index.html"
        kind = mimetypes.guess_type(file)[0] or "application/octet-stream"
        if kind.startswith("text/") or kind.endswith(("javascript", "json")):
            kind += "; charset=utf-8"
        return Response(data, 200, {**headers, "content-type": kind})

    return Starlette(
        routes=[
            Route("/{name}/{path:path}", site, methods=["GET", "HEAD"]),
        ]
    )


def asgi(wsgi: Callable[[dict[str, Any], StartResponse], Iterable[bytes]], root: str) -> ASGIApp:
    """The WSGI application under `root`, its work in threads; request bodies go to a file when they are large."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        with tempfile.SpooledTemporaryFile(max_size=1 << 20) as body:
            async for chunk in request.stream():
                await run_in_threadpool(body.write, chunk)
            body.seek(0)
            started: dict[str, Any] = {}

            def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[..., Any]:
                started.update(status=int(status.split()[0]), headers=headers)
                return written.append

            written: list[bytes] = []
            environ = _environ(request, root, body)
            parts = iter(await run_in_threadpool(wsgi, environ, start_response))
            first = await run_in_threadpool(next, parts, b"")  # dulwich answers the status with the first part
            raw = [(key.lower().encode("latin-1"), value.encode("latin-1")) for key, value in started["headers"]]
            await send({"type": "http.response.start", "status": started["status"], "headers": raw})
            for done in (*written, first):
                await send({"type": "http.response.body", "body": done, "more_body": True})
            while (part := await run_in_threadpool(next, parts, None)) is not None:
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    return app


def _environ(request: Request, root: str, body: Any) -> dict[str, Any]:
    """The request as PEP 3333 has it."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": root,
        "PATH_INFO": request.url.path.removeprefix(root),
        "QUERY_STRING": request.url.query,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": request.url.scheme,
        "wsgi.input": body,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for key, value in request.headers.items():
        name = key.upper().replace("-", "_")
        environ[name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"] = value
    return environ
