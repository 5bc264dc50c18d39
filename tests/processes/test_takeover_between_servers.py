"""Two server processes on one store: one dies or is terminated in mid-answer, and the other one finishes the answer."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from servers import Serving, serve
from serving import chat, frames
from upstream import Upstream

LEASE = 1.5
WORDS = [f" word{i}" for i in range(60)]


@pytest.mark.parametrize("end", ["killed", "terminated"])
async def test_an_answer_outlives_its_server(tmp_path: Path, river: dict[str, str], end: str) -> None:
    """A reader at the other server gets the whole answer, each word once, with one seam in it."""
    async with Upstream(tokens=WORDS, pace=0.02, continues="flags") as upstream:
        settings = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": upstream.url, "HEADWATER_PREFILL": "flags", **river}
        async with serve(tmp_path, **settings) as survivor, serve(tmp_path, **settings) as producer:
            own, ended, waited = asyncio.create_task(_asks(producer)), 0.0, 0.0
            await upstream.received()
            async with survivor.client.stream("POST", "/api/stream/completion/chat", json=chat()) as response:
                got: list[dict[str, Any]] = []
                async for frame in frames(response):
                    got.append(frame)
                    if len(got) == 10:
                        if end == "killed":
                            await producer.kill()
                        else:
                            producer.process.terminate()
                        ended = time.monotonic()
                    if frame["type"] == "continued":
                        waited = time.monotonic() - ended
            await asyncio.wait({own})
    assert [frame["type"] for frame in got if frame["type"] not in ("text-delta", "metadata")] == [
        "start",
        "continued",
        "finish",
    ]
    assert "".join(frame["text"] for frame in got if frame["type"] == "text-delta") == "".join(WORDS)
    assert 0 < waited < LEASE + 2
    assert upstream.calls == 2


async def _asks(server: Serving) -> None:
    async with server.client.stream("POST", "/api/stream/completion/chat", json=chat()) as response:
        async for _ in frames(response):
            pass
