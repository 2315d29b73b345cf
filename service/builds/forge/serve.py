"""Serving the published sites, as an ASGI application.

In: requests for a published file. Out: the file, with the headers for pages of generated code. The sites belong on an
origin of their own. A site must never share cookies, storage or scripts with the service.

Not here: git over HTTP (`git_http`), the page about a repository (`repository_page`).
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from service.builds.forge import ForgeError
from service.builds.forge.local import LocalForge, PublishedFile

# A site may run its own scripts and styles, and use scripts, styles and data of https origins such as a CDN. It may not
# reach this machine or its network over http (the service's own port above all), be framed by others than the service's
# own page, embed plugins, send forms elsewhere, or ask for camera, microphone or place.
HEADERS = {
    "content-security-policy": (
        "default-src 'self' https: data: blob: 'unsafe-inline' 'unsafe-eval'; object-src 'none'; base-uri 'self'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),  # with frame-ancestors browsers ignore x-frame-options, which is for older ones
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), usb=(), serial=(), payment=()",
    "cache-control": "no-cache",  # asked for again each time, answered 304 while it is the same
}
# Types by name, the same on every machine. Other names are text if they decode as text, else bytes.
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


def pages_app(forge: LocalForge, framed_by: Collection[str] = ()) -> ASGIApp:
    """The published sites. A folder answers with its index, a missing page with the site's `404.html`.

    `framed_by`: origins whose pages may show a site in a frame. By default there are none.
    Where each site has a host name of its own, a site under another name's path, as older URLs have it, redirects.
    """

    policy = HEADERS["content-security-policy"]
    if framed_by:
        policy = policy.replace("frame-ancestors 'none'", f"frame-ancestors {' '.join(sorted(framed_by))}")
    base = {**HEADERS, "content-security-policy": policy}

    async def site(request: Request) -> Response:
        path = request.path_params["path"]
        own_host = name = forge.sites.name(request.headers.get("host", ""))
        if name is None:
            name, slash, path = path.partition("/")
            if not slash and name:
                return RedirectResponse(f"{quote(request.scope['path'])}/", 307, base)
        try:
            if forge.sites.wildcard and own_host is None:
                await run_in_threadpool(forge.published, name, "")  # raises when there is no such repository
                query = f"?{request.url.query}" if request.url.query else ""
                return RedirectResponse(f"{forge.sites.url(name)}{quote(path)}{query}", 307, base)
            page = await run_in_threadpool(forge.published, name, path)
            if page is None and (own := await run_in_threadpool(forge.published, name, "404.html")):
                return Response(own.data, 404, {**base, "content-type": "text/html; charset=utf-8"})
        except ForgeError:
            page = None
        if page is None:
            return PlainTextResponse("There is no such page.", 404, base)
        if path.strip("/") != page.path and path and not path.endswith("/"):  # else relative links lead elsewhere
            return RedirectResponse(f"{quote(request.scope['path'])}/", 301, base)
        headers = {**base, "etag": f'"{page.sha}"'}
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(None, 304, headers)
        return Response(page.data, 200, {**headers, "content-type": _type(page)})

    return Starlette(routes=[Route("/{path:path}", site, methods=["GET", "HEAD"])])


def _type(page: PublishedFile) -> str:
    known = TYPES.get(page.path.rsplit("/", 1)[-1].rpartition(".")[2].lower())
    if known is None:
        try:
            page.data.decode("utf-8")
        except UnicodeDecodeError:
            return "application/octet-stream"
        known = "application/octet-stream" if b"\0" in page.data else "text/plain"
    text = known.startswith("text/") or known in ("application/json", "image/svg+xml", "application/manifest+json")
    return f"{known}; charset=utf-8" if text else known
