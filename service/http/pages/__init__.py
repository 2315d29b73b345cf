"""The page: try a promoted prompt, see builds. It loads nothing from other servers.

In: a browser's requests. Out: static files, the same for every caller. Scripts load the data with the tab's key.
Not here: Swagger UI's own files (`http.docs`), and authentication (`http.auth`).
"""

from __future__ import annotations

import functools
from importlib.resources import files

from fastapi import APIRouter, Response

router = APIRouter(include_in_schema=False)
FILES = {
    "app.js": "text/javascript",
    "builds.js": "text/javascript",
    "docs.js": "text/javascript",
    "login.js": "text/javascript",
    "app.css": "text/css",
    "docs.css": "text/css",
    "boat.svg": "image/svg+xml",
}
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
}


@router.get("/")
async def index() -> Response:
    """The page."""
    return Response(read("index.html"), media_type="text/html", headers=HEADERS)


@router.get("/assets/{name}")
async def asset(name: str) -> Response:
    """A script, style or image of the pages. 404 for other names."""
    if name not in FILES:
        return Response(status_code=404)
    return Response(read(name), media_type=FILES[name], headers={**HEADERS, "cache-control": "no-cache"})


@functools.cache
def read(name: str) -> bytes:
    """The bytes of one of these files."""
    return (files(__package__) / name).read_bytes()
