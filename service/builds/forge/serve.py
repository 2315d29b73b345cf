"""Serving the local forge: git over smart HTTP, and the published sites, each as an ASGI application.

The sites belong on an origin of their own: what is published is generated code, and must never share cookies, storage
or scripts with the service. Pushing over HTTP needs the token; cloning does not, the repositories are public.
"""

from __future__ import annotations

import base64
import hmac
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs, quote

from dulwich.errors import NotGitRepository
from dulwich.repo import BaseRepo
from dulwich.server import Backend, BackendRepo
from dulwich.web import make_wsgi_chain
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from service.builds.forge import ForgeError
from service.builds.forge.local import LocalForge, Page

StartResponse = Callable[..., Any]
# What a site may do: run its own scripts and styles, and those and data of https origins, as pages with a CDN do. Not:
# reach this machine or its network over http (the service's own port above all), be framed, embed plugins, send forms
# elsewhere, or ask for camera, microphone or place.
HEADERS = {
    "content-security-policy": (
        "default-src 'self' https: data: blob: 'unsafe-inline' 'unsafe-eval'; object-src 'none'; base-uri 'self'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), usb=(), serial=(), payment=()",
    "cache-control": "no-cache",  # asked for again each time, answered 304 while it is the same
}
# Types by name, the same on every machine; a name that is not here is text if it reads as text, else just bytes.
TYPES = {
    "html": "text/html", "htm": "text/html", "css": "text/css", "js": "text/javascript", "mjs": "text/javascript",
    "json": "application/json", "map": "application/json", "webmanifest": "application/manifest+json",
    "svg": "image/svg+xml", "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif",
    "webp": "image/webp", "avif": "image/avif", "ico": "image/x-icon", "txt": "text/plain", "md": "text/plain",
    "csv": "text/csv", "xml": "text/xml", "wasm": "application/wasm", "pdf": "application/pdf", "mp3": "audio/mpeg",
    "wav": "audio/wav", "ogg": "audio/ogg", "mp4": "video/mp4", "webm": "video/webm", "woff": "font/woff",
    "woff2": "font/woff2", "ttf": "font/ttf", "otf": "font/otf", "zip": "application/zip",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}  # fmt: skip


class _Backend(Backend):  # type: ignore[misc]
    """dulwich's view of the forge for one request: a path to a repository."""

    def __init__(self, forge: LocalForge) -> None:
        self.forge = forge
        self._opened: list[BaseRepo] = []

    def open_repository(self, path: bytes | str) -> BackendRepo:
        """The repository of `/NAME.git`."""
        text = path.decode() if isinstance(path, bytes) else path
        try:
            repo = self.forge.open(text.strip("/").removesuffix(".git"))
        except ForgeError:
            raise NotGitRepository(text) from None  # dulwich answers it with 404
        self._opened.append(repo)
        found: BackendRepo = repo
        return found

    def close(self) -> None:
        """Close what was opened: a repository holds its packs open."""
        for repo in self._opened:
            repo.close()


READ_ONLY = {b"git-receive-pack": None}


def git_app(forge: LocalForge, token: str | None) -> Callable[[dict[str, Any], StartResponse], Iterable[bytes]]:
    """A WSGI application: clone by anyone, push with the token as the password of Basic authentication.

    Whoever has not shown the token talks to an application that cannot receive anything.
    """

    def guarded(environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
        admitted = token is not None and _authorised(environ.get("HTTP_AUTHORIZATION", ""), token)
        asked = parse_qs(environ.get("QUERY_STRING", "")).get("service", [])
        if admitted or "git-receive-pack" not in (environ.get("PATH_INFO", "").rsplit("/", 1)[-1], *asked):
            backend = _Backend(forge)
            try:
                yield from make_wsgi_chain(backend, handlers=None if admitted else READ_ONLY)(environ, start_response)
            finally:
                backend.close()
            return
        status = "401 Unauthorized" if token is not None else "403 Forbidden"
        said = b"Pushing needs the forge's token." if token is not None else b"This forge is read-only over HTTP."
        headers = [("content-type", "text/plain"), ("content-length", str(len(said)))]
        if token is not None:
            headers.append(("www-authenticate", 'Basic realm="forge"'))
        start_response(status, headers)
        yield said

    return guarded


def _authorised(header: str, token: str) -> bool:
    scheme, _, value = header.partition(" ")
    given = value
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(value, validate=True).decode("utf-8", "replace").partition(":")[2]
        except ValueError:  # no base64, or no ASCII
            return False
    return scheme.lower() in ("basic", "bearer") and hmac.compare_digest(given.encode(), token.encode())


def pages_app(forge: LocalForge) -> ASGIApp:
    """The published sites: `/NAME/path`. A folder answers with its index, a missing page with the site's `404.html`."""

    async def site(request: Request) -> Response:
        name, path = request.path_params["name"], request.path_params.get("path", "")
        try:
            page = await run_in_threadpool(forge.published, name, path)
            if page is None and (own := await run_in_threadpool(forge.published, name, "404.html")):
                return Response(own.data, 404, {**HEADERS, "content-type": "text/html; charset=utf-8"})
        except ForgeError:
            page = None
        if page is None:
            return PlainTextResponse("There is no such page.", 404, HEADERS)
        if path.strip("/") != page.path and path and not path.endswith("/"):  # else relative links lead elsewhere
            return RedirectResponse(f"{quote(request.scope['path'])}/", 301, HEADERS)
        headers = {**HEADERS, "etag": f'"{page.sha}"'}
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(None, 304, headers)
        return Response(page.data, 200, {**headers, "content-type": _type(page)})

    return Starlette(routes=[Route("/{name}/{path:path}", site, methods=["GET", "HEAD"])])


def _type(page: Page) -> str:
    known = TYPES.get(page.path.rsplit("/", 1)[-1].rpartition(".")[2].lower())
    if known is None:
        try:
            page.data.decode("utf-8")
        except UnicodeDecodeError:
            return "application/octet-stream"
        known = "application/octet-stream" if b"\0" in page.data else "text/plain"
    text = known.startswith("text/") or known in ("application/json", "image/svg+xml", "application/manifest+json")
    return f"{known}; charset=utf-8" if text else known


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
            try:
                first = await run_in_threadpool(next, parts, b"")  # dulwich answers the status with the first part
                raw = [(key.lower().encode("latin-1"), value.encode("latin-1")) for key, value in started["headers"]]
                await send({"type": "http.response.start", "status": started["status"], "headers": raw})
                for done in (*written, first):
                    await send({"type": "http.response.body", "body": done, "more_body": True})
                while (part := await run_in_threadpool(next, parts, None)) is not None:
                    await send({"type": "http.response.body", "body": part, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
            finally:
                getattr(parts, "close", int)()  # also when the client has gone away

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
