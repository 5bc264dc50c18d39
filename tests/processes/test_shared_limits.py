"""Two server processes on one store: limits of a tenant hold over both, also when one of them dies."""

import asyncio
import time
from pathlib import Path

import pytest
from servers import Serving, serve
from serving import chat, frames, parse, post_chat, text_of
from upstream import Upstream

CHAT = "/api/stream/completion/chat"
both = pytest.mark.parametrize("river", ["sqlite", "valkey"], indirect=True)
WORDS = [f" word{i}" for i in range(40)]


@both
async def test_a_limit_is_that_of_all_servers_together(tmp_path: Path, river: dict[str, str]) -> None:
    """Of twenty requests through two servers as many pass as one server would let pass."""
    settings = {"HEADWATER_MODEL": "echo", "HEADWATER_LIMITS": "default:requests_per_minute=13", **river}
    async with serve(tmp_path, **settings) as one, serve(tmp_path, **settings) as two:
        began = time.time() // 60
        asked = (post_chat(server.client, f"{i}") for i, server in enumerate([one, two] * 10))
        answers = await asyncio.gather(*asked)
        statuses = [each.status_code for each in answers]
        same = time.time() // 60 == began
    assert statuses.count(200) == 13 or not same, statuses  # the next minute begins with a count of its own
    assert statuses.count(200) + statuses.count(429) == 20


@both
async def test_a_slot_outlives_its_server_with_its_answer(tmp_path: Path, river: dict[str, str]) -> None:
    """Whoever goes on with a dead server's answer holds its slot; at the answer's end the slot is free, once."""
    during: list[int] = []
    text = ""
    async with Upstream(tokens=WORDS, pace=0.04, continues="flags") as upstream:
        model = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": upstream.url, "HEADWATER_PREFILL": "flags"}
        settings = {**model, "HEADWATER_GENERATIONS": "1", **river}
        async with serve(tmp_path, **settings) as survivor, serve(tmp_path, **settings) as producer:
            own = asyncio.create_task(_asks(producer))
            await upstream.received()
            async with survivor.client.stream("POST", CHAT, json=chat()) as response:
                async for frame in frames(response):
                    text += frame["text"] if frame["type"] == "text-delta" else ""
                    if not during and text:
                        during.append((await post_chat(survivor.client, "other")).status_code)
                        await producer.kill()
                    if frame["type"] == "continued":
                        during.append((await post_chat(survivor.client, "other")).status_code)
            await asyncio.wait({own})
            after = [await post_chat(survivor.client, each) for each in ("another", "one more")]

    assert text == "".join(WORDS)
    assert during == [429, 429], "before the death, and while the answer goes on"
    assert [text_of(parse(each.content)) for each in after] == [text] * 2


async def _asks(server: Serving) -> None:
    async with server.client.stream("POST", CHAT, json=chat()) as response:
        async for _ in frames(response):
            pass
