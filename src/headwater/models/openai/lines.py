"""The bytes of an OpenAI stream, cut into lines and decoded, one read of the socket at a time."""

import json
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from headwater.errors import ModelError

_LAST = b"data: [DONE]\n\n"
_MARK = b"\xef\xbb\xbf"  # a byte order mark, which some servers begin with
_FAILS = b"event: error\n"
_FIELDS = (b":", b"id:", b"retry:")

Chunk = TypeVar("Chunk")


class Bounds(NamedTuple):
    """Bytes of an answer that are kept in memory at most."""

    line: int = 16 * 1024 * 1024
    """Of a line without an end: as much as a log may hold."""
    foreign: int = 64 * 1024
    """Of lines that belong to no stream; they may be an error's message."""


BOUNDS = Bounds()


class ErrorFrame(Exception):
    """The provider reported a failure inside a stream that had begun with status 200."""

    def __init__(self, error: object) -> None:
        self.body: dict[str, Any] = error if isinstance(error, dict) else {"error": str(error)}  # pyright: ignore[reportUnknownMemberType]
        message = self.body.get("message")
        self.message = message if message and isinstance(message, str) else "An error occurred during streaming"
        super().__init__(f"the stream holds an error: {error}")


class Lines(Generic[Chunk]):
    """Decodes the lines of one answer; reads may cut them anywhere, and they end in LF or CRLF."""

    def __init__(self, decoder: msgspec.json.Decoder[Chunk], bounds: Bounds = BOUNDS) -> None:
        self.done = False
        """Whether the provider has said that nothing follows."""
        self.failure: Exception | None = None
        """Why nothing more can be read: `ErrorFrame`, `ModelError`, or `ValueError` for bytes that are not JSON."""
        self._decoder = decoder
        self._bounds = bounds
        self._rest: list[bytes] = []
        self._rest_size = 0
        self._foreign = b""

    def chunks(self, data: bytes) -> list[Chunk]:
        """The chunks that these bytes complete, up to a `failure`: pass the chunks on first, then raise it."""
        end = data.rfind(b"\n") + 1
        if not end:
            self._keep(data)
            return []
        whole = data[:end]
        if self._rest:
            whole = b"".join((*self._rest, whole))
            self._rest, self._rest_size = [], 0
        if end < len(data):
            self._keep(data[end:])
        if b"\r" in whole:
            whole = whole.replace(b"\r", b"")  # within JSON text it is escaped
        if not whole.startswith(b"data: "):
            return self._one_by_one(whole)
        done = whole.endswith(_LAST)
        try:
            # The fast path, which nearly all reads take: JSON lines only. JSON text escapes its line ends, so the
            # replacement cannot change any, and the decoder's own loop over lines is the fastest there is.
            found = self._decoder.decode_lines(
                (whole[: -len(_LAST)] if done else whole)[6:].replace(b"\n\ndata: ", b"\n")
            )
        except (msgspec.DecodeError, UnicodeDecodeError):
            return self._one_by_one(whole)
        self.done = done
        return found

    def rest(self, begun: bool) -> list[Chunk]:
        """The chunks of a last line without a line end, up to a `failure`; call it once, after the last bytes.

        `begun` tells whether any chunk came before. Without one, bytes that are no stream are a failure.
        """
        last = b"".join(self._rest).replace(b"\r", b"")
        self._rest, self._rest_size = [], 0
        found = self._one_by_one(last)
        if isinstance(self.failure, ValueError):
            self.failure = None  # a last line that is not JSON was cut off; the missing ending will show that
        if self.failure is None and not found and self._foreign:
            self.failure = self._foreign_failure(begun)
        self.done = True
        return found

    def _one_by_one(self, whole: bytes) -> list[Chunk]:
        found: list[Chunk] = []
        fails = False
        for line in whole.removeprefix(_MARK).split(b"\n"):
            if not line.startswith(b"data:"):
                if line.startswith(b"event:"):
                    fails = line[6:].strip() == b"error"
                elif line and not line.startswith(_FIELDS) and len(self._foreign) + len(line) <= self._bounds.foreign:
                    self._foreign += line + b"\n"
                continue
            payload = line[5:].strip()
            if payload.startswith(b"[DONE]"):
                self.done = True
                return found
            if payload:
                try:
                    if fails:
                        raise ErrorFrame(_error_in(_json_or_text(payload)))
                    found.append(self._leniently(payload))
                except (ErrorFrame, ModelError, ValueError) as failure:
                    self.failure = failure
                    return found
        if fails:
            self._rest.insert(0, _FAILS)  # the data of the `error` event comes with the next read
        return found

    def _foreign_failure(self, begun: bool) -> Exception | None:
        """The failure behind lines that belong to no stream; None if a missing ending says as much."""
        content = _json_or_text(self._foreign)
        if isinstance(content, dict) and any(name in content for name in ("error", "message", "detail")):
            return ErrorFrame(_error_in(content))
        if begun:
            return None
        return ModelError("the provider's answer is no stream of events", code="provider_garbled")

    def _leniently(self, payload: bytes) -> Chunk:
        """A chunk in the JSON of Python's decoder, which also accepts NaN and half a surrogate pair."""
        try:
            return self._decoder.decode(payload)
        except msgspec.DecodeError:
            pass
        try:
            return msgspec.convert(json.loads(payload), self._decoder.type)
        except msgspec.ValidationError as wrong:
            raise ModelError(f"the provider's stream cannot be read: {wrong}", code="provider_garbled") from wrong

    def _keep(self, data: bytes) -> None:
        self._rest.append(data)
        self._rest_size += len(data)
        if self._rest_size > self._bounds.line:
            self.failure = ModelError(
                "the provider's stream cannot be read: a line has no end", code="provider_garbled"
            )


def _json_or_text(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode(errors="replace").strip()


def _error_in(content: Any) -> object:
    """The error itself, unwrapped from a field of that name."""
    return (content.get("error") or content) if isinstance(content, dict) else content  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
