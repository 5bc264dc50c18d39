"""A JSON response that a client may have already, and that is compressed where that pays."""

import asyncio
import gzip
import hashlib
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from headwater.web.accept import codings, field

JSON = "application/json"
SMALL, LARGE = 1024, 64 * 1024
"""Bytes that are not worth to be compressed, and that are not compressed on the event loop."""


async def json_response(request: Request, content: Any, status: int = 200, tag: str | None = None) -> Response:
    """The content as JSON; gzipped, if it is larger than 1 kB and the client takes that.

    `tag` is an opaque name of this very content: a client that has it gets 304 (`unchanged`).
    """
    body = msgspec.json.encode(content)
    headers = {"Cache-Control": "private, no-cache", "Vary": "Accept-Encoding, Cookie, Authorization"}
    if tag is not None:
        headers["ETag"] = _etag(tag)
    if len(body) > SMALL and codings(request, "gzip"):
        headers["Content-Encoding"] = "gzip"
        body = await asyncio.to_thread(gzip.compress, body, 4) if len(body) > LARGE else gzip.compress(body, 4)
    return Response(body, status, headers, JSON)


def unchanged(request: Request, tag: str) -> Response | None:
    """304 if the client has the content that this tag names."""
    known = [each.strip() for each in field(request, "if-none-match").split(",")]
    headers = {"ETag": _etag(tag), "Cache-Control": "private, no-cache"}
    return Response(None, 304, headers) if _etag(tag) in known else None


def _etag(tag: str) -> str:
    """Weak, since the same content may be compressed or not. Hashed, so that it tells nothing."""
    return f'W/"{hashlib.sha256(tag.encode()).hexdigest()[:32]}"'
