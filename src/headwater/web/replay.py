"""A replay of a stored answer: its pace, and what its `start` tells of the ending, which has long been written."""

import asyncio
import math
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing

import msgspec

from headwater.answer import is_token
from headwater.dialects.native.reader import NativeReader
from headwater.entries import Entry
from headwater.errors import RequestError
from headwater.events import Ending, Finish, Saved

INSTANT, ORIGINAL = math.inf, 0.0
"""The rates that are no number of tokens per second."""
_TICK = 0.005
"""Seconds that an entry may come early, so that a fast replay does not wake up for each."""


def rate_of(written: str) -> float:
    """The rate that `instant`, `original` or a number of tokens per second names. Raises `RequestError`."""
    if (named := {"instant": INSTANT, "original": ORIGINAL}.get(written)) is not None:
        return named
    if re.fullmatch("[1-9][0-9]{0,3}", written):
        return float(written)
    raise RequestError(f"pace={written[:20]} is not a pace; write instant, original, or tokens per second, 1 to 9999")


async def paced(pages: AsyncGenerator[Sequence[Entry], None], rate: float) -> AsyncGenerator[Sequence[Entry], None]:
    """The entries of a log at this rate. At `ORIGINAL` each comes when it came then, after a break too."""
    clock = asyncio.get_running_loop().time
    begin, first, tokens = clock(), math.nan, 0
    async with aclosing(pages):
        async for page in pages:
            told = 0
            for place, entry in enumerate(page):
                first = entry.at if math.isnan(first) else first
                tokens += is_token(entry.event)
                due = begin + (tokens / rate if rate else entry.at - first)
                if due - clock() > _TICK:
                    if place > told:
                        yield page[told:place]
                        told = place
                    await asyncio.sleep(due - clock())
            yield page[told:]


async def telling_saved(
    pages: AsyncGenerator[Sequence[Entry], None], reader: NativeReader, ending: Callable[[], Awaitable[Entry]]
) -> AsyncGenerator[Sequence[Entry], None]:
    """The pages of a hit, whose reader learns first what is saved. Only a long log's `ending` is read by itself."""
    async with aclosing(pages):
        async for page in pages:
            cached = reader.cached
            if cached is not None and cached.saved is None:
                last = page[-1] if isinstance(page[-1].event, Ending) else await ending()
                usage = last.event.usage if isinstance(last.event, Finish) else None
                reader.cached = msgspec.structs.replace(cached, saved=Saved.of(usage, last.at))
            yield page
