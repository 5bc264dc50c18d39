"""Anthropic's Messages API: how requests are read and answers are written."""

import math
from collections.abc import Mapping, Sequence

import msgspec

from headwater.answer import fold
from headwater.dialects import sse
from headwater.dialects.anthropic.encoder import Encoder
from headwater.dialects.anthropic.request import read
from headwater.dialects.anthropic.whole import error_object, whole
from headwater.dialects.dialect import BEGINNING, Ask, Cursor, Refusal
from headwater.dialects.fold import FoldReader
from headwater.entries import Entry
from headwater.events import Error

_STATUS = {422: 400, 503: 529}
"""Where Anthropic has a status of its own: a prompt that cannot be read, and a server with too much to do."""


class Anthropic(sse.EventStream):
    """The Messages API, streamed and whole."""

    name = "anthropic"

    def ask(self, body: bytes) -> Ask:
        return read(body)

    def reader(self, message_id: str, cursor: Cursor = BEGINNING) -> FoldReader:
        return FoldReader(Encoder(), message_id, cursor, named=True)

    def whole(self, message_id: str, entries: Sequence[Entry]) -> bytes:
        return whole(fold(entries, message_id))

    def refusal(self, error: Error) -> Refusal:
        return refusal(error)

    def headers(self, message_id: str) -> Mapping[str, str]:
        return {"request-id": message_id}


def refusal(error: Error) -> Refusal:
    """A failure before the first byte. `x-should-retry` says what the SDKs would otherwise guess from the status."""
    headers = {"Cache-Control": "no-store", "x-should-retry": "true" if error.retryable else "false"}
    if error.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    status = _STATUS.get(error.status, error.status)
    return Refusal(status, msgspec.json.encode(error_object(error)), "application/json", headers)
