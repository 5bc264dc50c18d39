"""Problem details for HTTP APIs (RFC 9457): a failure before the first byte, where a dialect has no form of its own."""

import math
from http import HTTPStatus
from typing import Literal

import msgspec

from headwater.dialects.dialect import Refusal
from headwater.events import Error

MEDIA_TYPE = "application/problem+json"


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a request failed."""

    type: str
    """Always `about:blank`: `code` tells failures apart."""
    title: str
    """The name of the HTTP status."""
    status: int
    detail: str
    """What happened, for people."""
    code: str
    """What happened, for programs; stable."""
    retryable: bool
    """Whether the same request may succeed later."""
    retry_after: float | None = None
    """Seconds after which it may, where that is known; also in `Retry-After`."""
    part: Literal["store", "model", "drain"] | None = None
    """Which part of the server is not ready, in the answer of `/readyz`."""


def problem(error: Error, part: Literal["store", "model", "drain"] | None = None) -> Refusal:
    """The failure as problem JSON: its status, why in words, whether and when to try again."""
    try:
        title = HTTPStatus(error.status).phrase
    except ValueError:
        title = "Error"
    again = error.retryable, error.retry_after
    body = Problem("about:blank", title, error.status, error.message, error.code, *again, part)
    headers = {"Cache-Control": "no-store"}
    if error.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    return Refusal(error.status, msgspec.json.encode(body), MEDIA_TYPE, headers)
