"""`/docs`: Swagger UI, with files from an installed package instead of a content delivery network.

In: a browser's requests. Out: a static page. Its script loads the OpenAPI document with the tab's key.
Not here: the document (`http.openapi`).
"""

from __future__ import annotations

import functools
from importlib.resources import files

from fastapi import APIRouter, Response

from service.http import pages

router = APIRouter(include_in_schema=False)
FILES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
HEADERS = pages.headers(img_src="'self' data:")


@router.get("/docs")
async def docs() -> Response:
    """Swagger UI on this service's OpenAPI document."""
    return Response(pages.read("docs.html"), media_type="text/html", headers=HEADERS)


@router.get("/docs/assets/{name}")
async def asset(name: str) -> Response:
    """One of Swagger UI's files."""
    if name not in FILES:
        return Response(status_code=404)
    return Response(_read(name), media_type=FILES[name], headers={**HEADERS, "cache-control": "max-age=86400"})


@functools.cache
def _read(name: str) -> bytes:
    return (files("fastapi_offline") / "static" / name).read_bytes()
