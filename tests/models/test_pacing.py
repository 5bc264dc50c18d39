"""A stream that is faster than anybody reads: its tokens are read in intervals, and none is lost or late at the end."""

import asyncio
from typing import Any, cast

import pytest
from upstream import Upstream
from ways import HELLO, direct_chat

from headwater.events import Finish, TextDelta
from headwater.models.openai.pacing import PacedRead


async def test_a_fast_stream_comes_in_fewer_pieces_and_whole() -> None:
    """Tokens of one interval are one batch; the very first token comes alone."""
    words = [f"{number} " for number in range(100)]
    async with Upstream(tokens=words, pace=0.001) as upstream:
        model = direct_chat(upstream)
        pieces = [[event for event in batch if isinstance(event, TextDelta)] async for batch in model.stream(HELLO)]
        await model.aclose()
    full = [piece for piece in pieces if piece]
    assert [event.text for piece in full for event in piece] == words
    assert len(full) < len(words) / 2
    assert len(full[0]) == 1


async def test_the_next_answer_finds_its_connection_reading() -> None:
    """Also right after an answer whose last interval had not ended."""
    async with Upstream(tokens=["a", "b", "c"], pace=0.002) as upstream:
        model = direct_chat(upstream)
        for _ in range(10):
            events = [event async for batch in model.stream(HELLO) for event in batch]
            assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "abc"
            assert isinstance(events[-1], Finish)
        await model.aclose()
    assert upstream.calls == 10


class Socket:
    """A response whose connection is a transport that counts how often it is paused; no more of one is needed here."""

    def __init__(self) -> None:
        self.connection, self.transport = self, self
        self.paused = 0

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.paused += 1

    def resume_reading(self) -> None:
        pass


async def test_only_a_stream_with_several_tokens_in_an_interval_is_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    """To pause the socket of a slower one would cost a wake-up for each token, and save none."""
    now = asyncio.get_running_loop().time()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
    slow, uneven, fast = Socket(), Socket(), Socket()
    for socket, gaps in ((slow, (0.025, 0.025)), (uneven, (0.035, 0.015)), (fast, (0.008, 0.008))):
        paced = PacedRead()
        for gap in gaps * 3:
            now += gap
            paced.after(1, cast("Any", socket))
            paced.resume(now)
    assert (slow.paused, uneven.paused, fast.paused) == (0, 0, 5)
