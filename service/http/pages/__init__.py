"""The page: try prompts, chat, look at evaluations, watch builds and the service. It loads nothing from other servers.

In: a browser's requests. Out: static files, the same for every caller. Scripts load the data with the tab's key.
Not here: Swagger UI's own files (`http.docs`), authentication (`http.auth`), and the data (the routes of the API).

The scripts are ES modules that are used as they are written. `vendor/` has the libraries, from npm by lock
(`make page-vendor`).
"""

from __future__ import annotations

import functools
from importlib.resources import files
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response

router = APIRouter(include_in_schema=False)
MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "connect-src": "'self'",
    "img-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}


def headers(**sources: str) -> dict[str, str]:
    """The headers of a page. `sources` are further directives of its policy, with _ for -."""
    policy = POLICY | {name.replace("_", "-"): value for name, value in sources.items()}
    return {
        "content-security-policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
    }


HEADERS = headers()


@router.get("/")
async def index(request: Request) -> Response:
    """The page. It may show published sites in a frame if this service serves them from another origin."""
    sites = site_source(getattr(request.app.state, "site_pattern", None))
    policy = headers(frame_src=sites) if sites is not None else HEADERS
    page = read("index.html")
    if request.app.state.service.in_studio:
        page = page.replace(b"<html", b"<html data-studio", 1)
    return Response(page, media_type="text/html", headers=policy)


def site_source(pattern: str | None) -> str | None:
    """The origin, or origins with a *, of the published sites, as a source of a policy."""
    return "://".join(urlsplit(pattern)[:2]) if pattern else None


@router.get("/assets/{name:path}")
async def asset(name: str) -> Response:
    """A script, style or image of the pages. 404 for other names."""
    if name not in assets():
        return Response(status_code=404)
    return Response(read(name), media_type=assets()[name], headers={**HEADERS, "cache-control": "no-cache"})


@functools.cache
def assets() -> dict[str, str]:
    """The media type of each file that a browser may load, by its path in this folder."""
    here = files(__package__)
    paths = [item.name for item in here.iterdir()] + [f"vendor/{item.name}" for item in (here / "vendor").iterdir()]
    return {path: kind for path in paths for suffix, kind in MEDIA_TYPES.items() if path.endswith(suffix)}


@functools.cache
def read(name: str) -> bytes:
    """The bytes of one of these files."""
    return files(__package__).joinpath(*name.split("/")).read_bytes()
