"""The native dialect: Headwater's own events over SSE, and its state as one JSON object."""

from collections.abc import Callable, Mapping

import msgspec

from headwater.answer import Answer
from headwater.dialects import sse
from headwater.dialects.dialect import BEGINNING, Ask, Cursor, Refusal
from headwater.dialects.native.reader import NativeReader
from headwater.dialects.native.state import whole
from headwater.dialects.problem import problem
from headwater.events import Error
from headwater.prompt import Prompt


class Native:
    """Headwater's own dialect. `body` reads a request; `whole` is for clients that want JSON and not a stream."""

    name = "native"
    media_type = sse.MEDIA_TYPE
    heartbeat = sse.HEARTBEAT
    delimited = True

    def __init__(self, body: Callable[[bytes], Prompt], *, whole: bool = False) -> None:
        self._body = body
        self._whole = whole

    def ask(self, body: bytes) -> Ask:
        return Ask(self._body(body), self._whole)

    def cursor(self, headers: Mapping[str, str], query: Mapping[str, str]) -> Cursor:
        return sse.cursor(headers, query)

    def reader(self, message_id: str, cursor: Cursor = BEGINNING) -> NativeReader:
        return NativeReader(message_id, cursor.after)

    def whole(self, answer: Answer) -> bytes:
        return msgspec.json.encode(whole(answer))

    def refusal(self, error: Error) -> Refusal:
        return problem(error)

    def headers(self, message_id: str) -> Mapping[str, str]:
        return {}
