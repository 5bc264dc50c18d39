"""The bytes of an OpenAI stream, cut into lines and decoded: all that one read of the socket gave, at once."""

import json
from typing import Any, Generic, TypeVar

import msgspec

from headwater.errors import ModelError

LONGEST_LINE = 16 * 1024 * 1024
"""Bytes of one line: as much as a log may hold."""

MOST_STRANGE = 64 * 1024
"""Bytes kept of lines that belong to no stream: an error's words, if they are anything."""

_LAST = b"data: [DONE]\n\n"
_MARK = b"\xef\xbb\xbf"  # a byte order mark, which some servers begin with
_FAILS = b"event: error\n"
_FIELDS = (b":", b"id:", b"retry:")

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
        """Why nothing more can be read: `ErrorFrame`, `ModelError`, `ValueError` for what is no JSON or no text."""
        self._decoder = decoder
        self._rest: list[bytes] = []
        self._held = 0
        self._strange = b""

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
        except (msgspec.DecodeError, UnicodeDecodeError):
            return self._one_by_one(whole)
        self.done = done
        return found

    def rest(self, begun: bool) -> list[Chunk]:
        """What the end of the bytes completes, up to a `failure`; nothing follows.

        That is a last line without an end, or what was no stream at all: `begun` tells whether there was any.
        """
        last = b"".join(self._rest).replace(b"\r", b"")
        self._rest, self._held = [], 0
        found = self._one_by_one(last)
        if isinstance(self.failure, ValueError):
            self.failure = None  # the last line is no JSON because it was cut off: what is missing is the end
        if self.failure is None and not found and self._strange:
            self.failure = self._explained(begun)
        self.done = True
        return found

    def _one_by_one(self, whole: bytes) -> list[Chunk]:
        found: list[Chunk] = []
        fails = False
        for line in whole.removeprefix(_MARK).split(b"\n"):
            if not line.startswith(b"data:"):
                if line.startswith(b"event:"):
                    fails = line[6:].strip() == b"error"
                elif line and not line.startswith(_FIELDS) and len(self._strange) + len(line) <= MOST_STRANGE:
                    self._strange += line + b"\n"
                continue
            payload = line[5:].strip()
            if payload.startswith(b"[DONE]"):
                self.done = True
                return found
            if payload:
                try:
                    if fails:
                        raise ErrorFrame(_error_in(_read(payload)))
                    found.append(self._leniently(payload))
                except (ErrorFrame, ModelError, ValueError) as failure:
                    self.failure = failure
                    return found
        if fails:
            self._rest.insert(0, _FAILS)  # what failed comes with the next read
        return found

    def _explained(self, begun: bool) -> Exception | None:
        """What lines mean that belong to no stream; None where they add nothing to there being no end."""
        told = _read(self._strange)
        if isinstance(told, dict) and any(name in told for name in ("error", "message", "detail")):
            return ErrorFrame(_error_in(told))
        if begun:
            return None
        return ModelError("the provider's answer is no stream of events", code="provider_garbled")

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


def _read(payload: bytes) -> Any:
    """JSON, or else the words as they are."""
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode(errors="replace").strip()


def _error_in(told: Any) -> object:
    """The error itself, where it is wrapped in a field of that name."""
    return (told.get("error") or told) if isinstance(told, dict) else told  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
