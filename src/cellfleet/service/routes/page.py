"""The web page: built files from beside this package, and a policy that lets it load nothing from anywhere else.

`make web` builds it. Every address of a page gets the same document; which page it shows is the browser's business.
"""

from __future__ import annotations

import gzip
import mimetypes
import secrets
from functools import lru_cache
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from cellfleet.service import direct_uploads
from cellfleet.service.context import Shared
from cellfleet.service.errors import http_error
from cellfleet.service.state import Service

FOLDER = Path(__file__).parents[1] / "page"
_NONCE = "__NONCE__"
_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'nonce-{nonce}'; "
    "img-src 'self' data: blob:; font-src 'self'; connect-src 'self'{bucket}; worker-src 'self' blob:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""Codecs of Zarr are WebAssembly; styles that are made at run time carry the nonce of the document."""
_FOR_EVER = "public, max-age=31536000, immutable"
"""Of files that have their hash in their name."""
_PACKED = (".js", ".css")
_FOR_PROGRAMS = ("/api/", "/assets/")
"""Below these, what is not there is told as everything is: to programs."""
_NOT_BUILT = (
    "The web page is not part of this installation. The command and the Python API work without it.\n"
    "From a checkout, `make web` builds it.\n"
)

router = APIRouter(include_in_schema=False)


@router.get("/")
@router.get("/jobs")
@router.get("/jobs/{rest:path}")
@router.get("/models")
@router.get("/training")
@router.get("/training/{rest:path}")
@router.get("/admin")
@router.get("/cluster")
@router.get("/help")
def page(service: Shared) -> Response:
    """Return the document."""
    return _document(service)


def nowhere(request: Request, error: Exception) -> Response:
    """Answer for an address that is none: people get the page that says so, programs the error."""
    asked_by_browser = request.method == "GET" and "text/html" in request.headers.get("Accept", "")
    if asked_by_browser and not request.url.path.startswith(_FOR_PROGRAMS) and _file("index.html") is not None:
        return _document(request.app.state.service, status=404)
    return http_error(request, error)


def _document(service: Service, status: int = 200) -> Response:
    """Return the document. Where files go straight to a bucket, it may talk to that server, too."""
    document = _file("index.html")
    if document is None:
        return PlainTextResponse(_NOT_BUILT)
    nonce = secrets.token_urlsafe(16)
    bucket = direct_uploads.server(service.store)
    policy = _POLICY.format(nonce=nonce, bucket=f" {bucket}" if bucket else "")
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-cache"}
    content = document.replace(_NONCE.encode(), nonce.encode())
    return Response(content, status, headers, media_type="text/html")


@router.get("/icon.svg")
@router.get("/assets/{name}")
def asset(request: Request, name: str = "") -> Response:
    """Return a script, style or picture; packed where that makes it smaller and the browser can unpack it."""
    path = f"assets/{name}" if name else "icon.svg"
    content = _file(path)
    if content is None:
        return PlainTextResponse("There is no such file.\n", status_code=404)
    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    headers = {"Cache-Control": _FOR_EVER, "Vary": "Accept-Encoding"} if name else {}
    if name.endswith(_PACKED) and "gzip" in request.headers.get("Accept-Encoding", ""):
        content, headers["Content-Encoding"] = _packed(path), "gzip"
    return Response(content, media_type=kind, headers=headers)


@lru_cache(maxsize=128)
def _packed(path: str) -> bytes:
    """Return a built file as gzip: made once, for its name tells its content."""
    return gzip.compress((FOLDER / path).read_bytes(), mtime=0)


def _file(name: str) -> bytes | None:
    """Return a built file. A name has one part, so it leads nowhere else."""
    path = FOLDER / name
    return path.read_bytes() if path.is_file() else None
