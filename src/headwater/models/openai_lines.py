"""The bytes of an OpenAI stream, cut into lines and decoded: all that one read of the socket gave, at once."""

import json
from typing import Any, Generic, TypeVar

import msgspec

from headwater.errors import ModelError

LONGEST_LINE = 16 * 1024 * 1024
"""Bytes of one line: as much as a log may hold."""

_LAST = b"data: [DONE]\n\n"

Chunk = TypeVar("Chunk")


class ErrorFrame(Exception):
    """The provider reported a failure inside a stream that had begun with 200."""

    def __init__(self, error: object) -> None:
        self.body: dict[str, Any] = error if isinstance(error, dict) else {"error": str(error)}  # pyright: ignore[reportUnknownMemberType]
        said = self.body.get("message")
        self.message = said if said and isinstance(said, str) else "An error occurred during streaming"
        super().__init__(f"the stream holds an error: {error}")


class Lines(Generic[Chunk]):
    """Decodes the lines of one answer; they may be cut anywhere and end in LF or CRLF."""

    def __init__(self, decoder: msgspec.json.Decoder[Chunk]) -> None:
        self.done = False
        """Whether the provider has said that nothing follows."""
        self.failure: Exception | None = None
        """Why nothing more can be read: `ErrorFrame`, `ModelError`, or `JSONDecodeError` for what is no JSON."""
        self._decoder = decoder
        self._rest: list[bytes] = []
        self._held = 0

    def chunks(self, data: bytes) -> list[Chunk]:
        """What these bytes complete, up to a `failure`: it is to be raised after what came before it was passed on."""
        end = data.rfind(b"\n") + 1
        if not end:
            self._hold(data)
            return []
        whole = data[:end]
        if self._rest:
            whole = b"".join((*self._rest, whole))
            self._rest, self._held = [], 0
        if end < len(data):
            self._hold(data[end:])
        if b"\r" in whole:
            whole = whole.replace(b"\r", b"")  # within JSON text it is escaped
        if not whole.startswith(b"data: "):
            return self._one_by_one(whole)
        done = whole.endswith(_LAST)
        try:
            # What nearly all reads are: nothing but JSON lines. A line's end within JSON text is always escaped, so
            # this cannot hit anything in it, and the decoder's own loop over lines is the fastest there is.
            found = self._decoder.decode_lines(
                (whole[: -len(_LAST)] if done else whole)[6:].replace(b"\n\ndata: ", b"\n")
            )
        except msgspec.DecodeError:
            return self._one_by_one(whole)
        self.done = done
        return found

    def _one_by_one(self, whole: bytes) -> list[Chunk]:
        found: list[Chunk] = []
        for line in whole.split(b"\n"):
            payload = line[5:].strip() if line.startswith(b"data:") else b""
            if payload.startswith(b"[DONE]"):
                self.done = True
                break
            if payload:
                try:
                    found.append(self._leniently(payload))
                except (ModelError, ValueError) as failure:
                    self.failure = failure
                    break
        return found

    def _leniently(self, payload: bytes) -> Chunk:
        """A chunk, also one that is JSON to Python's eyes only: with NaN in it, or half a surrogate pair."""
        try:
            return self._decoder.decode(payload)
        except msgspec.DecodeError:
            pass
        try:
            return msgspec.convert(json.loads(payload), self._decoder.type)
        except msgspec.ValidationError as wrong:
            raise ModelError(f"the provider's stream cannot be read: {wrong}", code="provider_garbled") from wrong

    def _hold(self, data: bytes) -> None:
        self._rest.append(data)
        self._held += len(data)
        if self._held > LONGEST_LINE:
            self.failure = ModelError(
                "the provider's stream cannot be read: a line has no end", code="provider_garbled"
            )
