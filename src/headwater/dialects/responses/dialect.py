"""OpenAI's Responses dialect, for one response: events over SSE that are counted, and one object."""

from collections.abc import Mapping, Sequence
from typing import Any

from headwater.dialects import openai_error, sse
from headwater.dialects.dialect import BEGINNING, Ask, Cursor, Refusal
from headwater.dialects.fold import AHEAD, FoldReader
from headwater.dialects.responses.encoder import ECHO, ResponsesEncoder
from headwater.dialects.responses.request import ECHOED
from headwater.entries import Entry
from headwater.errors import RequestError
from headwater.events import Error


class Responses(sse.EventStream):
    """The Responses API. `echo` is what the response repeats of its request; `asked` is that request, once read."""

    name = "responses"

    def __init__(self, echo: Mapping[str, Any], asked: Ask | None = None) -> None:
        self._echo = {**ECHOED, **echo}
        self._asked = asked

    def ask(self, body: bytes) -> Ask:
        assert self._asked is not None, "this response exists already"
        return self._asked

    def cursor(self, headers: Mapping[str, str], query: Mapping[str, str]) -> Cursor:
        """After the event of number `starting_after`; this API's own count, which `Last-Event-ID` may replace."""
        after = query.get("starting_after")
        if after is None:
            return sse.cursor(headers, {})
        if not (after.isascii() and after.isdigit() and len(after) < 10):
            raise RequestError(f"starting_after={after[:20]} is not the number of an event")
        return Cursor(frames=int(after) + 1)

    def reader(self, message_id: str, cursor: Cursor = BEGINNING) -> FoldReader:
        return self._reader(ResponsesEncoder(), message_id, cursor)

    def whole(self, message_id: str, entries: Sequence[Entry], status: str | None = None) -> bytes:
        """The response object; `status` where it does not follow from the log."""
        encoder = ResponsesEncoder()
        for entry in entries:
            encoder.encode(entry)
        return self._reader(encoder, message_id, BEGINNING).filled(encoder.response(status))

    def refusal(self, error: Error) -> Refusal:
        return openai_error.refusal(error)

    def _reader(self, encoder: ResponsesEncoder, message_id: str, cursor: Cursor) -> FoldReader:
        echo = b"," + sse.ascii(sse.encode(self._echo))[1:-1]
        return _Reader(encoder, message_id, cursor, gaps={ECHO: echo}, named=True)


class _Reader(FoldReader):
    """One client's view of a response, whose events have numbers of their own."""

    jump = AHEAD
