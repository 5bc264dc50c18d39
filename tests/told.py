"""What people may be told about a failure, and where a response tells it."""

import re
from typing import Any

import httpx
from serving import parse

INTERNAL = re.compile(
    r"Error\b|Exception|Traceback|Errno|ssl:|<[a-z/]|0x[0-9a-f]{4}|\d+\.\d+\.\d+\.\d+|localhost|\bNone\b"
    r"|\{'|\['|\bb'|_[A-Z]\w+\(|(?<![\w.:/…])/(?!\S*api/)\w+/\w+|sk-"
)
"""Exceptions' names, objects, markup, addresses, paths of files and keys."""


def is_for_people(text: str) -> bool:
    """Whether a text begins with a capital letter, ends as a sentence does, and has no internals."""
    return text[:1].isupper() and text.endswith((".", "!", "?")) and INTERNAL.search(text) is None


def told(response: httpx.Response) -> dict[str, Any]:
    """What a response says about its failure: the problem, or the last event of a stream."""
    if response.headers["content-type"].startswith("text/event-stream"):
        last = parse(response.content)[-1]
        assert last["type"] == "error"
        return {"detail": last["message"], **last}
    return response.json()
