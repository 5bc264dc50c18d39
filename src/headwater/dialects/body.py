"""Request bodies as JSON objects: every dialect's first step. Pure."""

import re
from typing import Any

import msgspec

from headwater.errors import RequestError

_BOM = b"\xef\xbb\xbf"
_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]..)|.)", re.DOTALL)
"""One escape of a JSON string. The group matches a surrogate that is not half of a pair."""

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class UnsupportedBody(RequestError):
    """The body is compressed, or text in another encoding than UTF-8."""

    code = "unsupported_media_type"
    status = 415


def json_object(body: bytes) -> dict[str, Any]:
    """The fields of a JSON object in UTF-8. A byte order mark is skipped; a lone surrogate escape becomes U+FFFD.

    Raises `UnsupportedBody` for bytes that are not UTF-8, and `RequestError` for text that is not a JSON object.
    """
    body = body.removeprefix(_BOM)
    try:
        return _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        # Nearly every body is decoded above; only one that was refused pays for the second look.
        mended = _with_whole_characters(body)
        if mended != body:
            return json_object(mended)
        why = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise RequestError(f"the body is not a JSON object: {why}") from error


def _with_whole_characters(body: bytes) -> bytes:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise UnsupportedBody("the body is not text in UTF-8; send JSON in UTF-8, not compressed") from error
    return _ESCAPE.sub(lambda escape: rb"\ufffd" if escape[1] else escape[0], body)
