"""Full-text search over a subject's conversations, within a time limit."""

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple

from headwater.conversations.nodes import Head, Node, Question
from headwater.conversations.records import Records

SECONDS = 2.0
"""How long a search reads, at most."""
BEFORE, EXCERPT = 40, 160
"""Letters of an excerpt before the first word that was found, and in all."""
WORDS = 10
"""Words of a query that count."""


class Found(NamedTuple):
    """A conversation that has every word, and where."""

    head: Head
    message: str | None
    """The message with most of the words; None for the title."""
    text: str
    """An excerpt of it."""


async def search(
    records: Records, heads: Sequence[Head], query: str, most: int, seconds: float = SECONDS
) -> tuple[list[Found], bool]:
    """The first conversations among `heads` that have all words of the query, in any case and any of their messages.

    Also whether all of them were looked at, or enough found. Raises `StoreError`.
    """
    words = [*dict.fromkeys(query.lower().split())][:WORDS]
    found: list[Found] = []
    begun = time.monotonic()
    for head in heads if words else ():
        if len(found) == most:
            break
        if time.monotonic() - begun > seconds:
            return found, False
        match = matched(head, (), words)
        if match is None:
            match = matched(head, [kept.node for kept in (await records.nodes(head.place)).values()], words)
        if match is not None:
            found.append(match)
        await asyncio.sleep(0)  # a store in memory never waits, and others must have their turn
    return found, True


def matched(head: Head, nodes: Sequence[Node], words: Sequence[str]) -> Found | None:
    """Where a conversation has these words, if it has all of them."""
    texts = [
        (None, head.title),
        *((node.id, node.content if isinstance(node, Question) else node.text) for node in nodes),
    ]
    left, best, most = set(words), (None, head.title), 0
    for id, text in texts:
        folded = text.lower()
        here = [word for word in words if word in folded]
        left.difference_update(here)
        if len(here) > most:
            best, most = (id, text), len(here)
    return None if left else Found(head, best[0], excerpt(best[1], words))


def excerpt(text: str, words: Sequence[str]) -> str:
    """The part of a text around the first of the words, on one line."""
    folded = text.lower()
    first = min((place for word in words if (place := folded.find(word)) >= 0), default=0)
    begin = max(0, first - BEFORE)
    if begin > 0:  # at a word's beginning, where there is one
        begin += max(0, text[begin:first].find(" ") + 1)
    part = " ".join(text[begin : begin + EXCERPT].split())
    return ("…" if begin > 0 else "") + part + ("…" if begin + EXCERPT < len(text) else "")
