"""The page at `/` and the API's at `/api`: files of this package and of fastapi-swagger, nothing from elsewhere."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.responses import Response
from starlette.exceptions import HTTPException

router = APIRouter(include_in_schema=False)

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'none'"
)
"""Nothing inline, nothing from elsewhere: what a session is called cannot become code."""
SWAGGER_POLICY = POLICY.replace("img-src 'self'", "img-src 'self' data:")
"""Swagger UI's style sheet has its icons inside."""
TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True)
class File:
    """A file as it is served. It is read once, when the gateway starts."""

    content: bytes
    media_type: str
    policy: str
    etag: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "etag", f'"{hashlib.sha256(self.content).hexdigest()[:32]}"')

    def answer(self, known: str | None) -> Response:
        """It, or that it is the one that the browser has."""
        headers = {
            "Content-Security-Policy": self.policy,
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            # Asked for each time, so that a page never meets another version's script.
            "Cache-Control": "no-cache",
            "ETag": self.etag,
        }
        if known == self.etag:
            return Response(status_code=304, headers=headers)
        return Response(self.content, headers=headers, media_type=self.media_type)


def _read(folder: Traversable, *names: str, policy: str = POLICY) -> dict[str, File]:
    found = [one for one in folder.iterdir() if not names or one.name in names]
    kinds = {one.name: TYPES.get(one.name.rpartition(".")[2]) for one in found}
    return {one.name: File(one.read_bytes(), kind, policy) for one in found if (kind := kinds[one.name])}


PAGE = _read(files("gateway") / "page")
SWAGGER = _read(
    files("fastapi_swagger") / "resources", "swagger-ui-bundle.js", "swagger-ui.css", policy=SWAGGER_POLICY
) | {name: File(PAGE[name].content, PAGE[name].media_type, SWAGGER_POLICY) for name in ("api.html",)}

Known = Annotated[str | None, Header(alias="If-None-Match")]


@router.get("/")
async def page(known: Known = None) -> Response:
    """The pool at a glance."""
    return PAGE["index.html"].answer(known)


@router.get("/api")
async def api_page(known: Known = None) -> Response:
    """What the API can do, to be tried out."""
    return SWAGGER["api.html"].answer(known)


@router.get("/page/{name}")
async def page_file(name: str, known: Known = None) -> Response:
    """A file of either page."""
    found = PAGE.get(name) or SWAGGER.get(name)
    if found is None or name.endswith(".html"):
        raise HTTPException(404)
    return found.answer(known)
