"""Chat models as anyone would make them, against a provider on loopback, with a cache of ours or LangChain's own."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import openai
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_openai import ChatOpenAI, OpenAI
from redis_servers import Server, engines, serving
from upstream import Upstream

from headwater.langchain import Cached


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Server]:
    """A Valkey server; names of answers never meet, since each provider has an address of its own."""
    with serving(engines()[0]) as server:
        yield server


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream(tokens=["a", "b", "c"]) as upstream:
        yield upstream


@pytest.fixture
async def options(upstream: Upstream) -> AsyncIterator[dict[str, Any]]:
    """The arguments of a model with connections of this test's own."""
    async with openai.DefaultAsyncHttpxClient() as client:
        yield {"base_url": upstream.url, "api_key": "none", "http_async_client": client, "max_retries": 0}


@pytest.fixture
def bare(options: dict[str, Any]) -> Any:
    """A chat model without a cache."""
    return ChatOpenAI(model="gpt-test", **options)


@pytest.fixture
def model(bare: Any) -> Any:
    """The chat model with our cache."""
    return Cached(bare, store="memory:")


@pytest.fixture
def llm(options: dict[str, Any]) -> Any:
    """A completion model with our cache."""
    return Cached(OpenAI(model="babble", streaming=True, **options), store="memory:")


theirs = pytest.param("LangChain's", marks=pytest.mark.xfail(reason="LangChain's own cache does not do it"))


@pytest.fixture(params=["ours", theirs])
def cached(request: pytest.FixtureRequest) -> Iterator[Callable[[Any], Any]]:
    """What makes a model a cached one: ours, and LangChain's own, which must fail wherever ours is needed."""
    if request.param == "ours":
        yield lambda model: Cached(model, store="memory:")
        return
    set_llm_cache(InMemoryCache())
    yield lambda model: model
    set_llm_cache(None)
