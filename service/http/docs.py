"""/docs without a content delivery network: Swagger UI's files come from an installed package.

The page needs one inline script of FastAPI's, so its policy allows that and nothing from elsewhere.
"""

from __future__ import annotations

import functools
from importlib.resources import files

from fastapi import APIRouter, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html

router = APIRouter(include_in_schema=False)
FILES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
}


@router.get("/docs")
async def docs(request: Request) -> Response:
    """Swagger UI on this service's OpenAPI document."""
    root = request.scope.get("root_path", "")
    page = get_swagger_ui_html(
        openapi_url=f"{root}/openapi.json",
        title="Sameboat",
        swagger_js_url=f"{root}/docs/assets/swagger-ui-bundle.js",
        swagger_css_url=f"{root}/docs/assets/swagger-ui.css",
        swagger_favicon_url="data:,",
        swagger_ui_parameters={"validatorUrl": None},  # else it asks a validator elsewhere for a badge
    )
    page.headers.update(HEADERS)
    return page


@router.get("/docs/assets/{name}")
async def asset(name: str) -> Response:
    """One of Swagger UI's files."""
    if name not in FILES:
        return Response(status_code=404)
    return Response(_read(name), media_type=FILES[name], headers={**HEADERS, "cache-control": "max-age=86400"})


@functools.cache
def _read(name: str) -> bytes:
    return (files("fastapi_offline") / "static" / name).read_bytes()
