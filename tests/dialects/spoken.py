"""Every streaming dialect, for the tests that hold for all: a reader of the log `message_id` from a cursor on."""

import re
from collections.abc import Callable
from pathlib import Path

from headwater.dialects.agui.dialect import Agui
from headwater.dialects.anthropic.dialect import Anthropic
from headwater.dialects.dialect import Cursor, Reader
from headwater.dialects.fold import FoldReader
from headwater.dialects.native.reader import NativeReader
from headwater.dialects.openai.dialect import OpenAI
from headwater.dialects.responses.dialect import Responses
from headwater.dialects.vercel.encoder import VercelEncoder

SPOKEN: dict[str, Callable[[str, Cursor], Reader]] = {
    "ag-ui": Agui("thread-1", "run-1").reader,
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

DOCS = Path(__file__).parents[2] / "docs" / "clients" / "index.md"
NOT_SAYABLE = "not sayable"


def table(mark: str) -> dict[str, dict[str, str]]:
    """The cells of the table under a mark of the document, by row and dialect: each head ends in a name as code."""
    text = DOCS.read_text().partition(f"<!-- {mark} -->")[2].partition("<!-- end -->")[0]
    head, _, *rows = ([cell.strip() for cell in line.strip("| ").split(" | ")] for line in text.strip().split("\n"))
    names = [re.findall(r"`([a-z-]+)`$", cell)[0] for cell in head[1:]]
    return {row[0]: dict(zip(names, row[1:], strict=True)) for row in rows}
