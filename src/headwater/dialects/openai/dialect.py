"""OpenAI's chat completions and completions: how requests are read and answers are written."""

from collections.abc import Sequence

from headwater.answer import fold
from headwater.dialects import openai_error, sse
from headwater.dialects.dialect import BEGINNING, Ask, Cursor, Refusal
from headwater.dialects.fold import FoldReader
from headwater.dialects.openai.chunks import Chunks
from headwater.dialects.openai.request import Kind, read
from headwater.dialects.openai.whole import whole
from headwater.entries import Entry
from headwater.events import Error


class OpenAI(sse.EventStream):
    """One of OpenAI's two APIs that answer a prompt. With `usage`, a stream ends with the token counts."""

    name = "openai"

    def __init__(self, kind: Kind, usage: bool = False) -> None:
        self._kind: Kind = kind
        self._usage = usage

    def ask(self, body: bytes) -> Ask:
        asked, usage = read(body, self._kind)
        return asked._replace(dialect=OpenAI(self._kind, usage=True)) if usage else asked

    def reader(self, message_id: str, cursor: Cursor = BEGINNING) -> FoldReader:
        return FoldReader(Chunks(self._kind, self._usage), message_id, cursor)

    def whole(self, message_id: str, entries: Sequence[Entry]) -> bytes:
        return whole(fold(entries, message_id), self._kind)

    def refusal(self, error: Error) -> Refusal:
        return openai_error.refusal(error)
