"""The native dialect: Headwater's own events over SSE, and its state as one JSON object."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from headwater.answer import fold
from headwater.dialects import sse
from headwater.dialects.dialect import BEGINNING, Ask, Cursor, Refusal
from headwater.dialects.native.reader import NativeReader
from headwater.dialects.native.request import chat
from headwater.dialects.native.state import whole
from headwater.dialects.problem import problem
from headwater.entries import Entry
from headwater.events import Error


class Native(sse.EventStream):
    """Headwater's own dialect. `body` reads a request, and says whether one JSON object is wanted."""

    name = "native"
    delimited = True

    def __init__(self, body: Callable[[bytes], Ask] = chat) -> None:
        self._body = body

    def ask(self, body: bytes) -> Ask:
        return self._body(body)

    def reader(self, message_id: str, cursor: Cursor = BEGINNING) -> NativeReader:
        return NativeReader(message_id, cursor.after)

    def whole(self, message_id: str, entries: Sequence[Entry]) -> bytes:
        return msgspec.json.encode(whole(fold(entries, message_id)))

    def refusal(self, error: Error) -> Refusal:
        return problem(error)

    def headers(self, message_id: str) -> Mapping[str, str]:
        return {}
