"""Text as providers send it: nested in blocks, or cut in the middle of a character. Pure."""

import codecs
import json
from collections.abc import Mapping
from typing import Any, cast

_NESTED = ("text", "content", "thinking", "reasoning", "reasoning_content", "refusal", "summary", "value", "parts")
"""Fields of a block that may hold its text, or more blocks; the first that holds any counts."""
_DEPTH = 8  # blocks within blocks; a deeper nesting is nobody's text


def text_in(value: object, depth: int = _DEPTH) -> str:
    """All text in a value of blocks and lists; what cannot be read as text is left out, never shown as a `repr`."""
    if isinstance(value, str):
        return value
    if depth and isinstance(value, list):
        return "".join(text_in(each, depth - 1) for each in cast("list[object]", value))
    if depth and isinstance(value, Mapping):
        fields = cast("Mapping[str, object]", value)
        return next((text for name in _NESTED if (text := text_in(fields.get(name), depth - 1))), "")
    return ""


def decode(payload: bytes) -> Any:
    """JSON as Python's decoder reads it: with NaN, raw control characters and lone halves of surrogate pairs.

    Bytes that are no UTF-8 become lone surrogates, from which `Characters` puts a character together again. Raises
    `ValueError`.
    """
    try:
        return _decoder.decode(payload.decode(errors="surrogateescape"))
    except RecursionError as error:
        raise json.JSONDecodeError("the JSON is nested too deeply", "", 0) from error


_decoder = json.JSONDecoder(strict=False)


class Characters:
    """Joins the pieces of one text, so that a character that was cut between two pieces is whole.

    A piece may end in the first half of a surrogate pair, or in the first bytes of a character (see `decode`); that end
    waits for the next piece. Half a character without its other half becomes one U+FFFD.
    """

    def __init__(self) -> None:
        self.held = ""
        """The beginning of a character whose rest has not come yet."""

    def join(self, text: str) -> str:
        """The next piece as whole characters; empty if it only begins one."""
        if not self.held and _is_whole(text):
            return text
        paired = (self.held + text).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        self.held = paired[-1:] if "\ud800" <= paired[-1:] <= "\udbff" else ""
        halves = paired.removesuffix(self.held) if self.held else paired
        data = b"".join(_bytes(character) for character in halves)
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        found = decoder.decode(data, final=bool(self.held))
        if not self.held:
            self.held = decoder.getstate()[0].decode(errors="surrogateescape")
        return found

    def end(self) -> str:
        """What is left of a character that was never completed: one U+FFFD, or nothing."""
        held, self.held = self.held, ""
        return "\ufffd" if held else ""


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _bytes(character: str) -> bytes:
    if "\udc80" <= character <= "\udcff":
        return character.encode(errors="surrogateescape")
    return "\ufffd".encode() if "\ud800" <= character <= "\udfff" else character.encode()
