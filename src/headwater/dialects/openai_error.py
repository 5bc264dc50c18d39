"""OpenAI's error object, for the dialects of its APIs: before the first byte as a response, later as a line. Pure."""

import math
import re
from typing import Any

import msgspec

from headwater.dialects.dialect import Refusal
from headwater.events import Error

_CODES = {
    "unknown_model": "model_not_found",
    "unauthorized": "invalid_api_key",
    "rate_limited": "rate_limit_exceeded",
    "quota_exceeded": "insufficient_quota",
}
"""OpenAI's words where applications look for them; every other code is ours."""
_PARAM = re.compile(r"\bfield ([\w.\[\]]+)|\bat `\$\.([^`]+)`")
"""The place of a mistake, as `InvalidPrompt` names it."""


def error_object(error: Error) -> dict[str, Any]:
    """`{"error": {"message", "type", "param", "code"}}`."""
    if error.status == 429:
        kind = "insufficient_quota" if error.code == "quota_exceeded" else "rate_limit_error"
    else:
        kind = "invalid_request_error" if error.status < 500 else "server_error"
    place = _PARAM.search(error.message) if error.code == "invalid_prompt" else None
    param = "model" if error.code == "unknown_model" else place and (place[1] or place[2])
    return {
        "error": {
            "message": error.message,
            "type": kind,
            "param": param,
            "code": _CODES.get(error.code, error.code),
        }
    }


def refusal(error: Error) -> Refusal:
    """A failure before the first byte. `x-should-retry` says what the SDKs would otherwise guess from the status."""
    headers = {"Cache-Control": "no-store", "x-should-retry": "true" if error.retryable else "false"}
    if error.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after))
        headers["retry-after-ms"] = str(math.ceil(error.retry_after * 1000))
    status = 400 if error.code == "invalid_prompt" else error.status  # what the SDKs call a bad request
    return Refusal(status, msgspec.json.encode(error_object(error)), "application/json", headers)


STOPPED = Error("stopped", "Somebody stopped this answer; what came before is only a part of it.", status=499)
"""A stop as an error: these APIs have no word for an answer that somebody else ended."""
