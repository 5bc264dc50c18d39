"""`HeadwaterCache`: LangChain's cache interface over every store."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.caches import BaseCache
from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, Generation
from langchain_openai import OpenAI
from redis_servers import Server
from upstash_double import upstash_double
from upstream import Upstream

from headwater.langchain import HeadwaterCache


@pytest.fixture(scope="module")
def upstash() -> Iterator[dict[str, str]]:
    with upstash_double() as double:
        yield {"UPSTASH_REDIS_REST_URL": double.url, "UPSTASH_REDIS_REST_TOKEN": double.token}


@pytest.fixture(params=["memory:", "sqlite:", "redis:", "upstash:"])
def caches(
    request: pytest.FixtureRequest, tmp_path: Path, redis_server: Server, monkeypatch: pytest.MonkeyPatch
) -> list[HeadwaterCache]:
    """A cache over a store, and another over the same one where there can be another."""
    url: str = request.param
    if url == "upstash:":
        for name, value in request.getfixturevalue("upstash").items():
            monkeypatch.setenv(name, value)
    url = {"sqlite:": f"sqlite://{tmp_path}/logs.sqlite", "redis:": redis_server.url}.get(url, url)
    if url == "memory:":
        return [HeadwaterCache(url)] * 2
    return [HeadwaterCache(url, tenant=str(tmp_path)) for _ in range(2)]


CALL: Any = {"name": "look", "args": {"city": "Zürich"}, "id": "c1", "type": "tool_call"}
USAGE: Any = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
MESSAGE = AIMessage(
    [{"type": "text", "text": "Hm"}],
    id="run-1",
    tool_calls=[CALL],
    usage_metadata=USAGE,
    response_metadata={"finish_reason": "tool_calls"},
)


async def test_every_store_keeps_what_models_say(caches: list[HeadwaterCache]):
    """A chat's messages with all they hold but their ids, and bare text; another process finds them, until cleared."""
    writes, reads = caches
    assert await writes.alookup("p", "m") is None
    await writes.aupdate("p", "m", [ChatGeneration(message=MESSAGE, generation_info={"a": 1}), Generation(text="b")])
    found = await reads.alookup("p", "m")
    assert found is not None
    chat, text = found
    assert isinstance(chat, ChatGeneration)
    assert chat.message.model_dump(exclude={"id"}) == MESSAGE.model_dump(exclude={"id"})
    assert (chat.generation_info, text.text) == ({"a": 1}, "b")
    again: Any = await asyncio.to_thread(reads.lookup, "p", "m")
    assert len({MESSAGE.id, chat.message.id, again[0].message.id}) == 3
    assert await reads.alookup("p", "other") is None
    await asyncio.to_thread(writes.clear)
    assert await reads.alookup("p", "m") is None
    await asyncio.to_thread(writes.update, "p", "m", [Generation(text="c")])
    assert reads.lookup("p", "m") == [Generation(text="c")], "a call that blocks this loop"


async def test_clearing_leaves_other_tenants_and_everything_else_alone(tmp_path: Path):
    url = f"sqlite://{tmp_path}/logs.sqlite"
    ann, bob = HeadwaterCache(url, tenant="ann"), HeadwaterCache(url, tenant="bob")
    for cache in (ann, bob):
        assert await cache.alookup("p", "m") is None
        await cache.aupdate("p", "m", [Generation(text="a")])
    await ann.aclear()
    assert await ann.alookup("p", "m") is None
    assert await bob.alookup("p", "m") == [Generation(text="a")]


@pytest.fixture
def cache() -> Iterator[BaseCache]:
    cache = HeadwaterCache("memory:")
    set_llm_cache(cache)
    yield cache
    set_llm_cache(None)


async def test_langchains_models_use_it(cache: BaseCache, bare: Any, options: dict[str, Any], upstream: Upstream):
    """Conversations hit, whatever metadata their answers have, and a message of a hit has an id of its own."""
    ids: set[str] = set()
    for fingerprint in ("fp_1", "fp_2"):
        before = AIMessage("Hello.", response_metadata={"system_fingerprint": fingerprint}, id=fingerprint)
        answer = await bare.ainvoke([HumanMessage("Hi"), before, HumanMessage("How are you?")])
        assert answer.text == "abc"
        ids.add(answer.id)
    assert len(ids) == 2
    llm: Any = OpenAI(model="babble", **options)
    assert [await llm.ainvoke("Once"), await asyncio.to_thread(llm.invoke, "Once")] == ["abc", "abc"]
    assert upstream.calls == 2


@pytest.mark.parametrize(
    "answer",
    [Generation(text="x" * 600_000), Generation(text="x", generation_info={"x": object()})],
    ids=["too large", "no plain data"],
)
async def test_an_answer_that_cannot_be_kept_is_not_an_error(cache: BaseCache, answer: Generation):
    await cache.aupdate("p", "m", [answer])
    assert await cache.alookup("p", "m") is None
