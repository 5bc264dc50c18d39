"""Every streaming dialect, for the tests that hold for all: a reader of the log `message_id` from a cursor on."""

from collections.abc import Callable

from headwater.dialects.agui.dialect import agui_reader
from headwater.dialects.anthropic.dialect import Anthropic
from headwater.dialects.dialect import Cursor, Reader
from headwater.dialects.fold import FoldReader
from headwater.dialects.native.reader import NativeReader
from headwater.dialects.openai.dialect import OpenAI
from headwater.dialects.responses.dialect import Responses
from headwater.dialects.vercel.encoder import VercelEncoder

SPOKEN: dict[str, Callable[[str, Cursor], Reader]] = {
    "ag-ui": lambda message_id, cursor: agui_reader(message_id, cursor, "thread-1", "run-1"),
    "native": lambda message_id, cursor: NativeReader(message_id, cursor.after),
    "openai": OpenAI("chat", usage=True).reader,
    "openai-completion": OpenAI("completion", usage=True).reader,
    "responses": Responses({}).reader,
    "anthropic": Anthropic().reader,
    "vercel": lambda message_id, cursor: FoldReader(VercelEncoder(), message_id, cursor),
}
NUMBERED = {"responses", "vercel"}
"""Dialects whose clients count frames, so that a count is a cursor too."""
ID_FIRST = {"ag-ui"}
"""Dialects whose clients take an id for the data that follows it; no client of theirs reads frames otherwise."""
