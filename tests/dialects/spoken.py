"""Every streaming dialect, for the tests that hold for all: a reader of the log `message_id` from a cursor on."""

from collections.abc import Callable

from headwater.dialects.dialect import Cursor, Reader
from headwater.dialects.fold import FoldReader
from headwater.dialects.native.reader import NativeReader
from headwater.dialects.vercel.encoder import VercelEncoder

SPOKEN: dict[str, Callable[[str, Cursor], Reader]] = {
    "native": lambda message_id, cursor: NativeReader(message_id, cursor.after),
    "vercel": lambda message_id, cursor: FoldReader(VercelEncoder(), message_id, cursor),
}
NUMBERED: set[str] = {"vercel"}
"""Dialects whose clients count frames, so that a count is a cursor too."""
