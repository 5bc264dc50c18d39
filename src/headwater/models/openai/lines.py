"""The bytes of an OpenAI stream, cut into lines and decoded, one read of the socket at a time."""

import json
import re
from typing import Any, Generic, NamedTuple, TypeVar, cast

import msgspec

from headwater.errors import ModelError
from headwater.models.characters import decode, text_in

_LAST = b"data: [DONE]\n\n"
_BETWEEN = b"\n\ndata: "
_MARK = b"\xef\xbb\xbf"  # a byte order mark, which some servers begin with
_LF, _CR = 10, 13  # as numbers, since `in` with bytes raises an error within and drops it
_SAID = ("message", "detail", "error")  # fields of an error that may hold its words
_OURS = re.compile(r"(message|error|response\..*)?")  # names of events that belong to the answer
_FIELDS = (b":", b"id:", b"retry:")

Chunk = TypeVar("Chunk")


class Bounds(NamedTuple):
    """Bytes of an answer that are kept in memory at most."""

    line: int = 16 * 1024 * 1024
    """Of a line without an end: as much as a log may hold."""
    foreign: int = 16 * 1024 * 1024
    """Of lines that belong to no stream; they may be an error's message, or a whole answer as one JSON object."""


BOUNDS = Bounds()


class ErrorFrame(Exception):
    """The provider reported a failure inside a stream that had begun with status 200."""

    def __init__(self, error: object) -> None:
        self.body: dict[str, Any] = {"error": text_in(error) or json.dumps(error)}
        if isinstance(error, dict):
            self.body = {**cast("dict[str, Any]", error)}
        message = self.body.get("message")
        self.message = message if message and isinstance(message, str) else "An error occurred during streaming"
        super().__init__(next((text for name in _SAID if (text := text_in(self.body.get(name)))), json.dumps(error)))


class Lines(Generic[Chunk]):
    """Decodes the events of one answer; reads may cut them anywhere, and lines end in LF, CRLF or CR.

    Chunks that the decoder does not take come as plain dictionaries, together with all others of the same read.
    """

    def __init__(self, decoder: msgspec.json.Decoder[Chunk], bounds: Bounds = BOUNDS) -> None:
        self.done = False
        """Whether nothing follows: the provider said so, or the response has ended."""
        self.told_end = False
        """Whether the provider said that nothing follows."""
        self.failure: Exception | None = None
        """Why nothing more can be read: `ErrorFrame`, `ModelError`, or `ValueError` for bytes that are not JSON."""
        self._decoder = decoder
        self._bounds = bounds
        self._rest: list[bytes] = []
        self._rest_size = 0
        self._foreign = bytearray()
        self._open = False  # whether an event has begun whose blank line has not come
        self._kind = ""  # that event's name
        self._data = bytearray()  # that event's lines of data that are no JSON by themselves

    def chunks(self, data: bytes) -> list[Chunk] | list[dict[str, Any]]:
        """The chunks that these bytes complete, up to a `failure`: pass the chunks on first, then raise it."""
        whole = self._completed(data) if self._rest or data[-1] != _LF or _CR in data else data
        if not whole:
            return []
        if self._open or whole[:6] != b"data: ":
            return self._one_by_one(whole)
        done = whole.endswith(_LAST)
        try:
            # The fast path, which nearly all reads take: JSON lines only. JSON text escapes its line ends, so the
            # replacement cannot change any, and the decoder's own loop over lines is the fastest there is.
            found = self._decoder.decode_lines(whole[6 : -len(_LAST) if done else None].replace(_BETWEEN, b"\n"))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._one_by_one(whole)
        self.done = self.told_end = done
        return found

    def _completed(self, data: bytes) -> bytes:
        """The lines that these bytes complete, each with an LF at its end."""
        end = data.rfind(b"\n") + 1
        if end < len(data):
            # A CR ends a line too; one at the very end may be the first half of a CRLF.
            end = max(end, data.rfind(b"\r", end, -1) + 1)
        whole = data[:end]
        if end and self._rest:
            whole = b"".join((*self._rest, whole))
            self._rest, self._rest_size = [], 0
        if end < len(data):
            self._keep(data[end:])
        return _with_lf(whole)  # within JSON text a CR is escaped

    def rest(self, begun: bool) -> list[dict[str, Any]]:
        """The chunks of a last line without a line end, up to a `failure`; call it once, after the last bytes.

        `begun` tells whether any chunk came before. Without one, bytes that are no stream are a failure.
        """
        last = _with_lf(b"".join(self._rest))
        self._rest, self._rest_size = [], 0
        found = self._one_by_one(last)
        if self.failure is None and not self.done:
            found += self._dispatch()
        if isinstance(self.failure, ValueError):
            self.failure = None  # a last line that is not JSON was cut off; the missing ending will show that
        if self.failure is None and not found and self._foreign:
            content = _json_or_text(bytes(self._foreign))
            fields = cast("dict[str, Any]", content) if isinstance(content, dict) else {}
            if not begun and (fields.get("choices") or "output" in fields):
                found = [fields]  # a whole answer of a server that does not stream
            else:
                self.failure = self._foreign_failure(content, begun)
        self.done = True
        return found

    def _one_by_one(self, whole: bytes) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        lines = whole.removeprefix(_MARK).split(b"\n")
        if not lines[-1]:
            lines.pop()  # only the end of the line before it
        for line in lines:
            if not line:
                found += self._dispatch()
            elif line.startswith(b"data:"):
                self._read_data(line[5:].strip(), found)
            elif line.startswith(b"event:"):
                self._kind, self._open = line[6:].strip().decode(errors="replace"), True
            elif not line.startswith(_FIELDS) and len(self._foreign) + len(line) <= self._bounds.foreign:
                self._foreign += line + b"\n"
            if self.done or self.failure is not None:
                break
        return found

    def _read_data(self, payload: bytes, found: list[dict[str, Any]]) -> None:
        """A line of data: one chunk, as nearly always, or a line of an event that has several."""
        if payload.startswith(b"[DONE]") and not self._data:
            self.done = self.told_end = True
        elif payload:
            try:
                # At once, since some servers send no blank lines.
                content = None if self._data else decode(payload)
            except ValueError:
                content = None
            if isinstance(content, dict):
                self._take(cast("dict[str, Any]", content), found)
            else:
                self._data += payload + b"\n"
                self._open = True
                self._check_size(len(self._data))

    def _dispatch(self) -> list[dict[str, Any]]:
        """The chunk of an event whose data has several lines; an event of anything but a JSON object is skipped."""
        found: list[dict[str, Any]] = []
        payload, self._data = bytes(self._data[:-1]), bytearray()
        if payload:
            try:
                content = decode(payload)
            except ValueError as failure:
                content = None
                if payload.startswith(b"{") and _OURS.fullmatch(self._kind):
                    self.failure = failure  # a piece of the answer is lost
            if isinstance(content, dict):
                self._take(cast("dict[str, Any]", content), found)
            elif self._kind == "error":
                self.failure = ErrorFrame(_error_in(_json_or_text(payload)))
        self._kind, self._open = "", False
        return found

    def _take(self, content: dict[str, Any], found: list[dict[str, Any]]) -> None:
        if self._kind == "error":
            self.failure = ErrorFrame(_error_in(content))
        elif _OURS.fullmatch(self._kind) or content.get("choices"):  # other events are no part of the answer
            found.append(content)

    def _foreign_failure(self, content: Any, begun: bool) -> Exception | None:
        """The failure behind lines that belong to no stream; None if a missing ending says as much."""
        if isinstance(content, dict) and any(name in content for name in ("error", "message", "detail")):
            return ErrorFrame(_error_in(content))
        if begun:
            return None
        return ModelError("the provider's answer is no stream of events", code="provider_garbled")

    def _keep(self, data: bytes) -> None:
        self._rest.append(data)
        self._rest_size += len(data)
        self._check_size(self._rest_size)

    def _check_size(self, size: int) -> None:
        if size > self._bounds.line:
            self.failure = ModelError(
                "the provider's stream cannot be read: a line has no end", code="provider_garbled"
            )


def _with_lf(text: bytes) -> bytes:
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _json_or_text(payload: bytes) -> Any:
    try:
        return decode(payload)
    except ValueError:
        return payload.decode(errors="replace").strip()


def _error_in(content: Any) -> object:
    """The error itself, unwrapped from a field of that name."""
    return (content.get("error") or content) if isinstance(content, dict) else content  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
