"""Why the cache is ours: LangChain's own neither replays to a stream nor joins two of them.

Each test is a claim about LangChain, not about Headwater; if one fails after an upgrade, LangChain has learnt it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from upstream import Upstream
from ways import HELLO, answer, texts

from headwater.models.langchain.model import LangChainModel


@pytest.fixture
def cache() -> Iterator[Any]:
    """LangChain's process-wide cache, empty."""
    from langchain_core.caches import InMemoryCache
    from langchain_core.globals import set_llm_cache

    cache = InMemoryCache()
    set_llm_cache(cache)
    yield cache
    set_llm_cache(None)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream(tokens=["a", "b", "c"]) as upstream:
        yield upstream


@pytest.fixture
async def model(upstream: Upstream) -> AsyncIterator[Any]:
    """LangChain's model as anyone would make it, with connections of its own."""
    import openai
    from langchain_openai import ChatOpenAI

    async with openai.DefaultAsyncHttpxClient() as client:
        options: dict[str, Any] = {"base_url": upstream.url, "api_key": "none", "http_async_client": client}
        yield ChatOpenAI(model="gpt-test", streaming=True, max_retries=0, **options)


async def streamed(model: Any) -> str:
    return "".join([chunk.text async for chunk in model.astream("Hello")])


def entries(cache: Any) -> int:
    return len(cache._cache)


async def test_streaming_twice_asks_the_provider_twice_and_keeps_nothing(cache: Any, model: Any, upstream: Upstream):
    assert [await streamed(model), await streamed(model)] == ["abc", "abc"]
    assert (upstream.calls, entries(cache)) == (2, 0)


async def test_a_hit_fires_no_token_callback(cache: Any, model: Any, upstream: Upstream):
    from langchain_core.callbacks import AsyncCallbackHandler

    class Ears(AsyncCallbackHandler):
        def __init__(self) -> None:
            self.tokens, self.ends = 0, 0

        async def on_llm_new_token(self, token: Any, **_: Any) -> None:
            self.tokens += bool(token)

        async def on_llm_end(self, response: Any, **_: Any) -> None:
            self.ends += 1

    first, second = Ears(), Ears()
    await model.ainvoke("Hello", {"callbacks": [first]})
    await model.ainvoke("Hello", {"callbacks": [second]})
    assert (upstream.calls, entries(cache)) == (1, 1)
    assert (first.tokens, first.ends) == (3, 1)
    assert (second.tokens, second.ends) == (0, 1)


async def test_streaming_past_a_warm_cache_goes_to_the_provider(cache: Any, model: Any, upstream: Upstream):
    await model.ainvoke("Hello")
    await streamed(model)
    assert (upstream.calls, entries(cache)) == (2, 1)


async def test_streaming_at_the_same_time_is_not_coalesced(cache: Any, model: Any, upstream: Upstream):
    assert await asyncio.gather(*(streamed(model) for _ in range(5))) == ["abc"] * 5
    assert (upstream.calls, entries(cache)) == (5, 0)


async def test_our_model_is_not_touched_by_it(cache: Any, model: Any, upstream: Upstream):
    for _ in range(2):
        assert texts(await answer(LangChainModel(model, "m"), HELLO)) == ["a", "b", "c"]
    assert (upstream.calls, entries(cache)) == (2, 0)
