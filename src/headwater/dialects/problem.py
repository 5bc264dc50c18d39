"""Problem details for HTTP APIs (RFC 9457): a failure before the first byte, where a dialect has no form of its own."""

import math
from http import HTTPStatus
from typing import Any

import msgspec

from headwater.dialects.dialect import Refusal
from headwater.events import Error

MEDIA_TYPE = "application/problem+json"


def problem(error: Error) -> Refusal:
    """The failure as problem JSON: its status, why in words, whether and when to try again."""
    try:
        title = HTTPStatus(error.status).phrase
    except ValueError:
        title = "Error"
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": title,
        "status": error.status,
        "detail": error.message,
        "code": error.code,
        "retryable": error.retryable,
    }
    headers = {"Cache-Control": "no-store"}
    if error.retry_after is not None:
        body["retry_after"] = error.retry_after
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    return Refusal(error.status, msgspec.json.encode(body), MEDIA_TYPE, headers)
